"""Where PNG, JPEG, WebP and GIF carry text, and how much of it is read. Pure.

Sources: the formats' standards. Files may be torn: what stands before counts.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.images.containers import encodings
from schemas.images.containers.exif import read_exif_texts

# Of one text and of all of them, in bytes after unpacking.
MAX_TEXT_BYTES = 4_000_000
MAX_TOTAL_BYTES = 8_000_000
MAX_TEXTS = 100
# What a byte of deflate unpacks to at most.
MAX_DEFLATE_RATIO = 1032
MAX_CHUNKS = 100_000
MAX_GIF_BLOCKS = 500_000
PNG = b"\x89PNG\r\n\x1a\n"
FILL = re.compile(rb"\xff+")
NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
START_OF_SCAN, END_OF_IMAGE, APP1, COMMENT = 0xDA, 0xD9, 0xE1, 0xFE
GIF_EXTENSION, GIF_IMAGE, GIF_COMMENT = 0x21, 0x2C, 0xFE


@dataclass(slots=True)
class TextChunks:
    """What a file carries: under keywords (of each the first), and without one. Beyond the limits nothing is taken."""

    by_keyword: dict[str, str] = field(default_factory=dict)
    unkeyed: list[str] = field(default_factory=list)
    remaining_bytes: int = MAX_TOTAL_BYTES

    def add(self, text: str, keyword: str | None = None) -> None:
        """Keeps a text, if there is room."""
        if not text.strip() or len(self.by_keyword) + len(self.unkeyed) >= MAX_TEXTS:
            return
        if keyword is None:
            self.unkeyed.append(text)
        else:
            self.by_keyword.setdefault(keyword, text)

    def take(self, raw: bytes) -> bytes:
        """The bytes of a text, of which no more can be taken later; none if they are too many."""
        if len(raw) > min(MAX_TEXT_BYTES, self.remaining_bytes):
            return b""
        self.remaining_bytes -= len(raw)
        return raw

    def decompress(self, packed: bytes) -> bytes:
        """The same of a text that is compressed; what is damaged or a bomb costs what it took to see that."""
        most = min(MAX_TEXT_BYTES, self.remaining_bytes)
        if most <= 0:
            return b""
        try:
            found = zlib.decompressobj().decompress(packed, most + 1)
        except zlib.error:
            self.remaining_bytes -= min(most, MAX_DEFLATE_RATIO * len(packed))
            return b""
        self.remaining_bytes -= min(most, len(found))
        return found if len(found) <= most else b""


def read_text_chunks(data: bytes) -> TextChunks:
    """All texts of a file in one of the four formats; none of any other."""
    texts = TextChunks()
    if data.startswith(PNG):
        _read_png(data, texts)
    elif data.startswith(b"\xff\xd8"):
        _read_jpeg(data, texts)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        _read_webp(data, texts)
    elif data[:6] in (b"GIF87a", b"GIF89a"):
        _read_gif(data, texts)
    return texts


def _read_png(data: bytes, texts: TextChunks) -> None:
    at = len(PNG)
    for _ in range(MAX_CHUNKS):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if len(kind) < 4 or kind == b"IEND":
            return
        body = slice(at + 8, at + 8 + size)
        if kind in (b"tEXt", b"zTXt", b"iTXt") and size <= MAX_TEXT_BYTES:
            _add_png_text(kind, data[body], texts)
        elif kind == b"eXIf":
            _add_exif(data[body], texts)
        at += 12 + size


def _add_png_text(kind: bytes, body: bytes, texts: TextChunks) -> None:
    keyword, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        text = encodings.decode_utf8_or_latin1(texts.take(rest))
    elif kind == b"zTXt":
        text = encodings.decode_utf8_or_latin1(texts.decompress(rest[1:]))
    else:
        content = rest[2:].split(b"\0", 2)[-1]
        text = encodings.decode_utf8(texts.decompress(content) if rest[:1] == b"\1" else texts.take(content))
    texts.add(text, encodings.decode_utf8_or_latin1(keyword[:79]))


def _add_exif(body: bytes, texts: TextChunks) -> None:
    for text in read_exif_texts(texts.take(body)):
        texts.add(text)


def _read_jpeg(data: bytes, texts: TextChunks) -> None:
    at = 2
    for _ in range(MAX_CHUNKS):
        fill = FILL.match(data, at)
        at = fill.end() - 1 if fill else at
        marker = data[at + 1] if data[at : at + 1] == b"\xff" and at + 1 < len(data) else END_OF_IMAGE
        if marker in (START_OF_SCAN, END_OF_IMAGE):
            return
        size = 0 if marker in NO_LENGTH else int.from_bytes(data[at + 2 : at + 4])
        body = data[at + 4 : at + 2 + size]
        if marker == APP1 and body.startswith(b"Exif\0\0"):
            _add_exif(body, texts)
        elif marker == COMMENT:
            texts.add(encodings.decode_exif_comment(texts.take(body), big_endian=True))
        at += 2 + size


def _read_webp(data: bytes, texts: TextChunks) -> None:
    at = 12
    for _ in range(MAX_CHUNKS):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if len(kind) < 4:
            return
        if kind == b"EXIF":
            _add_exif(data[at + 8 : at + 8 + size], texts)
        at += 8 + size + size % 2


def _read_gif(data: bytes, texts: TextChunks) -> None:
    at = 13 + _gif_colours(data[10:11])
    left = MAX_GIF_BLOCKS
    while left > 0:
        kind = data[at] if at < len(data) else None
        if kind == GIF_EXTENSION:
            is_comment = data[at + 1 : at + 2] == bytes([GIF_COMMENT])
            at += 2
        elif kind == GIF_IMAGE:
            is_comment = False
            at += 11 + _gif_colours(data[at + 9 : at + 10])
        else:
            return
        parts = []
        for part in _gif_blocks(data, at, left):
            at += 1 + len(part)
            left -= 1
            if is_comment:
                parts.append(part)
        at, left = at + 1, left - 1
        texts.add(encodings.decode_utf8_or_latin1(texts.take(b"".join(parts))))


def _gif_blocks(data: bytes, at: int, most: int) -> Iterator[bytes]:
    for _ in range(most):
        size = data[at] if at < len(data) else 0
        if not size:
            return
        yield data[at + 1 : at + 1 + size]
        at += 1 + size


def _gif_colours(flags: bytes) -> int:
    """How many bytes the table of colours takes, if there is one."""
    return 3 << (flags[0] % 8 + 1) if flags and flags[0] & 0x80 else 0
