"""Inspection of images inside the sandbox process: results and rejections."""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PIL import Image

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
    encode,
    hide_text,
    png_chunk,
    rotated_jpeg,
)
from workers.images.decode import THUMBNAIL_BOX, DecodeLimits, inspect

IMAGES = ROOT.parent / "shared" / "testdata" / "images"
LIMITS = DecodeLimits()


@pytest.mark.parametrize("name", VALID_IMAGES)
def test_valid_images_are_inspected(name: str) -> None:
    """Every format and mode yields its size and type, and a small static WebP thumbnail."""
    data, media_type = VALID_IMAGES[name]
    image, thumbnail = inspect(data, LIMITS)

    assert (image.type, image.size_bytes, image.sha256) == (media_type, len(data), hashlib.sha256(data).hexdigest())
    end = read_structure(data).missing_end
    assert (image.width, image.height) == decode(data + end).size
    assert image.animated == name.startswith("moving")
    assert (read_structure(thumbnail).format, read_structure(thumbnail).frames, read_structure(thumbnail).end) == (
        "WEBP",
        1,
        len(thumbnail),
    )
    assert max(decode(thumbnail).width / THUMBNAIL_BOX[0], decode(thumbnail).height / THUMBNAIL_BOX[1]) <= 1


@pytest.mark.parametrize("name", REJECTED_IMAGES)
def test_rejections_have_a_code_and_a_sentence(name: str) -> None:
    """Images whose declared size is too large are rejected without decoding."""
    data, reason = REJECTED_IMAGES[name]
    with pytest.raises(FormatError, match=r"\.$") as caught:
        inspect(data, LIMITS)
    assert caught.value.code == reason


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "progressive", "restarts"])
def test_a_picture_that_ends_early_is_broken(form: str) -> None:
    """Wherever it was cut, unless only its end mark is missing."""
    options = {"progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 1}}.get(form, {})
    data = encode(Image.effect_noise((64, 48), 90).convert("RGB"), "JPEG" if options else form, **options)
    end_mark = {"PNG": 12, "GIF": 1, "WEBP": 0, "AVIF": 0}.get(form, 2)
    # The last byte of a JPEG's pixels may be padding; a progressive one may end between two scans.
    ends = range(len(data) // 4, len(data) - end_mark - 8, max(1, len(data) // 40))
    for end in ends if form != "progressive" else ends[:10]:
        with pytest.raises(FormatError) as caught:
            inspect(data[:end], LIMITS)
        assert caught.value.code == "broken", end


def test_the_byte_limit_is_enforced() -> None:
    """The limit holds for input whose size was not checked while it was received."""
    data, _media_type = VALID_IMAGES["png"]
    with pytest.raises(FormatError) as caught:
        inspect(data, replace(LIMITS, max_bytes=len(data) - 1))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("name", ["sixteen bits", "cmyk", "colours", "jpeg", "gif"])
def test_thumbnails_have_the_colors_of_the_image(name: str) -> None:
    """Colors are converted from every mode."""
    thumbnail = decode(inspect(VALID_IMAGES[name][0], LIMITS)[1]).convert("L")
    expected = draw_image(mode="L")

    for place in ((8, 8), (56, 40)):
        actual, color = thumbnail.getpixel(place), expected.getpixel(place)
        assert isinstance(actual, int)
        assert isinstance(color, int)
        assert abs(actual - color) < 25, (place, actual, color)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    """Thumbnail and reported size are upright, and the thumbnail contains no metadata."""
    image, data = inspect(rotated_jpeg(orientation), LIMITS)
    thumbnail = decode(data)
    is_sideways = orientation >= 5

    assert (image.width, image.height) == ((600, 800) if is_sideways else (800, 600))
    assert thumbnail.size == ((400, 533) if is_sideways else (400, 300))
    orange = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
    pixel = thumbnail.convert("RGB").getpixel((50 + 300 * orange[0], 50 + (thumbnail.height - 100) * orange[1]))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 200, pixel
    assert not {"exif", "xmp", "icc_profile"} & set(thumbnail.info)
    assert b"maker" not in data


@pytest.mark.parametrize("tail", TRAILING_DATA)
@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "gif", "moving gif"])
def test_trailing_data_is_cut_off(form: str, tail: str) -> None:
    """A polyglot file becomes a plain image; size and hash leave out the trailing data."""
    data, _media_type = VALID_IMAGES[form]
    image, _thumb = inspect(data + TRAILING_DATA[tail], LIMITS)

    assert (image.size_bytes, image.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_metadata_does_not_break_an_image() -> None:
    """Texts beyond Pillow's limits, decompression bombs and undecodable keywords are tolerated."""
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
    """The structure is intact, but the second frame cannot be decoded."""
    data = draw_animation("PNG")
    start, end = next(png_chunk_spans(data, b"fdAT"))
    broken = png_chunk(b"fdAT", data[start + 8 : start + 12] + bytes(range(1, 1 + end - start - 16)))

    with pytest.raises(FormatError, match="frame 2 of 3"):
        inspect(data[:start] + broken + data[end:], LIMITS)


def png_chunk_spans(data: bytes, kind: bytes) -> Iterator[tuple[int, int]]:
    """Yield the spans of the chunks of a kind."""
    place = 8
    while place < len(data):
        end = place + 12 + struct.unpack(">I", data[place : place + 4])[0]
        if data[place + 4 : place + 8] == kind:
            yield place, end
        place = end


@pytest.mark.skipif(not IMAGES.is_dir(), reason="the test data of other programs is not here")
def test_images_of_other_programs_are_inspected() -> None:
    """Each is accepted, or rejected with a code."""
    outcomes = {path.name: inspect_outcome(path.read_bytes()) for path in IMAGES.rglob("*") if path.is_file()}

    assert len(outcomes) > 10
    assert outcomes.pop("empty_file.png") == "not_a_picture"
    assert set(outcomes.values()) <= {"image/png", "image/jpeg"}


def inspect_outcome(data: bytes) -> str:
    """Return the image's type, or the code of its rejection."""
    try:
        return inspect(data, LIMITS)[0].type
    except FormatError as error:
        return error.code


@pytest.mark.parametrize(
    ("mode", "signature", "form"),
    [
        ("RGB", b"stealth_rgbinfo", "PNG"),
        ("RGB", b"stealth_rgbcomp", "PNG"),
        ("RGBA", b"stealth_rgbinfo", "PNG"),
        ("RGBA", b"stealth_pnginfo", "PNG"),
        ("RGBA", b"stealth_pngcomp", "PNG"),
        ("P", b"stealth_rgbinfo", "PNG"),
        ("RGB", b"stealth_rgbinfo", "WEBP"),
        ("RGBA", b"stealth_pngcomp", "WEBP"),
    ],
)
def test_hidden_parameters_are_read_in_every_lossless_image(mode: str, signature: bytes, form: str) -> None:
    """They are read from colors and from transparency, also of images with a palette."""
    text = "a cat\nSteps: 9, Sampler: Euler a, CFG scale: 7, Seed: 5"
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    image = inspect(encode(hide_text(text, mode, signature), form, **options), LIMITS)[0]
    assert image.generation is not None
    assert (image.generation["prompt"], image.generation["seed"]) == ("a cat", 5)
