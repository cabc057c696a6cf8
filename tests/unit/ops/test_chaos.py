"""The parts of the chaos that can be judged alone."""

import io

import pytest
from PIL import Image

from ops.testbed.marked_images import draw, read


@pytest.mark.parametrize("nonce", [0, 1, 2**31 + 12345, 2**32 - 1])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_picture_carries_its_number(nonce: int, form: str) -> None:
    """Through every format, and made smaller."""
    data = draw(nonce, 77, form)
    with Image.open(io.BytesIO(data)) as image:
        out = io.BytesIO()
        image.resize((64, 64)).save(out, "JPEG", quality=70)

    assert read(data) == read(out.getvalue()) == (nonce, 77)


def test_other_pictures_carry_none() -> None:
    """Noise, an empty picture and no picture at all."""
    out = io.BytesIO()
    Image.effect_noise((96, 96), 200).save(out, "PNG")
    grey = io.BytesIO()
    Image.new("RGB", (96, 96), "white").save(grey, "PNG")

    assert [read(data) for data in (out.getvalue(), grey.getvalue(), b"", b"GIF89a")] == [None] * 4
