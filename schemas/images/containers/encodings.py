"""Decoding of texts in image files, whose encoding is often undeclared or declared wrongly.

Nothing here raises: undecodable bytes are replaced. No result contains NUL, which databases refuse.
"""

UNICODE_HEADER, ASCII_HEADER = b"UNICODE\0", b"ASCII\0\0\0"
COMMENT_HEADERS = (UNICODE_HEADER, ASCII_HEADER, b"UTF8\0\0\0\0", b"UTF-8\0\0\0", b"JIS\0\0\0\0\0", bytes(8))


def decode_utf8_or_latin1(data: bytes) -> str:
    """Decode UTF-8, or else Latin-1: PNG demands the latter, most programs write the former."""
    try:
        return strip_nul_and_bom(data.decode())
    except UnicodeDecodeError:
        return strip_nul_and_bom(data.decode("latin-1"))


def decode_utf8(data: bytes) -> str:
    """Decode text that is declared to be UTF-8."""
    return strip_nul_and_bom(data.decode(errors="replace"))


def decode_exif_comment(data: bytes, *, big_endian: bool) -> str:
    """Decode an EXIF comment: eight bytes that name the encoding, then the text. ``big_endian`` is the file's order."""
    header = data[:8] if data[:8] in COMMENT_HEADERS else b""
    text = data[len(header) :]
    if header == UNICODE_HEADER or _count_zeros(text) != (0, 0):
        return decode_utf16(text, big_endian=big_endian)
    return decode_utf8_or_latin1(text)


def decode_utf16(data: bytes, *, big_endian: bool) -> str:
    """Decode UTF-16 in the byte order of the BOM, or else the likely one; ``big_endian`` is the file's byte order."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return strip_nul_and_bom(data.decode("utf-16", "replace"))
    even, odd = _count_zeros(data)
    if even == odd == 0 and _is_utf8(data):
        # Generation parameters contain ASCII, so UTF-16 would have zero bytes: some writers declare UTF-8 as UNICODE.
        return decode_utf8(data)
    if even != odd:
        # ASCII characters have their zero byte first in big-endian order, whatever the file's order is.
        big_endian = even > odd
    return strip_nul_and_bom(data.decode("utf-16-be" if big_endian else "utf-16-le", "replace"))


def strip_nul_and_bom(text: str) -> str:
    """Return ``text`` without NUL characters and without a leading byte order mark."""
    return text.replace("\0", "").removeprefix("\ufeff")


def _count_zeros(data: bytes) -> tuple[int, int]:
    """Count zero bytes at even and at odd offsets, without those that pad the end."""
    content = data.rstrip(b"\0")
    return content[0::2].count(0), content[1::2].count(0)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
