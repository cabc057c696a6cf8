"""Removes metadata from pictures without touching their pixels: EXIF with its GPS position, XMP, texts and comments.

Only what a browser needs to show the picture stays: pixels, colour profile, resolution and animation.
"""

from collections.abc import Callable, Iterable, Mapping

from schemas.images import formats
from schemas.images.containers.avif_items import read_metadata_items
from schemas.images.containers.boxes import walk_boxes, walk_inner_boxes
from schemas.images.containers.ebml import ATTACHMENTS, TAGS, VOID, walk_elements
from schemas.images.containers.segments import (
    GIF_APPLICATION,
    GIF_COMMENT,
    GIF_SCREEN_END,
    PNG_SIGNATURE_BYTES,
    RIFF_HEADER_BYTES,
    Segment,
    walk_gif,
    walk_jpeg,
    walk_png,
    walk_webp,
)
from schemas.images.formats import ImageFormat

# Chunks that are not critical and belong to the picture all the same.
PNG_KEPT = frozenset(b"tRNS cHRM gAMA iCCP sRGB sBIT cICP mDCV cLLI pHYs bKGD acTL fcTL fdAT".split())
PNG_ANCILLARY_BIT = 0x20
# JFIF, and the colour transformation that Adobe's encoders use.
JPEG_KEPT = frozenset({0xE0, 0xEE})
JPEG_APP2, JPEG_COMMENT = 0xE2, 0xFE
JPEG_APPS = range(0xE0, 0xF0)
ICC_PROFILE = b"ICC_PROFILE\0"
# Extensions that say how often an animation repeats.
GIF_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
WEBP_KEPT = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
WEBP_METADATA_FLAGS = 0x08 | 0x04
MP4_METADATA = frozenset({b"udta", b"meta", b"uuid"})
MP4_CONTAINERS = frozenset({b"moov", b"trak", b"moof", b"traf"})
# A Matroska element whose size fits into one byte.
SHORT_VOID_BYTES = 9
AVIF_METADATA = frozenset({b"uuid", b"free", b"skip"})


def remove_metadata(data: bytes, form: ImageFormat) -> bytes | None:
    """Return a whole picture without metadata; None if only encoding it again can remove them.

    Raises:
        FormatError: the picture is broken.
    """
    return _REMOVERS[form](data)


def blank_video_metadata(data: bytes, form: ImageFormat) -> bytes:
    """Return a whole video with its tags, attachments and user data overwritten; nothing else moves.

    Positions that a camera has recorded in a track of their own stay.

    Raises:
        FormatError: the video is broken.
    """
    blanked = bytearray(data)
    if form is formats.WEBM:
        for element in walk_elements(data):
            if element.identifier in (TAGS, ATTACHMENTS):
                blanked[element.start : element.end] = _void(element.end - element.start)
        return bytes(blanked)
    for box in walk_boxes(data):
        inner = walk_inner_boxes(data, box, MP4_CONTAINERS) if box.kind in MP4_CONTAINERS else ()
        for found in (box, *inner):
            if found.kind in MP4_METADATA:
                blanked[found.body : found.end] = bytes(found.end - found.body)
                blanked[found.start + 4 : found.start + 8] = b"free"
    return bytes(blanked)


def _void(size: int) -> bytes:
    """Return a Matroska element of this size without a meaning."""
    if size <= SHORT_VOID_BYTES:
        return bytes([VOID, 0x80 | (size - 2)]).ljust(size, b"\0")
    return (bytes([VOID, 1]) + (size - 9).to_bytes(7)).ljust(size, b"\0")


def _png(data: bytes) -> bytes:
    return data[:PNG_SIGNATURE_BYTES] + _join(data, (chunk for chunk in walk_png(data) if _is_kept_in_png(chunk.kind)))


def _is_kept_in_png(kind: bytes) -> bool:
    return kind in PNG_KEPT or not kind[0] & PNG_ANCILLARY_BIT


def _jpeg(data: bytes) -> bytes:
    # Entropy-coded data belongs to the segment before it, and is no part of the walk.
    kept = [data[:2]]
    segments = list(walk_jpeg(data))
    for segment, following in zip(segments, [*segments[1:], None], strict=True):
        end = following.start if following else segment.end
        if _is_kept_in_jpeg(data, segment):
            kept.append(data[segment.start : end])
    return b"".join(kept)


def _is_kept_in_jpeg(data: bytes, segment: Segment) -> bool:
    kind = segment.kind[0]
    if kind == JPEG_APP2:
        return data.startswith(ICC_PROFILE, segment.body)
    return kind in JPEG_KEPT or (kind not in JPEG_APPS and kind != JPEG_COMMENT)


def _gif(data: bytes) -> bytes:
    blocks = list(walk_gif(data))
    head = data[: blocks[0].start if blocks else GIF_SCREEN_END]
    return head + _join(data, (block for block in blocks if _is_kept_in_gif(data, block)))


def _is_kept_in_gif(data: bytes, block: Segment) -> bool:
    if block.kind == GIF_APPLICATION:
        return data[block.body + 1 : block.body + 12] in GIF_LOOPS
    return block.kind != GIF_COMMENT


def _webp(data: bytes) -> bytes:
    chunks = []
    for chunk in walk_webp(data):
        if chunk.kind in WEBP_KEPT:
            # The last padding byte may be missing.
            content = data[chunk.start : chunk.end].ljust(chunk.end - chunk.start, b"\0")
            if chunk.kind == b"VP8X":
                flags = content[8] & ~WEBP_METADATA_FLAGS
                content = content[:8] + bytes([flags]) + content[9:]
            chunks.append(content)
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + len(body).to_bytes(RIFF_HEADER_BYTES - 8, "little") + body


def _avif(data: bytes) -> bytes | None:
    # Whether there are any is enough.
    has_items = any(True for _ in read_metadata_items(data, 0))
    return None if has_items or any(box.kind in AVIF_METADATA for box in walk_boxes(data)) else data


def _join(data: bytes, segments: Iterable[Segment]) -> bytes:
    return b"".join(data[segment.start : segment.end] for segment in segments)


_REMOVERS: Mapping[ImageFormat, Callable[[bytes], bytes | None]] = {
    formats.PNG: _png,
    formats.JPEG: _jpeg,
    formats.GIF: _gif,
    formats.WEBP: _webp,
    formats.AVIF: _avif,
}
