"""Writes a text into a PNG file without decoding its pixels."""

import struct
import zlib

from schemas.images.containers.segments import PNG_SIGNATURE_BYTES

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Length, kind, thirteen bytes of content and checksum.
HEADER_CHUNK_BYTES = 25


def add_png_text(data: bytes, keyword: str, text: str) -> bytes:
    """Return the file with a text under ``keyword`` (Latin-1), before its other chunks.

    Texts that Latin-1 cannot express become an international one (``iTXt``), as most programs write them.

    Raises:
        ValueError: ``data`` is no PNG file.
    """
    start = PNG_SIGNATURE_BYTES + HEADER_CHUNK_BYTES
    if not data.startswith(SIGNATURE) or data[12:16] != b"IHDR" or len(data) < start:
        raise ValueError("not a PNG file")
    try:
        kind, body = b"tEXt", text.encode("latin-1")
    except UnicodeEncodeError:
        # Neither compressed, nor in a named language, nor with a translated keyword.
        kind, body = b"iTXt", b"\0\0\0\0" + text.encode()
    return data[:start] + _chunk(kind, keyword.encode("latin-1") + b"\0" + body) + data[start:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
