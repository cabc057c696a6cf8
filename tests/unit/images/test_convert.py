"""Recognition, conversion and previews of result images."""

import io

import pytest
from PIL import Image

from schemas.errors import ResultRefused
from tests.support.images import REJECTED_IMAGES, VALID_IMAGES, build_png
from workers.images import convert


def make_image(form: str, size: tuple[int, int] = (64, 48), mode: str = "RGB") -> bytes:
    """Return an image file of one color."""
    out = io.BytesIO()
    Image.new(mode, size, "teal").save(out, form)
    return out.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
def test_type_and_size_come_from_the_bytes(form: str) -> None:
    """The declared type plays no role."""
    picture = convert.identify(make_image(form))

    assert (f"image/{form.lower()}", 64, 48) == (picture.media_type, picture.width, picture.height)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", make_image("PNG")[:60], b"RIFF0000WEBP"])
def test_non_images_are_rejected(data: bytes) -> None:
    """HTML pages, empty files and torn images are not results."""
    with pytest.raises(ResultRefused):
        convert.identify(data)


@pytest.mark.parametrize("name", VALID_IMAGES)
def test_a_job_may_deliver_every_picture_that_the_library_accepts(name: str) -> None:
    """The bytes are those of the site, also if the end mark is missing, and conversions exist."""
    data, media_type = VALID_IMAGES[name]
    picture = convert.identify(data)

    assert (picture.data, picture.media_type) == (data, media_type)
    assert convert.is_preview_jpeg(convert.make_preview(data))
    with Image.open(io.BytesIO(convert.convert(data, "jpg"))) as image:
        assert (image.format, image.size) == ("JPEG", (picture.width, picture.height))


@pytest.mark.parametrize("name", [name for name, (_, reason) in REJECTED_IMAGES.items() if reason != "too_many_frames"])
def test_a_job_refuses_every_picture_that_the_library_refuses_as_broken(name: str) -> None:
    """Only pictures that are merely too large to decode are delivered."""
    data, reason = REJECTED_IMAGES[name]
    if reason == "too_many_pixels":
        assert convert.identify(data).data == data
        return
    with pytest.raises(ResultRefused) as caught:
        convert.identify(data)
    assert caught.value.site_effect == ""


def test_a_picture_above_the_pixel_limit_is_delivered_undecoded() -> None:
    """Its size comes from its header; only conversions and previews are bounded."""
    data = build_png(8192, 8192, b"\0" * 1000)
    picture = convert.identify(data)

    assert (picture.data, picture.width, picture.height) == (data, 8192, 8192)
    assert not convert.is_convertible(picture.media_type, picture.width, picture.height)
    with pytest.raises(ResultRefused, match="too many pixels"):
        convert.make_preview(data)


def test_too_many_bytes_are_refused_with_the_limit() -> None:
    """The message states the size and the limit."""
    with pytest.raises(ResultRefused, match="67,108,864") as caught:
        convert.identify(make_image("PNG") + bytes(convert.MAX_IMAGE_BYTES))
    assert caught.value.details == {"reason": "too_large"}


@pytest.mark.parametrize(("form", "expected"), [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_conversion_keeps_the_size(form: str, expected: str, mode: str) -> None:
    """Every mode converts to every format."""
    with Image.open(io.BytesIO(convert.convert(make_image("PNG", mode=mode), form))) as image:
        assert (expected, (64, 48)) == (image.format, image.size)


def test_transparency_becomes_white_in_jpeg() -> None:
    """Dropping the alpha channel would make it black."""
    out = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(out, "PNG")

    with Image.open(io.BytesIO(convert.convert(out.getvalue(), "jpg"))) as image:
        assert image.getpixel((4, 4)) == (255, 255, 255)


def test_previews_are_small_jpegs() -> None:
    """A preview passes the check for previews; large images and other formats do not."""
    assert convert.is_preview_jpeg(convert.make_preview(make_image("PNG", (1024, 768))))
    assert not convert.is_preview_jpeg(make_image("JPEG", (1024, 768)))
    assert not convert.is_preview_jpeg(make_image("PNG"))
    assert not convert.is_preview_jpeg(b"jpeg")


@pytest.mark.parametrize("size", [(3000, 1500), (800, 600)])
def test_a_view_is_a_small_jpeg(size: tuple[int, int]) -> None:
    """Even noise stays within the size, and no picture is enlarged."""
    noise = Image.effect_noise(size, 200).convert("RGBA")
    out = io.BytesIO()
    noise.save(out, "PNG")
    view = convert.make_view(out.getvalue())

    assert len(view) <= convert.MAX_VIEW_BYTES
    with Image.open(io.BytesIO(view)) as image:
        assert ("JPEG", (1024, 512) if size == (3000, 1500) else size) == (image.format, image.size)
