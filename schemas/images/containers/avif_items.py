"""The EXIF and XMP blocks of AVIF files, which are items of the file's ``meta`` box (HEIF, ISO 23008-12).

Nothing here raises: a damaged box ends the reading. Items name their bytes by offsets, so a small file can name the
same bytes any number of times: what is read of all items together is limited.
"""

import contextlib
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.format_error import FormatError
from schemas.images.containers.boxes import MAX_BOXES, walk_boxes

META = b"meta"
EXIF, MIME = b"Exif", b"mime"
MAX_ITEMS = 1000
MAX_EXTENTS = 100
# Of all items together: an extent can take no bytes in the box that lists it.
MAX_TOTAL_EXTENTS = 100_000
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


@dataclass(slots=True)
class _Allowance:
    """What may still be read of all items of a file."""

    size_bytes: int
    extents: int = MAX_TOTAL_EXTENTS


def read_metadata_items(data: bytes, max_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the items with metadata, each as its media type or ``EXIF`` and its content.

    The contents have ``max_bytes`` together; that of an item that does not fit is empty.
    """
    allowance = _Allowance(max_bytes)
    with contextlib.suppress(FormatError, struct.error):
        for box in itertools.islice(walk_boxes(data), MAX_BOXES):
            if box.kind == META:
                inner = dict(_child_boxes(data[box.body + FULL_BOX_BYTES : box.end]))
                kinds = dict(_item_kinds(inner.get(b"iinf", b"")))
                locations = _item_extents(inner.get(b"iloc", b""), allowance)
                for number, is_in_meta, extents in locations:
                    if number in kinds:
                        content = _join(inner.get(b"idat", b"") if is_in_meta else data, extents, allowance)
                        yield kinds[number], _without_offset(content) if kinds[number] == EXIF else content


def _join(data: bytes, extents: list[tuple[int, int]], allowance: _Allowance) -> bytes:
    size = sum(max(0, min(end, len(data)) - start) for start, end in extents)
    if size > allowance.size_bytes:
        return b""
    allowance.size_bytes -= size
    return b"".join(data[start:end] for start, end in extents)


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
    """Yield the number of each item with metadata, and its kind."""
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


def _item_extents(iloc: bytes, allowance: _Allowance) -> Iterator[tuple[int, bool, list[tuple[int, int]]]]:
    """Yield of each item its number, whether its bytes are in the ``meta`` box, and where those begin and end."""
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
        allowance.extents -= min(count, MAX_EXTENTS)
        if allowance.extents < 0:
            return
        extents = []
        for _ in range(min(count, MAX_EXTENTS)):
            reader.uint(index_size if version else 0)
            start, length = base + reader.uint(offset_size), reader.uint(length_size)
            extents.append((start, start + length))
        yield number, place == IN_META, extents
