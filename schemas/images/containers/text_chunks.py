"""Texts in PNG, JPEG, WebP, GIF and AVIF files, within limits on their size and number.

Files may be torn or damaged: the texts before the damage are returned. Nothing here raises.
"""

import contextlib
import itertools
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from schemas.format_error import FormatError
from schemas.images import formats
from schemas.images.containers import encodings, xmp
from schemas.images.containers.avif_items import EXIF as EXIF_ITEM
from schemas.images.containers.avif_items import read_metadata_items
from schemas.images.containers.exif import EXIF_HEADER, read_exif_texts
from schemas.images.containers.segments import (
    GIF_APPLICATION,
    GIF_COMMENT,
    JPEG_START_OF_SCAN,
    WALKERS,
    Segment,
    join_sub_blocks,
)
from schemas.images.containers.xmp import read_xmp_texts
from schemas.images.formats import ImageFormat

# Limits on one text and on all texts of a file, in bytes after decompression.
MAX_TEXT_BYTES = 4_000_000
MAX_TOTAL_BYTES = 8_000_000
MAX_TEXTS = 100
MAX_SEGMENTS = 100_000
# A byte of deflate expands to no more than this.
MAX_DEFLATE_RATIO = 1032
MAX_KEYWORD_BYTES = 79
PNG_TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
JPEG_APP1, JPEG_COMMENT = b"\xe1", b"\xfe"


@dataclass(slots=True)
class TextChunks:
    """The texts of a file: the first of each keyword, and those without a keyword. Excess texts are dropped."""

    by_keyword: dict[str, str] = field(default_factory=dict)
    unkeyed: list[str] = field(default_factory=list)
    remaining_bytes: int = MAX_TOTAL_BYTES

    def add(self, text: str, keyword: str | None = None) -> None:
        """Add a text unless it is blank or there are too many."""
        if not text.strip() or len(self.by_keyword) + len(self.unkeyed) >= MAX_TEXTS:
            return
        if keyword is None:
            self.unkeyed.append(text)
        else:
            self.by_keyword.setdefault(keyword, text)

    def take(self, raw: bytes) -> bytes:
        """Return ``raw`` and deduct its size from what remains; empty if it is too large."""
        if len(raw) > min(MAX_TEXT_BYTES, self.remaining_bytes):
            return b""
        self.remaining_bytes -= len(raw)
        return raw

    def decompress(self, packed: bytes) -> bytes:
        """Decompress like ``take``; damaged data and bombs reduce the remaining bytes too."""
        limit = min(MAX_TEXT_BYTES, self.remaining_bytes)
        if limit <= 0:
            return b""
        try:
            text = zlib.decompressobj().decompress(packed, limit + 1)
        except zlib.error:
            self.remaining_bytes -= min(limit, MAX_DEFLATE_RATIO * len(packed))
            return b""
        self.remaining_bytes -= min(limit, len(text))
        return text if len(text) <= limit else b""

    def add_exif(self, block: bytes) -> None:
        """Add the texts of an EXIF block."""
        for text in read_exif_texts(self.take(block)):
            self.add(text)

    def add_xmp(self, packet: bytes) -> None:
        """Add the texts of an XMP packet."""
        for text in read_xmp_texts(self.take(packet)):
            self.add(text)


def read_text_chunks(data: bytes) -> TextChunks:
    """Return all texts of an image file; empty for any other data."""
    texts = TextChunks()
    form = formats.detect(data)
    if form is formats.AVIF:
        _read_avif(data, texts)
    read = _READERS.get(form) if form else None
    if form is None or read is None:
        return texts
    with contextlib.suppress(FormatError):
        for segment in itertools.islice(WALKERS[form](data), MAX_SEGMENTS):
            if form is formats.JPEG and segment.kind == JPEG_START_OF_SCAN:
                # JPEG has its texts before the pixels; searching for the end of the scan would only take time.
                break
            read(data, segment, texts)
    return texts


def _read_png(data: bytes, chunk: Segment, texts: TextChunks) -> None:
    if chunk.kind == b"eXIf":
        texts.add_exif(data[chunk.body : chunk.body_end])
    if chunk.kind not in PNG_TEXT_KINDS or chunk.body_end - chunk.body > MAX_TEXT_BYTES:
        return
    keyword, _, rest = data[chunk.body : chunk.body_end].partition(b"\0")
    if chunk.kind == b"tEXt":
        text = encodings.decode_utf8_or_latin1(texts.take(rest))
    elif chunk.kind == b"zTXt":
        # The first byte names the compression method; there is only one.
        text = encodings.decode_utf8_or_latin1(texts.decompress(rest[1:]))
    else:
        # Compression flag and method, language tag, translated keyword, text.
        content = rest[2:].split(b"\0", 2)[-1]
        text = encodings.decode_utf8(texts.decompress(content) if rest[:1] == b"\1" else texts.take(content))
    name = encodings.decode_utf8_or_latin1(keyword[:MAX_KEYWORD_BYTES])
    if name == xmp.PNG_KEYWORD:
        for inner in read_xmp_texts(text.encode(errors="replace")):
            texts.add(inner)
    else:
        texts.add(text, name)


def _read_jpeg(data: bytes, segment: Segment, texts: TextChunks) -> None:
    body = slice(segment.body, segment.body_end)
    if segment.kind == JPEG_COMMENT:
        texts.add(encodings.decode_exif_comment(texts.take(data[body]), big_endian=True))
    elif segment.kind == JPEG_APP1 and data.startswith(EXIF_HEADER, segment.body):
        texts.add_exif(data[body])
    elif segment.kind == JPEG_APP1 and data.startswith(xmp.JPEG_HEADER, segment.body):
        texts.add_xmp(data[body].removeprefix(xmp.JPEG_HEADER))


def _read_webp(data: bytes, chunk: Segment, texts: TextChunks) -> None:
    if chunk.kind == b"EXIF":
        texts.add_exif(data[chunk.body : chunk.body_end])
    elif chunk.kind == b"XMP ":
        texts.add_xmp(data[chunk.body : chunk.body_end])


def _read_gif(data: bytes, block: Segment, texts: TextChunks) -> None:
    if block.kind == GIF_COMMENT:
        texts.add(encodings.decode_utf8_or_latin1(texts.take(join_sub_blocks(data[block.body : block.body_end]))))
    elif block.kind == GIF_APPLICATION and data.startswith(xmp.GIF_APPLICATION, block.body + 1):
        # The packet is not cut into sub-blocks; what follows it makes a reader of sub-blocks skip it.
        texts.add_xmp(xmp.find_packet(data[block.body : block.body_end]))


def _read_avif(data: bytes, texts: TextChunks) -> None:
    for kind, content in read_metadata_items(data, texts.remaining_bytes):
        if kind == EXIF_ITEM:
            texts.add_exif(content)
        elif kind == xmp.MEDIA_TYPE:
            texts.add_xmp(content)


_READERS: Mapping[ImageFormat, Callable[[bytes, Segment, TextChunks], None]] = {
    formats.PNG: _read_png,
    formats.JPEG: _read_jpeg,
    formats.WEBP: _read_webp,
    formats.GIF: _read_gif,
}
