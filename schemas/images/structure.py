"""Where pictures begin and end: format, size and frames by the structure of the file, nothing decoded. Pure.

Sources: the PNG, JPEG (T.81), GIF89a and WebP specifications.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from schemas.images.inspected_image import ACCEPTED_FORMATS
from schemas.library.formats.safetensors import FormatError

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# A marker inside a JPEG's scan; FF00 is a byte of it, FFD0 to FFD7 are its restarts, FFFF fills.
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
EXTENSION, FRAME, TRAILER = 0x21, 0x2C, 0x3B


@dataclass(frozen=True, slots=True)
class ImageStructure:
    """``format`` is Pillow's word for it. ``end`` is where the picture ends; what stands behind is none of it.

    ``width`` and ``height``, in pixels, hold every frame.
    """

    format: str
    width: int
    height: int
    frames: int
    end: int


class _Reader:
    """Bytes, read from the first to the last."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position

    def take(self, count: int, what: str) -> bytes:
        """The next bytes; ``what`` they are is told where the file ends before."""
        start = self.position
        self.skip(count, what)
        return self.data[start : self.position]

    def skip(self, count: int, what: str) -> None:
        """Go on behind the next bytes."""
        if self.position + count > len(self.data):
            raise _broken(f"it ends in the middle of {what}, after {len(self.data)} bytes")
        self.position += count


def read_structure(data: bytes) -> ImageStructure:
    """What the structure of ``data`` says.

    Raises:
        FormatError: ``not_a_picture`` or ``broken``.
    """
    for magic, walk in _WALKS.items():
        if magic.match(data):
            framed = walk(data)
            if not (framed.width and framed.height and framed.frames):
                raise _broken("it has no pixels")
            return framed
    raise FormatError("not_a_picture", f"The file is not a picture of a known type: {ACCEPTED_FORMATS}.")


def list_png_chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """The chunks of a PNG up to its end: type, where the chunk begins with its length, where it ends."""
    reader = _Reader(data, len(PNG_MAGIC))
    chunks: list[tuple[bytes, int, int]] = []
    while not chunks or chunks[-1][0] != b"IEND":
        start = reader.position
        head = reader.take(8, "a chunk's head")
        reader.skip(int.from_bytes(head[:4], "big") + 4, f"chunk {head[4:].decode('latin-1')!r}")
        chunks.append((head[4:], start, reader.position))
    return chunks


def _png(data: bytes) -> ImageStructure:
    chunks = list_png_chunks(data)
    kind, start, end = chunks[0]
    if kind != b"IHDR" or end - start != 25:
        raise _broken("it does not begin with its header")
    header = data[start + 8 : end]
    declared = [data[start + 8 : start + 12] for kind, start, _end in chunks if kind == b"acTL"]
    counted = sum(kind == b"fcTL" for kind, _start, _end in chunks)
    frames = max(1, counted, *(int.from_bytes(one, "big") for one in declared))
    return ImageStructure("PNG", _big(header[:4]), _big(header[4:8]), frames, chunks[-1][2])


def _jpeg(data: bytes) -> ImageStructure:
    reader, width, height = _Reader(data, 2), 0, 0
    while (marker := _marker(reader)) != END_OF_IMAGE:
        if marker in BARE_MARKERS:
            continue
        length = _big(reader.take(2, "a segment's length"))
        segment = reader.take(max(0, length - 2), f"segment FF{marker:02X}")
        if marker in SIZE_MARKERS and not width:
            height, width = _big(segment[1:3]), _big(segment[3:5])
        if marker == START_OF_SCAN:
            _skip_scan(reader)
    return ImageStructure("JPEG", width, height, 1, reader.position)


def _marker(reader: _Reader) -> int:
    if reader.take(1, "a marker") != b"\xff":
        raise _broken(f"there is no marker at byte {reader.position - 1}")
    while (code := reader.take(1, "a marker")) == b"\xff":
        continue
    return code[0]


def _skip_scan(reader: _Reader) -> None:
    found = SCAN_END.search(reader.data, reader.position)
    if found is None:
        raise _broken(f"it ends in the middle of its pixels, after {len(reader.data)} bytes")
    reader.position = found.start()


def _gif(data: bytes) -> ImageStructure:
    reader = _Reader(data, 6)
    screen = reader.take(7, "its header")
    width, height, frames = _little(screen[:2]), _little(screen[2:4]), 0
    reader.skip(_colours(screen[4]), "its colours")
    while (kind := reader.take(1, "a block's kind")[0]) != TRAILER:
        if kind == FRAME:
            place = reader.take(9, f"frame {frames + 1}")
            reader.skip(_colours(place[8]) + 1, f"frame {frames + 1}")
            width = max(width, _little(place[:2]) + _little(place[4:6]))
            height = max(height, _little(place[2:4]) + _little(place[6:8]))
            frames += 1
        elif kind == EXTENSION:
            reader.skip(1, "an extension")
        else:
            raise _broken(f"there is no block at byte {reader.position - 1}")
        _skip_blocks(reader, f"frame {max(1, frames)}")
    return ImageStructure("GIF", width, height, frames, reader.position)


def _colours(flags: int) -> int:
    """How many bytes the table of colours has that these flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_blocks(reader: _Reader, what: str) -> None:
    while count := reader.take(1, what)[0]:
        reader.skip(count, what)


def _webp(data: bytes) -> ImageStructure:
    end = 8 + _little(data[4:8])
    if end > len(data):
        raise _broken(f"it should have {end} bytes and has {len(data)}")
    reader, frames = _Reader(data[:end], 12), 0
    size: tuple[int, int] | None = None
    while reader.position < end:
        head = reader.take(8, "a chunk's head")
        count = _little(head[4:])
        body = reader.take(count, f"chunk {head[:4].decode('latin-1')!r}")
        # The last one's filling byte is left out by some.
        reader.position += count % 2
        size = size or _webp_size(head[:4], body)
        frames += head[:4] == b"ANMF"
    width, height = size or (0, 0)
    return ImageStructure("WEBP", width, height, max(1, frames), end)


def _webp_size(kind: bytes, body: bytes) -> tuple[int, int] | None:
    if kind == b"VP8X" and len(body) >= 10:
        return _little(body[4:7]) + 1, _little(body[7:10]) + 1
    if kind == b"VP8L" and len(body) >= 5:
        bits = _little(body[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(body) >= 10:
        return _little(body[6:8]) & 0x3FFF, _little(body[8:10]) & 0x3FFF
    return None


def _big(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def _little(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def _broken(where: str) -> FormatError:
    return FormatError("broken", f"The picture is broken: {where}.")


_WALKS: dict["re.Pattern[bytes]", Callable[[bytes], ImageStructure]] = {
    re.compile(re.escape(PNG_MAGIC)): _png,
    re.compile(rb"\xff\xd8\xff"): _jpeg,
    re.compile(rb"GIF8[79]a"): _gif,
    re.compile(rb"RIFF....WEBP", re.DOTALL): _webp,
}
