"""What Darkroom does to pictures."""

import io

import pytest
from PIL import Image

from schemas.errors import SiteChanged
from workers.images import convert


def made(form: str, size: tuple[int, int] = (64, 48), mode: str = "RGB") -> bytes:
    """A picture of one colour."""
    out = io.BytesIO()
    Image.new(mode, size, "teal").save(out, form)
    return out.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_is_known_by_its_bytes(form: str) -> None:
    """Type and size are read from the bytes."""
    picture = convert.identify(made(form))

    assert (f"image/{form.lower()}", 64, 48) == (picture.media_type, picture.width, picture.height)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", made("PNG")[:60], b"RIFF0000WEBP"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    """Pages, empty and torn files are not results."""
    with pytest.raises(SiteChanged):
        convert.identify(data)


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of absurd size is refused before it is decoded."""
    monkeypatch.setattr(convert, "MAX_PIXELS", 64 * 48 - 1)

    with pytest.raises(SiteChanged, match="too large"):
        convert.identify(made("PNG"))


@pytest.mark.parametrize(("form", "expected"), [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_a_conversion_is_a_true_one(form: str, expected: str, mode: str) -> None:
    """Every mode becomes every form, of the same size."""
    with Image.open(io.BytesIO(convert.convert(made("PNG", mode=mode), form))) as image:
        assert (expected, (64, 48)) == (image.format, image.size)


def test_transparency_becomes_white_in_jpeg() -> None:
    """And not black, as plain dropping of the channel would make it."""
    out = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(out, "PNG")

    with Image.open(io.BytesIO(convert.convert(out.getvalue(), "jpg"))) as image:
        assert image.getpixel((4, 4)) == (255, 255, 255)


def test_previews_are_small_jpegs() -> None:
    """A shrunk picture passes the check that a preview must pass, a large one or another format does not."""
    assert convert.is_preview_jpeg(convert.make_preview(made("PNG", (1024, 768))))
    assert not convert.is_preview_jpeg(made("JPEG", (1024, 768)))
    assert not convert.is_preview_jpeg(made("PNG"))
    assert not convert.is_preview_jpeg(b"jpeg")
