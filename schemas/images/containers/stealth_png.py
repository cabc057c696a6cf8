"""Texts that the "stealth PNG" extension hides in the lowest bits of pixels.

Bits are read column by column, from the left and from the top, of the alpha channel or of red, green and blue in turn:
a signature of 15 bytes, the number of text bits (32 bits, big-endian), the text. Source: the extension's code.
"""

import zlib
from collections.abc import Iterator, Mapping

from schemas.images.containers import encodings

ALPHA, RGB = (3,), (0, 1, 2)
SIGNATURE_BYTES = 15
HEADER_BYTES = SIGNATURE_BYTES + 4
# More are only needed by images of less than one row.
HEADER_COLUMNS = HEADER_BYTES * 8
MAX_TEXT_BYTES = 4_000_000
# By signature: whether the text is compressed with gzip.
ALPHA_SIGNATURES = {b"stealth_pnginfo": False, b"stealth_pngcomp": True}
RGB_SIGNATURES = {b"stealth_rgbinfo": False, b"stealth_rgbcomp": True}
SIGNATURES: Mapping[tuple[int, ...], Mapping[bytes, bool]] = {ALPHA: ALPHA_SIGNATURES, RGB: RGB_SIGNATURES}
GZIP_WBITS = 31
# Translates bytes to their lowest bit as an ASCII digit.
LOW_BIT_DIGITS = bytes(ord("0") + value % 2 for value in range(256))


def has_stealth_text(rgba: bytes, width: int, height: int) -> bool:
    """Whether pixels of four bytes each, row by row, begin with a signature.

    The first ``HEADER_COLUMNS`` columns of an image are enough.
    """
    if width < 1 or height < 1 or len(rgba) != width * height * 4:
        return False
    return any(
        _read_bytes(rgba, width, channels, SIGNATURE_BYTES) in signatures for channels, signatures in SIGNATURES.items()
    )


def read_stealth_text(rgba: bytes, width: int, height: int) -> str | None:
    """Return the text hidden in pixels of four bytes each, row by row; None if there is none."""
    if width < 1 or height < 1 or len(rgba) != width * height * 4:
        return None
    for channels, signatures in SIGNATURES.items():
        header = _read_bytes(rgba, width, channels, HEADER_BYTES)
        is_compressed = signatures.get(header[:SIGNATURE_BYTES])
        if is_compressed is None:
            continue
        size = int.from_bytes(header[SIGNATURE_BYTES:]) // 8
        if size > MAX_TEXT_BYTES:
            return None
        text = _read_bytes(rgba, width, channels, HEADER_BYTES + size)[HEADER_BYTES:]
        if is_compressed:
            try:
                text = zlib.decompressobj(wbits=GZIP_WBITS).decompress(text, MAX_TEXT_BYTES + 1)
            except zlib.error:
                return None
        return encodings.decode_utf8(text) if len(text) <= MAX_TEXT_BYTES else None
    return None


def _read_bytes(rgba: bytes, width: int, channels: tuple[int, ...], count: int) -> bytes:
    """Return the first ``count`` bytes that the lowest bits form, or fewer if the image has fewer."""
    columns, bits = [], 0
    for column in _columns(rgba, width, channels):
        columns.append(column)
        bits += len(column)
        if bits >= count * 8:
            break
    digits = b"".join(columns)[: min(count * 8, bits // 8 * 8)]
    # A leading 1 keeps leading zeros; int() of binary digits is linear in their number.
    return int(b"1" + digits, 2).to_bytes(len(digits) // 8 + 1)[1:]


def _columns(rgba: bytes, width: int, channels: tuple[int, ...]) -> Iterator[bytes]:
    """Yield the lowest bits of each column, from the top, as ASCII digits."""
    for x in range(width):
        column = bytearray(len(rgba) // (4 * width) * len(channels))
        for index, channel in enumerate(channels):
            column[index :: len(channels)] = rgba[4 * x + channel :: 4 * width]
        yield bytes(column).translate(LOW_BIT_DIGITS)
