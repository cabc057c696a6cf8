"""The table of image formats."""

import pytest

from schemas.images import formats
from tests.support.images import build_zip, draw_image, encode


@pytest.mark.parametrize("form", formats.ACCEPTED, ids=lambda form: form.name)
def test_accepted_formats_are_detected(form: formats.ImageFormat) -> None:
    """The first bytes of a file that Pillow wrote are enough."""
    data = encode(draw_image(), form.name)

    assert formats.detect(data[: formats.SIGNATURE_BYTES]) is form


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"GIF8", b"RIFF\0\0\0\0WAVE", b"<svg", build_zip()])
def test_other_files_are_not_detected(data: bytes) -> None:
    """This includes files that only begin like an image."""
    assert formats.detect(data) is None


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", formats.MP4),
        (b"\0\0\0\x20ftypmp42", formats.MP4),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm", formats.WEBM),
        (b"\x1aE\xdf\xa3\xa3B\x86\x81\1B\x82\x88matroska", None),
        (b"\0\0\0\x18ftypheic", None),
        (b"\0\0\0\x14ftypqt  ", None),
    ],
)
def test_videos_are_delivered_but_not_accepted(head: bytes, form: formats.ImageFormat | None) -> None:
    """Sites may deliver MP4 and WebM; clients may not upload them. Formats that begin alike are neither."""
    assert formats.detect(head) is None
    assert formats.detect(head, formats.DELIVERED) is form
