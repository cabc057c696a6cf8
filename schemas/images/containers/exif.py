"""EXIF: the few texts in it that programs put their parameters into. Pure.

Source: the Exif standard (CIPA DC-008) and TIFF 6.0. Torn and looping directories end early.
"""

import struct
from collections.abc import Iterator

from schemas.images.containers import encodings

EXIF_IFD = 0x8769
USER_COMMENT, XP_COMMENT = 0x9286, 0x9C9C
# ImageDescription, Make, Model, then the two comments.
TEXT_TAGS = (0x010E, 0x010F, 0x0110, USER_COMMENT, XP_COMMENT)
BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
MAX_ENTRIES = 1000
BYTE, TEXT, UNDEFINED = 1, 2, 7


def read_exif_texts(data: bytes) -> list[str]:
    """The texts of both directories, comments last; of each name the first. ``data`` begins with the byte order."""
    data = data.removeprefix(b"Exif\0\0")
    order = BYTE_ORDERS.get(data[:4])
    if order is None or len(data) < 8:
        return []
    found: dict[int, str] = {}
    first = list(_entries(data, order, struct.unpack_from(order + "I", data, 4)[0]))
    inner = [_number(order, value) for tag, _, value in first if tag == EXIF_IFD][:1]
    second = [entry for start in inner for entry in _entries(data, order, start)]
    for tag, count_type, value in first + second:
        if tag in TEXT_TAGS and tag not in found and (text := _text(data, order, tag, count_type, value).strip()):
            found[tag] = text
    return [found[tag] for tag in sorted(found)]


def _entries(data: bytes, order: str, start: int) -> Iterator[tuple[int, tuple[int, int], bytes]]:
    """Tag, (type, count) and the four bytes that hold the value or say where it is."""
    if start + 2 > len(data):
        return
    (count,) = struct.unpack_from(order + "H", data, start)
    for at in range(start + 2, start + 2 + 12 * min(count, MAX_ENTRIES), 12):
        if at + 12 > len(data):
            return
        tag, kind, length = struct.unpack_from(order + "HHI", data, at)
        yield tag, (kind, length), data[at + 8 : at + 12]


def _text(data: bytes, order: str, tag: int, count_type: tuple[int, int], value: bytes) -> str:
    kind, length = count_type
    if kind not in (BYTE, TEXT, UNDEFINED):
        return ""
    start = _number(order, value)
    raw = value[:length] if length <= 4 else data[start : start + length]
    if tag == USER_COMMENT:
        return encodings.decode_exif_comment(raw, big_endian=order == ">")
    if tag == XP_COMMENT:
        return encodings.decode_utf16(raw, big_endian=False)
    return encodings.decode_utf8_or_latin1(raw)


def _number(order: str, value: bytes) -> int:
    return int(struct.unpack(order + "I", value)[0])
