"""The table of image formats."""

import pytest

from schemas.images import formats
from tests.support.images import build_zip, draw_image, encode


@pytest.mark.parametrize("form", formats.ACCEPTED, ids=lambda form: form.pillow_name)
def test_accepted_formats_are_detected(form: formats.ImageFormat) -> None:
    """The first bytes of a file that Pillow wrote are enough."""
    data = encode(draw_image(), form.pillow_name)

    assert formats.detect(data[: formats.SIGNATURE_BYTES]) is form


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"GIF8", b"RIFF\0\0\0\0WAVE", b"<svg", build_zip()])
def test_other_files_are_not_detected(data: bytes) -> None:
    """This includes files that only begin like an image."""
    assert formats.detect(data) is None


def test_avif_has_a_signature_but_is_not_accepted() -> None:
    """Sites may deliver it; clients may not upload it."""
    data = encode(draw_image(), "AVIF")

    assert formats.AVIF.signature.match(data)
    assert formats.detect(data) is None
