"""The ways in which pictures carry text as bytes, and what a text must not hold. Pure.

Nothing here raises: what cannot be read is replaced.
"""

UNICODE_HEADER, ASCII_HEADER = b"UNICODE\0", b"ASCII\0\0\0"
COMMENT_HEADERS = (UNICODE_HEADER, ASCII_HEADER, b"UTF8\0\0\0\0", b"UTF-8\0\0\0", b"JIS\0\0\0\0\0", bytes(8))


def decode_utf8_or_latin1(data: bytes) -> str:
    """Text that is UTF-8, or else Latin-1: PNG demands the latter, and most programs write the former."""
    try:
        return strip_nul_and_bom(data.decode())
    except UnicodeDecodeError:
        return strip_nul_and_bom(data.decode("latin-1"))


def decode_utf8(data: bytes) -> str:
    """Text that says it is UTF-8."""
    return strip_nul_and_bom(data.decode(errors="replace"))


def decode_exif_comment(data: bytes, *, big_endian: bool) -> str:
    """A comment of EXIF: eight bytes that name the encoding, then text. ``big_endian`` is the order of the file."""
    header = data[:8] if data[:8] in COMMENT_HEADERS else b""
    text = data[len(header) :]
    if header == UNICODE_HEADER or _zeros(text) != (0, 0):
        return decode_utf16(text, big_endian=big_endian)
    return decode_utf8_or_latin1(text)


def decode_utf16(data: bytes, *, big_endian: bool) -> str:
    """Two bytes a character, in the order that a mark or else the zeros tell, and that of the file where none does.

    Where there are no zeros at all, as in no text that names a parameter, and it reads as UTF-8, it is that.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return strip_nul_and_bom(data.decode("utf-16", "replace"))
    even, odd = _zeros(data)
    if even == odd == 0 and _is_utf8(data):
        return decode_utf8(data)
    if even != odd:
        big_endian = even > odd
    return strip_nul_and_bom(data.decode("utf-16-be" if big_endian else "utf-16-le", "replace"))


def strip_nul_and_bom(text: str) -> str:
    """Without NUL, which databases refuse, and without a mark of byte order before it."""
    return text.replace("\0", "").removeprefix("\ufeff")


def _zeros(data: bytes) -> tuple[int, int]:
    inside = data.rstrip(b"\0")
    return inside[0::2].count(0), inside[1::2].count(0)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
