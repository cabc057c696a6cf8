"""The EXIF and XMP blocks of AVIF files, which are items of the file's ``meta`` box (HEIF, ISO 23008-12).

Nothing here raises: a damaged box ends the reading.
"""

import contextlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.format_error import FormatError
from schemas.images.containers.boxes import walk_boxes

META = b"meta"
EXIF, MIME = b"Exif", b"mime"
MAX_ITEMS = 1000
MAX_EXTENTS = 100
IN_FILE, IN_META = 0, 1
# Of each item: the version of its entry decides the size of its number.
FULL_BOX_BYTES = 4
EXIF_OFFSET_BYTES = 4


@dataclass(slots=True)
class _Reader:
    """Reads big-endian numbers from a box; raises struct.error beyond its end."""

    data: bytes
    position: int = 0

    def uint(self, size: int) -> int:
        if self.position + size > len(self.data):
            raise struct.error("the box ends within a number")
        value = int.from_bytes(self.data[self.position : self.position + size])
        self.position += size
        return value


def read_metadata_items(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the items with metadata, each as its media type or ``EXIF`` and its content."""
    items: list[tuple[bytes, bytes]] = []
    with contextlib.suppress(FormatError, struct.error):
        for box in walk_boxes(data):
            if box.kind == META:
                inner = dict(_child_boxes(data[box.body + FULL_BOX_BYTES : box.end]))
                kinds = dict(_item_kinds(inner.get(b"iinf", b"")))
                for number, content in _item_contents(data, inner.get(b"iloc", b""), inner.get(b"idat", b""), kinds):
                    items.append((kinds[number], _without_offset(content) if kinds[number] == EXIF else content))
    return items


def _without_offset(exif: bytes) -> bytes:
    """Return the block after its first field, which says how many bytes stand before the TIFF header."""
    return exif[EXIF_OFFSET_BYTES + int.from_bytes(exif[:EXIF_OFFSET_BYTES]) :]


def _child_boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    for _ in range(MAX_ITEMS):
        if position + 8 > len(content):
            return
        size = int.from_bytes(content[position : position + 4])
        if size < 8:
            return
        yield content[position + 4 : position + 8], content[position + 8 : position + size]
        position += size


def _item_kinds(iinf: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each item with metadata, and what it is."""
    counted = 2 if iinf[:1] == b"\0" else 4
    for kind, entry in _child_boxes(iinf[FULL_BOX_BYTES + counted :]):
        version = entry[0] if entry else 0
        if kind != b"infe" or version < 2:
            continue
        reader = _Reader(entry, FULL_BOX_BYTES)
        number = reader.uint(2 if version == 2 else 4)
        # The number of its protection.
        reader.uint(2)
        item_type, rest = entry[reader.position : reader.position + 4], entry[reader.position + 4 :]
        if item_type == EXIF:
            yield number, EXIF
        elif item_type == MIME:
            # Its name, and then its media type.
            yield number, rest.split(b"\0")[1] if rest.count(b"\0") > 1 else b""


def _item_contents(data: bytes, iloc: bytes, idat: bytes, kinds: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and the contents of the items of these kinds, by the box of their locations."""
    version = iloc[0] if iloc else 0
    reader = _Reader(iloc, FULL_BOX_BYTES)
    sizes = reader.uint(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(min(MAX_ITEMS, reader.uint(2 if version < 2 else 4))):
        number = reader.uint(2 if version < 2 else 4)
        place = reader.uint(2) & 15 if version else IN_FILE
        # The number of another file, which no picture refers to.
        reader.uint(2)
        base, count = reader.uint(base_size), reader.uint(2)
        parts = []
        for _ in range(min(count, MAX_EXTENTS)):
            reader.uint(index_size if version else 0)
            start, length = base + reader.uint(offset_size), reader.uint(length_size)
            parts.append((idat if place == IN_META else data)[start : start + length])
        if number in kinds:
            yield number, b"".join(parts)
