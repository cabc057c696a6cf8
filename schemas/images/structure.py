"""Format, size, frame count and end of a picture or video, read from its structure; nothing is decoded.

A picture whose file lacks nothing but its end mark (a GIF's trailer, a JPEG's EOI, a PNG's IEND) counts as whole:
browsers show it, and some generators write such files. A file that ends earlier is broken.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from schemas.format_error import FormatError
from schemas.images import formats
from schemas.images.containers import boxes, ebml
from schemas.images.containers.segments import (
    GIF_DESCRIPTOR_BYTES,
    GIF_IMAGE,
    EndMarkMissingError,
    Segment,
    broken,
    walk_gif,
    walk_jpeg,
    walk_png,
    walk_webp,
)
from schemas.images.formats import ImageFormat

JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PNG_HEADER_BYTES = 13


@dataclass(frozen=True, slots=True)
class ImageStructure:
    """``format`` is a name of ``formats.BY_NAME``; ``end`` is the offset at which the image ends, whatever follows it.

    ``width`` and ``height``, in pixels, enclose every frame. ``missing_end`` is what a decoder needs behind the file if
    its end mark is missing.
    """

    format: str
    width: int
    height: int
    frames: int
    end: int
    missing_end: bytes = b""


def read_structure(data: bytes, accepted: Collection[ImageFormat] = formats.ACCEPTED) -> ImageStructure:
    """Read the structure of a file in one of the ``accepted`` formats.

    Raises:
        FormatError: ``not_a_picture`` if no accepted format is recognized, ``broken`` if the file is torn or damaged.
    """
    form = formats.detect(data, accepted)
    if form is None:
        text = formats.ACCEPTED_TEXT if accepted is formats.ACCEPTED else formats.DELIVERED_TEXT
        raise FormatError("not_a_picture", f"The file is not a picture of a known type; {text}.")
    try:
        structure = _READERS[form](data)
    except EndMarkMissingError as error:
        structure = replace(_READERS[form](data + error.rest), end=len(data), missing_end=error.rest)
    if not (structure.width and structure.height and structure.frames):
        raise broken("it has no pixels")
    return structure


def _png(data: bytes) -> ImageStructure:
    width = height = frames = animated_frames = end = 0
    for chunk in walk_png(data):
        if not end:
            if chunk.kind != b"IHDR" or chunk.body_end - chunk.body != PNG_HEADER_BYTES:
                raise broken("it does not begin with its header")
            width, height = _uint(data, chunk.body, 4), _uint(data, chunk.body + 4, 4)
        if chunk.kind == b"fcTL":
            animated_frames += 1
        elif chunk.kind == b"acTL":
            # An animation may announce more frames than it has, or have more than it announces.
            frames = max(frames, _uint(data, chunk.body, 4))
        end = chunk.end
    return ImageStructure("PNG", width, height, max(1, frames, animated_frames), end)


def _jpeg(data: bytes) -> ImageStructure:
    width = height = end = 0
    for segment in walk_jpeg(data):
        if segment.kind[0] in JPEG_SIZE_MARKERS and not width:
            height, width = _uint(data, segment.body + 1, 2), _uint(data, segment.body + 3, 2)
        end = segment.end
    return ImageStructure("JPEG", width, height, 1, end)


def _gif(data: bytes) -> ImageStructure:
    width, height = _uint_le(data, 6, 2), _uint_le(data, 8, 2)
    frames = end = 0
    for segment in walk_gif(data):
        if segment.kind == GIF_IMAGE:
            descriptor = data[segment.body : segment.body + GIF_DESCRIPTOR_BYTES]
            width = max(width, _uint_le(descriptor, 0, 2) + _uint_le(descriptor, 4, 2))
            height = max(height, _uint_le(descriptor, 2, 2) + _uint_le(descriptor, 6, 2))
            frames += 1
        end = segment.end
    return ImageStructure("GIF", width, height, frames, end)


def _webp(data: bytes) -> ImageStructure:
    size: tuple[int, int] | None = None
    frames = 0
    for chunk in walk_webp(data):
        size = size or _webp_size(data, chunk)
        frames += chunk.kind == b"ANMF"
    width, height = size or (0, 0)
    return ImageStructure("WEBP", width, height, max(1, frames), 8 + _uint_le(data, 4, 4))


def _webp_size(data: bytes, chunk: Segment) -> tuple[int, int] | None:
    start, length = chunk.body, chunk.body_end - chunk.body
    if chunk.kind == b"VP8X" and length >= 10:
        return _uint_le(data, start + 4, 3) + 1, _uint_le(data, start + 7, 3) + 1
    if chunk.kind == b"VP8L" and length >= 5:
        bits = _uint_le(data, start + 1, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk.kind == b"VP8 " and length >= 10:
        return _uint_le(data, start + 6, 2) & 0x3FFF, _uint_le(data, start + 8, 2) & 0x3FFF
    return None


def _avif(data: bytes) -> ImageStructure:
    summary = boxes.summarize(data)
    return ImageStructure("AVIF", summary.width, summary.height, max(1, summary.samples), summary.end)


def _mp4(data: bytes) -> ImageStructure:
    summary = boxes.summarize(data)
    return ImageStructure("MP4", summary.width, summary.height, max(1, summary.samples), summary.end)


def _webm(data: bytes) -> ImageStructure:
    summary = ebml.summarize(data)
    return ImageStructure("WEBM", summary.width, summary.height, summary.blocks, summary.end)


def _uint(data: bytes, start: int, count: int) -> int:
    return int.from_bytes(data[start : start + count])


def _uint_le(data: bytes, start: int, count: int) -> int:
    return int.from_bytes(data[start : start + count], "little")


_READERS: Mapping[ImageFormat, Callable[[bytes], ImageStructure]] = {
    formats.PNG: _png,
    formats.JPEG: _jpeg,
    formats.GIF: _gif,
    formats.WEBP: _webp,
    formats.AVIF: _avif,
    formats.MP4: _mp4,
    formats.WEBM: _webm,
}
