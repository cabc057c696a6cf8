"""Walk over the elements of WebM files (Matroska, RFC 9559, in EBML, RFC 8794) without decoding them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from schemas.images.containers.segments import broken, torn

HEADER, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
TRACKS, TRACK_ENTRY, VIDEO = 0x1654AE6B, 0xAE, 0xE0
PIXEL_WIDTH, PIXEL_HEIGHT = 0xB0, 0xBA
SIMPLE_BLOCK, BLOCK_GROUP = 0xA3, 0xA0
TAGS, ATTACHMENTS, VOID = 0x1254C367, 0x1941A469, 0xEC
# Elements whose content is read; all others are skipped.
ENTERED = frozenset({SEGMENT, CLUSTER, TRACKS, TRACK_ENTRY, VIDEO})
MAX_ID_BYTES, MAX_SIZE_BYTES = 4, 8
MAX_NUMBER_BYTES = 8
# Enough for hours of video; reading more would only take time.
MAX_ELEMENTS = 300_000


class Element(NamedTuple):
    """An element, by offsets: where it begins with its head, where its content begins, and where that ends."""

    identifier: int
    start: int
    body: int
    end: int


@dataclass(slots=True)
class ElementSummary:
    """Size in pixels, number of blocks, and end of a file."""

    width: int = 0
    height: int = 0
    blocks: int = 0
    end: int = 0


def summarize(data: bytes) -> ElementSummary:
    """Read the elements of a whole file.

    Programs that write while they record leave the sizes of the segment and its clusters open; such a file may end
    after any block.

    Raises:
        FormatError: ``broken`` if the file is torn or malformed.
    """
    summary = ElementSummary()
    for element in walk_elements(data):
        if element.identifier in (PIXEL_WIDTH, PIXEL_HEIGHT):
            _read_pixels(summary, element.identifier, data[element.body : element.end])
        summary.blocks += element.identifier in (SIMPLE_BLOCK, BLOCK_GROUP)
        # The segment is the last element; if its size is known, whatever follows does not belong to the video.
        summary.end = max(summary.end, element.end)
    return summary


def walk_elements(data: bytes) -> Iterator[Element]:
    """Yield the elements in their order, each before those that it contains; raises as ``summarize``."""
    position, end, elements = 0, len(data), 0
    while position < end:
        elements += 1
        if elements > MAX_ELEMENTS:
            raise broken(f"it has more than {MAX_ELEMENTS:,} elements")
        identifier, body = _read_number(data, position, MAX_ID_BYTES, keep_marker=True)
        size, body = _read_number(data, body, MAX_SIZE_BYTES, keep_marker=False)
        is_open = size == (1 << 7 * (body - _size_start(data, position))) - 1
        content_end = end if is_open else body + size
        if content_end > len(data) or (is_open and identifier not in ENTERED):
            raise torn(f"element {identifier:X}", data)
        if identifier == SEGMENT:
            end = content_end
        yield Element(identifier, position, body, content_end)
        position = body if identifier in ENTERED else content_end


def _read_pixels(summary: ElementSummary, identifier: int, content: bytes) -> None:
    if len(content) > MAX_NUMBER_BYTES:
        raise broken("a number has too many bytes")
    value = int.from_bytes(content)
    if identifier == PIXEL_WIDTH:
        summary.width = max(summary.width, value)
    else:
        summary.height = max(summary.height, value)


def _size_start(data: bytes, position: int) -> int:
    return position + _length(data, position, MAX_ID_BYTES)


def _length(data: bytes, position: int, max_bytes: int) -> int:
    if position >= len(data):
        raise torn("an element's head", data)
    length = 9 - data[position].bit_length()
    if length > max_bytes:
        raise broken(f"there is no element at byte {position}")
    return length


def _read_number(data: bytes, position: int, max_bytes: int, *, keep_marker: bool) -> tuple[int, int]:
    """Return a variable-length number, with or without the bit that marks its length, and where it ends."""
    length = _length(data, position, max_bytes)
    if position + length > len(data):
        raise torn("an element's head", data)
    value = int.from_bytes(data[position : position + length])
    return (value if keep_marker else value & ((1 << 7 * length) - 1)), position + length
