"""The ways in which pictures carry text as bytes, and what a text must not hold. Pure.

Nothing here raises: what cannot be read is replaced.
"""

UNICODE, ASCII = b"UNICODE\0", b"ASCII\0\0\0"
HEADERS = (UNICODE, ASCII, b"UTF8\0\0\0\0", b"UTF-8\0\0\0", b"JIS\0\0\0\0\0", bytes(8))


def plain(data: bytes) -> str:
    """Text that is UTF-8, or else Latin-1: PNG demands the latter, and most programs write the former."""
    try:
        return clean(data.decode())
    except UnicodeDecodeError:
        return clean(data.decode("latin-1"))


def utf8(data: bytes) -> str:
    """Text that says it is UTF-8."""
    return clean(data.decode(errors="replace"))


def comment(data: bytes, *, big_endian: bool) -> str:
    """A comment of EXIF: eight bytes that name the encoding, then text. ``big_endian`` is the order of the file."""
    header = data[:8] if data[:8] in HEADERS else b""
    text = data[len(header) :]
    if header == UNICODE or _zeros(text) != (0, 0):
        return utf16(text, big_endian=big_endian)
    return plain(text)


def utf16(data: bytes, *, big_endian: bool) -> str:
    """Two bytes a character, in the order that a mark or else the zeros tell, and that of the file where none does.

    Where there are no zeros at all, as in no text that names a parameter, and it reads as UTF-8, it is that.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return clean(data.decode("utf-16", "replace"))
    even, odd = _zeros(data)
    if even == odd == 0 and _is_utf8(data):
        return utf8(data)
    if even != odd:
        big_endian = even > odd
    return clean(data.decode("utf-16-be" if big_endian else "utf-16-le", "replace"))


def clean(text: str) -> str:
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
