"""Walk over the boxes of AVIF and MP4 files (ISO base media, ISO 14496-12) without decoding them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from schemas.images.containers.segments import Segment, broken, torn

# Boxes at the top level of a file; anything else does not belong to the picture.
TOP_LEVEL = frozenset(b"ftyp styp meta mdat moov moof mfra sidx ssix free skip wide uuid idat pdin emsg prft".split())
# Boxes that contain boxes, and how many bytes stand before those.
CONTAINERS = {
    b"moov": 0,
    b"trak": 0,
    b"mdia": 0,
    b"minf": 0,
    b"stbl": 0,
    b"iprp": 0,
    b"ipco": 0,
    b"meta": 4,
}
HEADER_BYTES, LONG_HEADER_BYTES = 8, 16
# Deeper nesting has no meaning in these containers.
MAX_DEPTH = 8
# Of a valid file, however long; reading more would only take time.
MAX_BOXES = 10_000
# tkhd: the offsets of the width by the version of the box; the height follows. Both are 16.16 fixed-point numbers.
TRACK_WIDTH_OFFSETS = {0: 76, 1: 88}
SAMPLE_COUNT_OFFSET = 8


@dataclass(slots=True)
class BoxSummary:
    """Size in pixels, number of samples of the longest track, and end of a file."""

    width: int = 0
    height: int = 0
    samples: int = 0
    end: int = 0
    has_data: bool = False
    boxes: int = 0


def summarize(data: bytes) -> BoxSummary:
    """Read the boxes of a whole file.

    Raises:
        FormatError: ``broken`` if the file is torn or has no media data.
    """
    summary = BoxSummary()
    for box in walk_boxes(data):
        summary.end = box.end
        summary.has_data |= box.kind == b"mdat"
        if box.kind in CONTAINERS:
            _read_container(data, box, summary, 0)
    if not summary.has_data:
        raise torn("its description, before its pixels", data)
    return summary


def walk_boxes(data: bytes) -> Iterator[Segment]:
    """Yield the boxes at the top level, up to the first that does not belong to such a file."""
    position = 0
    while position + HEADER_BYTES <= len(data) and data[position + 4 : position + 8] in TOP_LEVEL:
        box = _read_box(data, position, len(data))
        yield box
        if box.end > len(data):
            raise torn(f"box {box.kind.decode('latin-1')!r}", data)
        position = box.end


def walk_inner_boxes(data: bytes, box: Segment, kinds: Collection[bytes], depth: int = 0) -> Iterator[Segment]:
    """Yield the boxes within one that ``walk_boxes`` has yielded, and within those of the given kinds."""
    if depth >= MAX_DEPTH:
        raise broken(f"its boxes are nested more than {MAX_DEPTH} deep")
    position = box.body
    while position + HEADER_BYTES <= box.end:
        inner = _read_box(data, position, box.end)
        if inner.end > box.end:
            raise broken(f"box {inner.kind.decode('latin-1')!r} goes beyond the one around it")
        yield inner
        if inner.kind in kinds:
            yield from walk_inner_boxes(data, inner, kinds, depth + 1)
        position = inner.end


def _read_container(data: bytes, box: Segment, summary: BoxSummary, depth: int) -> None:
    position = box.body + CONTAINERS[box.kind]
    while position + HEADER_BYTES <= box.end and depth < MAX_DEPTH:
        inner = _read_box(data, position, box.end)
        summary.boxes += 1
        if summary.boxes > MAX_BOXES:
            raise broken(f"it has more than {MAX_BOXES:,} boxes")
        if inner.end > box.end:
            raise broken(f"box {inner.kind.decode('latin-1')!r} goes beyond the one around it")
        if inner.kind in CONTAINERS:
            _read_container(data, inner, summary, depth + 1)
        elif inner.kind == b"idat":
            # Small pictures may have their data inside ``meta``.
            summary.has_data = True
        elif inner.kind == b"ispe":
            _enlarge(summary, _uint(data, inner.body + 4, inner), _uint(data, inner.body + 8, inner))
        elif inner.kind == b"tkhd" and (offset := TRACK_WIDTH_OFFSETS.get(data[inner.body])):
            width, height = _uint(data, inner.body + offset, inner), _uint(data, inner.body + offset + 4, inner)
            _enlarge(summary, width >> 16, height >> 16)
        elif inner.kind == b"stsz":
            summary.samples = max(summary.samples, _uint(data, inner.body + SAMPLE_COUNT_OFFSET, inner))
        position = inner.end


def _read_box(data: bytes, position: int, end: int) -> Segment:
    size, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
    header = HEADER_BYTES
    if size == 1:
        size, header = int.from_bytes(data[position + 8 : position + 16]), LONG_HEADER_BYTES
    elif size == 0:
        # The last box reaches to the end of the file.
        size = end - position
    if size < header:
        raise broken(f"box {kind.decode('latin-1')!r} is smaller than its header")
    return Segment(kind, position, position + header, position + size, position + size)


def _enlarge(summary: BoxSummary, width: int, height: int) -> None:
    summary.width, summary.height = max(summary.width, width), max(summary.height, height)


def _uint(data: bytes, start: int, box: Segment) -> int:
    return int.from_bytes(data[start : start + 4]) if start + 4 <= box.end else 0
