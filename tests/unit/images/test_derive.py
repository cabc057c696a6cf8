"""Derivatives of pictures: icons, thumbnails, previews, and clean copies, as the sandbox's child makes them."""

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from schemas.format_error import FormatError
from schemas.images import formats
from schemas.images.structure import read_structure
from tests.support.images import (
    REJECTED_IMAGES,
    TRAILING_DATA,
    VALID_IMAGES,
    decode,
    draw_animation,
    draw_image,
    encode,
    hide_text,
    rotated_jpeg,
)
from workers.images.decode import DecodeLimits, inspect
from workers.images.derive import (
    CLEAN_FILE,
    ICON_FILE,
    MAX_PREVIEW_FRAMES,
    PREVIEW_FILE,
    THUMB_FILE,
    Mode,
    derive,
)

LIMITS = DecodeLimits()


@pytest.mark.parametrize("name", VALID_IMAGES)
def test_every_picture_has_an_icon_and_a_thumbnail(name: str) -> None:
    """The icon is a still PNG of 64x64; the thumbnail a still WebP; what moves has a moving preview."""
    data, media_type = VALID_IMAGES[name]
    derived = derive(data, Mode.CLEAN, LIMITS)
    icon, thumb = (read_structure(derived.files[file]) for file in (ICON_FILE, THUMB_FILE))

    assert derived.type == media_type
    assert (icon.format, icon.width, icon.height, icon.frames) == ("PNG", 64, 64, 1)
    assert (thumb.format, thumb.frames) == ("WEBP", 1)
    assert max(thumb.width, thumb.height) <= 512
    assert (PREVIEW_FILE in derived.files) == name.startswith("moving")
    if name.startswith("moving"):
        assert derived.frames == 3
        assert read_structure(derived.files[PREVIEW_FILE]).frames == 3


@pytest.mark.parametrize("name", REJECTED_IMAGES)
def test_what_the_library_rejects_is_rejected(name: str) -> None:
    """The same rules and the same codes."""
    data, reason = REJECTED_IMAGES[name]
    with pytest.raises(FormatError) as caught:
        derive(data, Mode.CLEAN, LIMITS)
    assert caught.value.code == reason


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_clean_copy_is_upright(orientation: int) -> None:
    """The EXIF orientation is applied, because the EXIF block goes."""
    data = rotated_jpeg(orientation)
    derived = derive(data, Mode.CLEAN, LIMITS)
    clean = decode(derived.files[CLEAN_FILE])

    assert clean.size == (derived.width, derived.height) == ((600, 800) if orientation > 4 else (800, 600))
    assert not clean.getexif()
    # The orange quarter is where a viewer that knows EXIF shows it.
    corner = {1: (10, 10), 3: (790, 590), 6: (590, 10), 8: (10, 790)}[orientation]
    assert clean.convert("RGB").getpixel(corner)[0] > 200  # type: ignore[index] # a pixel of three colours


@pytest.mark.parametrize("form", ["AVIF", "moving AVIF"])
def test_avif_with_metadata_is_encoded_again(form: str) -> None:
    """As many frames, the same size, no metadata."""
    exif = Image.Exif()
    exif[0x010F] = "a secret place"
    options: dict[str, Any] = {"exif": exif.tobytes()}
    if form.startswith("moving"):
        options |= {"save_all": True, "append_images": [draw_image(mode="L").convert("RGB")], "duration": 50}
    derived = derive(encode(draw_image(), "AVIF", **options), Mode.CLEAN, LIMITS)

    assert b"a secret place" not in derived.files[CLEAN_FILE]
    assert (derived.type, derived.width, derived.height) == ("image/avif", 64, 48)
    assert derived.frames == (2 if form.startswith("moving") else 1)


def test_exact_pictures_have_no_clean_copy() -> None:
    """Their sizes are those that a viewer shows."""
    derived = derive(rotated_jpeg(6), Mode.EXACT, LIMITS)

    assert (derived.width, derived.height) == (600, 800)
    assert CLEAN_FILE not in derived.files


@pytest.mark.parametrize("name", TRAILING_DATA)
def test_what_follows_a_picture_is_dropped(name: str) -> None:
    """A polyglot file becomes a plain picture."""
    plain = encode(draw_image(), "PNG")
    derived = derive(plain + TRAILING_DATA[name], Mode.CLEAN, LIMITS)

    assert derived.files[CLEAN_FILE] == plain


def test_long_animations_have_short_previews_of_the_same_duration() -> None:
    """Frames are left out; the others are shown longer."""
    frames = 2 * MAX_PREVIEW_FRAMES + 10
    derived = derive(draw_animation("GIF", frames, (16, 16)), Mode.EXACT, LIMITS)
    preview = decode(derived.files[PREVIEW_FILE])
    shown = read_structure(derived.files[PREVIEW_FILE]).frames
    total_ms = 0
    for number in range(preview.n_frames):  # type: ignore[attr-defined] # an animation has it
        preview.seek(number)
        preview.load()
        total_ms += preview.info["duration"]

    assert derived.frames == frames
    assert shown <= MAX_PREVIEW_FRAMES
    assert total_ms == frames * 50


def test_a_video_is_described_by_its_structure() -> None:
    """So is a picture that is too large to be decoded; the limit on bytes holds for both."""
    data = VALID_IMAGES["png"][0]
    derived = derive(data, Mode.STRUCTURE, LIMITS)

    assert (derived.type, derived.width, derived.height, derived.files) == (formats.PNG.media_type, 64, 48, {})
    with pytest.raises(FormatError, match="bytes"):
        derive(data, Mode.STRUCTURE, replace(LIMITS, max_bytes=10))


@pytest.mark.parametrize(
    ("mode", "signature", "form"),
    [
        ("RGB", b"stealth_rgbinfo", "PNG"),
        ("RGBA", b"stealth_pngcomp", "PNG"),
        ("P", b"stealth_rgbinfo", "PNG"),
        ("RGBA", b"stealth_pnginfo", "WEBP"),
    ],
)
def test_texts_that_are_hidden_in_pixels_are_cleared(mode: str, signature: bytes, form: str) -> None:
    """The prompt of a private token must not be read from its picture; no pixel changes visibly."""
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    picture = hide_text("a cat\nSteps: 9, Sampler: Euler a, CFG scale: 7, Seed: 5", mode, signature)
    data = encode(picture, form, **options)
    clean = derive(data, Mode.CLEAN, LIMITS).files[CLEAN_FILE]
    before, after = (decode(each).convert("RGBA").tobytes() for each in (data, clean))

    assert inspect(data, LIMITS)[0].generation is not None
    assert inspect(clean, LIMITS)[0].generation is None
    assert max(abs(old - new) for old, new in zip(before, after, strict=True)) <= 1
