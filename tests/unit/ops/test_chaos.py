"""Images with a number in their pixels."""

import io

import pytest
from PIL import Image

from ops.testbed.marked_images import draw, read


@pytest.mark.parametrize("nonce", [0, 1, 2**31 + 12345, 2**32 - 1])
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_an_image_carries_its_number(nonce: int, image_format: str) -> None:
    """The number survives every format, JPEG compression and scaling."""
    data = draw(nonce, 77, image_format)
    with Image.open(io.BytesIO(data)) as image:
        out = io.BytesIO()
        image.resize((64, 64)).save(out, "JPEG", quality=70)

    assert read(data) == read(out.getvalue()) == (nonce, 77)


def test_other_images_carry_no_number() -> None:
    """Noise, a white image and bytes that are no image give None."""
    out = io.BytesIO()
    Image.effect_noise((96, 96), 200).save(out, "PNG")
    white = io.BytesIO()
    Image.new("RGB", (96, 96), "white").save(white, "PNG")

    assert [read(data) for data in (out.getvalue(), white.getvalue(), b"", b"GIF89a")] == [None] * 4
