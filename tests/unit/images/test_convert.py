"""Recognition, conversion and previews of result images."""

import io

import pytest
from PIL import Image

from schemas.errors import SiteChanged
from workers.images import convert


def make_image(form: str, size: tuple[int, int] = (64, 48), mode: str = "RGB") -> bytes:
    """Return an image file of one color."""
    out = io.BytesIO()
    Image.new(mode, size, "teal").save(out, form)
    return out.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_type_and_size_come_from_the_bytes(form: str) -> None:
    """The declared type plays no role."""
    picture = convert.identify(make_image(form))

    assert (f"image/{form.lower()}", 64, 48) == (picture.media_type, picture.width, picture.height)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", make_image("PNG")[:60], b"RIFF0000WEBP"])
def test_non_images_are_rejected(data: bytes) -> None:
    """HTML pages, empty files and torn images are not results."""
    with pytest.raises(SiteChanged):
        convert.identify(data)


def test_oversized_images_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image with too many pixels is rejected before it is decoded."""
    monkeypatch.setattr(convert, "MAX_PIXELS", 64 * 48 - 1)

    with pytest.raises(SiteChanged, match="too large"):
        convert.identify(make_image("PNG"))


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
