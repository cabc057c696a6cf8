"""Texts in the lowest bits of pixels, as the stealth PNG extension writes them: column by column. Pure.

A mark of 15 letters, how many bits follow (32 of them, big end first), the text.
"""

import zlib
from collections.abc import Iterator

from schemas.images.containers import encodings

SIGNATURE_BYTES = 15
MAX_TEXT_BYTES = 4_000_000
# By the mark: whether it is compressed. The first two lie in alpha, the others in red, green and blue by turns.
ALPHA_SIGNATURES = {b"stealth_pnginfo": False, b"stealth_pngcomp": True}
RGB_SIGNATURES = {b"stealth_rgbinfo": False, b"stealth_rgbcomp": True}
LOW_BIT_DIGITS = bytes(ord("0") + value % 2 for value in range(256))


def read_stealth_text(rgba: bytes, width: int, height: int) -> str | None:
    """The text in such pixels, four bytes each and row by row; None if there is none."""
    if width < 1 or height < 1 or len(rgba) != width * height * 4:
        return None
    for channels, marks in (((3,), ALPHA_SIGNATURES), ((0, 1, 2), RGB_SIGNATURES)):
        head = _bytes(rgba, width, channels, SIGNATURE_BYTES + 4)
        packed = marks.get(head[:SIGNATURE_BYTES])
        if packed is not None:
            size = int.from_bytes(head[SIGNATURE_BYTES:]) // 8
            return _text(rgba, width, channels, size, packed=packed)
    return None


def _text(rgba: bytes, width: int, channels: tuple[int, ...], size: int, *, packed: bool) -> str | None:
    if size > MAX_TEXT_BYTES:
        return None
    body = _bytes(rgba, width, channels, SIGNATURE_BYTES + 4 + size)[SIGNATURE_BYTES + 4 :]
    if packed:
        try:
            body = zlib.decompressobj(wbits=31).decompress(body, MAX_TEXT_BYTES + 1)
        except zlib.error:
            return None
    return encodings.decode_utf8(body) if len(body) <= MAX_TEXT_BYTES else None


def _bytes(rgba: bytes, width: int, channels: tuple[int, ...], count: int) -> bytes:
    """The first so many bytes that the bits make up, or fewer where the picture ends."""
    parts, bits = [], 0
    for column in _columns(rgba, width, channels):
        parts.append(column)
        bits += len(column)
        if bits >= count * 8:
            break
    digits = b"".join(parts)[: min(count * 8, bits // 8 * 8)]
    return int(b"1" + digits, 2).to_bytes(len(digits) // 8 + 1)[1:]


def _columns(rgba: bytes, width: int, channels: tuple[int, ...]) -> Iterator[bytes]:
    """Of each column, from the left, the lowest bits from the top, as digits."""
    for x in range(width):
        column = bytearray(len(rgba) // (4 * width) * len(channels))
        for place, channel in enumerate(channels):
            column[place :: len(channels)] = rgba[4 * x + channel :: 4 * width]
        yield bytes(column).translate(LOW_BIT_DIGITS)
