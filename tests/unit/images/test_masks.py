"""Masks that mark by transparency become masks in black and white."""

import io

import pytest
from PIL import Image

from schemas.format_error import FormatError
from tests.support.images import draw_image, encode
from workers.images.decode import DecodeLimits, draw_mask

LIMITS = DecodeLimits()


def draw_transparent(mode: str, form: str) -> bytes:
    """Return a picture whose left half is fully transparent and whose right half is half transparent."""
    image = Image.new("RGBA", (8, 4), (200, 100, 50, 128))
    image.paste((200, 100, 50, 0), (0, 0, 4, 4))
    return encode(image.convert(mode), form)


@pytest.mark.parametrize(("mode", "form"), [("RGBA", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG")])
def test_transparent_places_become_white(mode: str, form: str) -> None:
    """Partly transparent pixels are unchanged."""
    mask = draw_mask(draw_transparent(mode, form), LIMITS)

    assert mask
    with Image.open(io.BytesIO(mask)) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (8, 4), "L")
        assert [image.getpixel((x, 0)) for x in (0, 3, 4, 7)] == [255, 255, 0, 0]


def test_an_opaque_picture_is_a_mask_itself() -> None:
    """With an alpha channel or without."""
    assert draw_mask(encode(draw_image((8, 4), "L"), "PNG"), LIMITS) is None
    assert draw_mask(encode(draw_image((8, 4)).convert("RGBA"), "PNG"), LIMITS) is None
    with pytest.raises(FormatError):
        draw_mask(b"<html>", LIMITS)
