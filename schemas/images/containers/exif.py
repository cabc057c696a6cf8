"""The EXIF texts that image generators put their parameters into.

Source: the Exif standard (CIPA DC-008) and TIFF 6.0. Torn directories and loops of directories end the reading.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas.images.containers import encodings

# Precedes the TIFF header in JPEG, and, because of faulty writers, in other formats.
EXIF_HEADER = b"Exif\0\0"
EXIF_IFD = 0x8769
USER_COMMENT, XP_COMMENT = 0x9286, 0x9C9C
# ImageDescription, Make, Model, then the two comments.
TEXT_TAGS = (0x010E, 0x010F, 0x0110, USER_COMMENT, XP_COMMENT)
BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
MAX_ENTRIES = 1000
ENTRY_BYTES = 12
# Field types; the other ones are numbers.
BYTE, ASCII, UNDEFINED = 1, 2, 7


class _Entry(NamedTuple):
    """A directory entry; ``value`` is the value itself or, if its ``length`` exceeds four bytes, its offset."""

    tag: int
    type: int
    length: int
    value: bytes


def read_exif_texts(data: bytes) -> list[str]:
    """Return the texts of the first directory and its Exif directory, by ascending tag; of each tag the first.

    In a directory only the first entry of a tag is read: all entries can name the same bytes of the block.
    """
    data = data.removeprefix(EXIF_HEADER)
    order = BYTE_ORDERS.get(data[:4])
    if order is None or len(data) < 8:
        return []
    main = list(_read_directory(data, order, _uint32(order, data[4:8])))
    nested = [_uint32(order, entry.value) for entry in main if entry.tag == EXIF_IFD][:1]
    exif = [entry for start in nested for entry in _read_directory(data, order, start)]
    texts: dict[int, str] = {}
    for entry in _first_texts(main) + _first_texts(exif):
        if entry.tag not in texts and (text := _read_text(data, order, entry).strip()):
            texts[entry.tag] = text
    return [texts[tag] for tag in sorted(texts)]


def _first_texts(entries: Sequence[_Entry]) -> list[_Entry]:
    """Return the first entry of each tag with a text."""
    first = {entry.tag: entry for entry in reversed(entries)}
    return [first[tag] for tag in TEXT_TAGS if tag in first]


def _read_directory(data: bytes, order: str, start: int) -> Iterator[_Entry]:
    if start + 2 > len(data):
        return
    (count,) = struct.unpack_from(order + "H", data, start)
    first = start + 2
    for offset in range(first, first + ENTRY_BYTES * min(count, MAX_ENTRIES), ENTRY_BYTES):
        if offset + ENTRY_BYTES > len(data):
            return
        tag, type_, length = struct.unpack_from(order + "HHI", data, offset)
        yield _Entry(tag, type_, length, data[offset + 8 : offset + ENTRY_BYTES])


def _read_text(data: bytes, order: str, entry: _Entry) -> str:
    if entry.type not in (BYTE, ASCII, UNDEFINED):
        return ""
    start = _uint32(order, entry.value)
    raw = entry.value[: entry.length] if entry.length <= 4 else data[start : start + entry.length]
    if entry.tag == USER_COMMENT:
        return encodings.decode_exif_comment(raw, big_endian=order == ">")
    if entry.tag == XP_COMMENT:
        return encodings.decode_utf16(raw, big_endian=False)
    return encodings.decode_utf8_or_latin1(raw)


def _uint32(order: str, value: bytes) -> int:
    return int(struct.unpack(order + "I", value)[0])
