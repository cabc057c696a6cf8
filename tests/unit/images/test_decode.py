"""What is found out about pictures, and which are refused, as the process that decodes them sees it."""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ops.infra.settings import ROOT
from schemas.format_error import FormatError
from schemas.images.structure import read_structure
from tests.support.images import (
    REJECTED_IMAGES,
    TRAILING_DATA,
    VALID_IMAGES,
    build_png,
    decode,
    draw_animation,
    draw_image,
    png_chunk,
    rotated_jpeg,
)
from workers.images.decode import THUMBNAIL_BOX, DecodeLimits, inspect

IMAGES = ROOT.parent / "shared" / "testdata" / "images"
LIMITS = DecodeLimits()


@pytest.mark.parametrize("name", VALID_IMAGES)
def test_a_picture_is_taken_with_a_thumbnail(name: str) -> None:
    """Every format and mode: its size and type, and a small static WebP."""
    data, media_type = VALID_IMAGES[name]
    seen, thumb = inspect(data, LIMITS)

    assert (seen.type, seen.size_bytes, seen.sha256) == (media_type, len(data), hashlib.sha256(data).hexdigest())
    assert (seen.width, seen.height) == decode(data).size
    assert seen.animated == name.startswith("moving")
    assert (read_structure(thumb).format, read_structure(thumb).frames, read_structure(thumb).end) == (
        "WEBP",
        1,
        len(thumb),
    )
    assert max(decode(thumb).width / THUMBNAIL_BOX[0], decode(thumb).height / THUMBNAIL_BOX[1]) <= 1


@pytest.mark.parametrize("name", REJECTED_IMAGES)
def test_what_is_not_taken_is_told_why(name: str) -> None:
    """In a word and a sentence; nothing is decoded of what is too much by its own account."""
    data, reason = REJECTED_IMAGES[name]
    with pytest.raises(FormatError, match=r"\.$") as caught:
        inspect(data, LIMITS)
    assert caught.value.code == reason


def test_a_picture_may_have_so_many_bytes_and_no_more() -> None:
    """Of a file that is not counted while it comes in."""
    data, _media_type = VALID_IMAGES["png"]
    with pytest.raises(FormatError) as caught:
        inspect(data, replace(LIMITS, max_bytes=len(data) - 1))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("name", ["sixteen bits", "cmyk", "colours", "jpeg", "gif"])
def test_a_thumbnail_shows_the_picture(name: str) -> None:
    """In its own colours, whatever it was written in."""
    shown = decode(inspect(VALID_IMAGES[name][0], LIMITS)[1]).convert("L")
    expected = draw_image(mode="L")

    for place in ((8, 8), (56, 40)):
        got, wanted = shown.getpixel(place), expected.getpixel(place)
        assert isinstance(got, int)
        assert isinstance(wanted, int)
        assert abs(got - wanted) < 25, (place, got, wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_s_turn_is_undone(orientation: int) -> None:
    """The thumbnail and the size are those that one sees, and no word of the camera is in the thumbnail."""
    seen, data = inspect(rotated_jpeg(orientation), LIMITS)
    thumb = decode(data)
    lying = orientation >= 5

    assert (seen.width, seen.height) == ((600, 800) if lying else (800, 600))
    assert thumb.size == ((400, 533) if lying else (400, 300))
    orange = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
    pixel = thumb.convert("RGB").getpixel((50 + 300 * orange[0], 50 + (thumb.height - 100) * orange[1]))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 200, pixel
    assert not {"exif", "xmp", "icc_profile"} & set(thumb.info)
    assert b"maker" not in data


@pytest.mark.parametrize("tail", TRAILING_DATA)
@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "gif", "moving gif"])
def test_what_stands_behind_a_picture_is_cut(form: str, tail: str) -> None:
    """A file that is two things becomes one; the hash is that of what is kept."""
    data, _media_type = VALID_IMAGES[form]
    seen, _thumb = inspect(data + TRAILING_DATA[tail], LIMITS)

    assert (seen.size_bytes, seen.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_words_do_not_make_a_good_picture_a_bad_one() -> None:
    """A workflow larger than Pillow reads, one that would unfold to more than fits, and one in no encoding."""
    bomb = zlib.compress(bytes(200 * 1024 * 1024), 1)
    words = (
        png_chunk(b"tEXt", b"workflow\0" + b"x" * 3_000_000),
        png_chunk(b"zTXt", b"prompt\0\0" + bomb),
        png_chunk(b"iTXt", b"\xff\xff\0\x01\0\0\0" + bomb),
        png_chunk(b"iCCP", b"profile\0\0" + bomb),
    )
    data = build_png(4, 4, bytes(20), *words)

    assert inspect(data, LIMITS)[0].size_bytes == len(data)


def test_a_broken_frame_is_named() -> None:
    """The picture is whole by its structure, and the second frame is not."""
    data = draw_animation("PNG")
    start, end = next(png_chunk_places(data, b"fdAT"))
    broken = png_chunk(b"fdAT", data[start + 8 : start + 12] + bytes(range(1, 1 + end - start - 16)))

    with pytest.raises(FormatError, match="frame 2 of 3"):
        inspect(data[:start] + broken + data[end:], LIMITS)


def png_chunk_places(data: bytes, kind: bytes) -> Iterator[tuple[int, int]]:
    """Where chunks of a kind begin and end."""
    place = 8
    while place < len(data):
        end = place + 12 + struct.unpack(">I", data[place : place + 4])[0]
        if data[place + 4 : place + 8] == kind:
            yield place, end
        place = end


@pytest.mark.skipif(not IMAGES.is_dir(), reason="the test data of other programs is not here")
def test_pictures_of_other_programs_are_looked_at() -> None:
    """Each is taken or refused with a reason, and none makes anything fall over."""
    outcomes = {path.name: outcome(path.read_bytes()) for path in IMAGES.rglob("*") if path.is_file()}

    assert len(outcomes) > 10
    assert outcomes.pop("empty_file.png") == "not_a_picture"
    assert set(outcomes.values()) <= {"image/png", "image/jpeg"}


def outcome(data: bytes) -> str:
    """What becomes of a file: its type, or the reason against it."""
    try:
        return inspect(data, LIMITS)[0].type
    except FormatError as error:
        return error.code
