"""Walk over the segments of PNG, JPEG, GIF and WebP files without decoding them.

Sources: the PNG, JPEG (T.81), GIF89a and WebP specifications. The walkers are lazy and take time linear in the size of
the file. A file may be torn: its last segment is yielded although its ``end`` lies beyond the data, and only then
FormatError ``broken`` is raised. Strict callers exhaust the walk; tolerant ones keep what they got before the error.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from schemas.format_error import FormatError
from schemas.images import formats
from schemas.images.formats import ImageFormat

PNG_SIGNATURE_BYTES = 8
PNG_END = b"IEND"
PNG_PIXELS = b"IDAT"
# What stands at the end of a whole file.
END_MARKS: Mapping[ImageFormat, bytes] = {
    formats.PNG: b"\0\0\0\0IEND\xaeB`\x82",
    formats.JPEG: b"\xff\xd9",
    formats.GIF: b";",
}

JPEG_START_OF_SCAN, JPEG_END = b"\xda", b"\xd9"
# TEM, the restart markers and SOI have neither a length nor a body.
JPEG_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
JPEG_MARKER = re.compile(rb"\xff++([^\xff])", re.DOTALL)
# In entropy-coded data, FF00 is an escaped byte, FFD0 to FFD7 are restart markers and FFFF is fill.
JPEG_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)

GIF_IMAGE, GIF_TRAILER = b",", b";"
GIF_EXTENSION, GIF_COMMENT, GIF_APPLICATION = b"!", b"!\xfe", b"!\xff"
GIF_SCREEN_END = 13
GIF_DESCRIPTOR_BYTES = 9

RIFF_HEADER_BYTES = 12


class EndMarkMissingError(FormatError):
    """The file has all its pixels and ends before its end mark, or within it; ``rest`` completes the file."""

    def __init__(self, rest: bytes) -> None:
        super().__init__("broken", "The picture is broken: its end mark is missing.")
        self.rest = rest


class Segment(NamedTuple):
    """A part of a file, by offsets; offsets beyond the data mean that the file is torn.

    ``kind`` is a PNG chunk type, a JPEG marker code, a GIF block introducer (of extensions with the label) or a WebP
    FourCC. ``start`` is where the segment begins with its header, ``end`` where the next one begins. ``body`` and
    ``body_end`` enclose the content; a GIF image's begins with its descriptor, a GIF extension's are its sub-blocks.
    """

    kind: bytes
    start: int
    body: int
    body_end: int
    end: int


def walk_png(data: bytes) -> Iterator[Segment]:
    """Yield the chunks up to IEND."""
    position, kind, has_pixels = PNG_SIGNATURE_BYTES, b"", False
    while kind != PNG_END:
        body = position + 8
        if has_pixels:
            _require_end_mark(data, position, formats.PNG)
        if body > len(data):
            raise torn("a chunk's head", data)
        kind = data[position + 4 : body]
        body_end = body + int.from_bytes(data[position : position + 4])
        # A checksum of four bytes follows the body.
        end = body_end + 4
        has_pixels |= kind == PNG_PIXELS
        yield Segment(kind, position, body, body_end, end)
        if end > len(data):
            raise torn(f"chunk {kind.decode('latin-1')!r}", data)
        position = end


def walk_jpeg(data: bytes) -> Iterator[Segment]:
    """Yield the segments from the one after SOI to EOI; entropy-coded data is skipped."""
    position = 2
    while True:
        marker = JPEG_MARKER.match(data, position)
        if marker is None:
            if position + 2 > len(data):
                raise torn("a marker", data)
            raise broken(f"there is no marker at byte {position}")
        start, kind, position = position, marker[1], marker.end()
        if kind == JPEG_END or kind[0] in JPEG_BARE_MARKERS:
            yield Segment(kind, start, position, position, position)
            if kind == JPEG_END:
                return
            continue
        body = position + 2
        if body > len(data):
            raise torn("a segment's length", data)
        end = position + max(2, int.from_bytes(data[position:body]))
        yield Segment(kind, start, body, end, end)
        if end > len(data):
            raise torn(f"segment FF{kind.hex().upper()}", data)
        position = end
        if kind == JPEG_START_OF_SCAN:
            scan_end = JPEG_SCAN_END.search(data, position)
            if scan_end is None:
                # Whether the pixels are complete shows only when they are decoded.
                raise EndMarkMissingError(b"\xd9" if data.endswith(b"\xff") else END_MARKS[formats.JPEG])
            position = scan_end.start()


def walk_gif(data: bytes) -> Iterator[Segment]:
    """Yield images and extensions up to the trailer, and the trailer."""
    if len(data) < GIF_SCREEN_END:
        raise torn("its header", data)
    position = GIF_SCREEN_END + _color_table_bytes(data[GIF_SCREEN_END - 3])
    frames = 0
    while (kind := data[position : position + 1]) != GIF_TRAILER:
        start, body = position, position + 1
        if frames:
            _require_end_mark(data, position, formats.GIF)
        if kind == GIF_IMAGE and body + GIF_DESCRIPTOR_BYTES <= len(data):
            frames += 1
            flags = data[body + GIF_DESCRIPTOR_BYTES - 1]
            # One byte, the minimum LZW code size, precedes the sub-blocks.
            blocks = body + GIF_DESCRIPTOR_BYTES + _color_table_bytes(flags) + 1
        elif kind == GIF_EXTENSION and start + 2 <= len(data):
            kind = data[start : start + 2]
            body = blocks = start + 2
        elif kind and kind not in (GIF_IMAGE, GIF_EXTENSION):
            raise broken(f"there is no block at byte {start}")
        else:
            raise torn("a block's head", data)
        position = _skip_sub_blocks(data, blocks)
        yield Segment(kind, start, body, position, position)
        if position > len(data):
            raise torn(f"frame {max(1, frames)}", data)
    yield Segment(kind, position, position + 1, position + 1, position + 1)


def join_sub_blocks(blocks: bytes) -> bytes:
    """Return the content of GIF sub-blocks: each begins with its length, a length of 0 ends them."""
    parts, position = [], 0
    while position < len(blocks) and (length := blocks[position]):
        parts.append(blocks[position + 1 : position + 1 + length])
        position += 1 + length
    return b"".join(parts)


def walk_webp(data: bytes) -> Iterator[Segment]:
    """Yield the chunks within the RIFF header's size."""
    riff_end = 8 + int.from_bytes(data[4:8], "little")
    position = RIFF_HEADER_BYTES
    while position + 8 <= min(riff_end, len(data)):
        kind = data[position : position + 4]
        body_end = position + 8 + int.from_bytes(data[position + 4 : position + 8], "little")
        # Bodies are padded to even sizes; some writers leave out the last padding byte.
        end = body_end + body_end % 2
        yield Segment(kind, position, position + 8, body_end, end)
        if body_end > riff_end:
            raise broken(f"chunk {kind.decode('latin-1')!r} goes beyond its end")
        position = end
    if riff_end > len(data):
        raise broken(f"it should have {riff_end} bytes and has {len(data)}")
    if position < riff_end:
        raise broken("it ends in the middle of a chunk's head")


WALKERS: Mapping[ImageFormat, Callable[[bytes], Iterator[Segment]]] = {
    formats.PNG: walk_png,
    formats.JPEG: walk_jpeg,
    formats.GIF: walk_gif,
    formats.WEBP: walk_webp,
}


def _require_end_mark(data: bytes, position: int, form: ImageFormat) -> None:
    """Raise EndMarkMissingError if the file ends at ``position`` or within an end mark that begins there."""
    rest, mark = data[position : position + len(END_MARKS[form])], END_MARKS[form]
    if len(rest) < len(mark) and mark.startswith(rest) and position + len(rest) == len(data):
        raise EndMarkMissingError(mark[len(rest) :])


def broken(reason: str) -> FormatError:
    """An error for an image that does not follow its format; ``reason`` completes the sentence."""
    return FormatError("broken", f"The picture is broken: {reason}.")


def torn(part: str, data: bytes) -> FormatError:
    """An error for an image that ends within ``part``."""
    return broken(f"it ends in the middle of {part}, after {len(data)} bytes")


def _color_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_sub_blocks(data: bytes, position: int) -> int:
    """Return the offset after the terminating empty block; it lies beyond the data if that is missing."""
    end = len(data)
    while position < end:
        length = data[position]
        position += length + 1
        if not length:
            return position
    return max(position, end + 1)
