"""Where pictures end, how large they are and how many frames they have, by their structure alone."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.format_error import FormatError
from schemas.images.structure import ImageStructure, read_structure
from tests.support.images import build_gif, build_png, draw_animation, draw_image, encode

STILL = {form: encode(draw_image(), form) for form in ("PNG", "JPEG", "WEBP", "GIF")}
OTHERS = {
    "progressive": encode(draw_image(), "JPEG", progressive=True),
    "restarts": encode(draw_image((200, 200)), "JPEG", restart_marker_blocks=1),
    "lossless": encode(draw_image(), "WEBP", lossless=True),
    "transparent": encode(draw_image(mode="RGBA"), "WEBP"),
}
MOVING = {form: draw_animation(form) for form in ("PNG", "WEBP", "GIF")}
ALL = {**STILL, **OTHERS, **{f"moving {form}": data for form, data in MOVING.items()}}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("tail", [b"", b"PK\x03\x04", b"<script>alert(1)</script>", b"\xff\xd9;IEND"])
def test_a_picture_ends_where_its_format_says(name: str, tail: bytes) -> None:
    """Whatever stands behind it is none of it."""
    framed = read_structure(ALL[name] + tail)

    assert framed.end == len(ALL[name])
    assert framed.frames == (3 if name.startswith("moving") else 1)
    assert (framed.width, framed.height) == ((200, 200) if name == "restarts" else (64, 48))


@pytest.mark.parametrize("name", ALL)
def test_a_torn_picture_is_told_from_a_whole_one(name: str) -> None:
    """Wherever the download stopped, and with a sentence that says so."""
    whole = ALL[name]
    for length in range(16, len(whole), max(1, len(whole) // 100)):
        with pytest.raises(FormatError, match="broken") as caught:
            read_structure(whole[:length])
        assert caught.value.code == "broken"


@pytest.mark.parametrize(
    "data",
    [b"", b"\x89PNG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"BM" + bytes(60), b"RIFF0000AVI "],
)
def test_what_is_no_picture_is_told(data: bytes) -> None:
    """With what is taken instead."""
    with pytest.raises(FormatError, match="WebP") as caught:
        read_structure(data)
    assert caught.value.code == "not_a_picture"


def test_what_a_picture_says_of_its_size_is_read_before_its_pixels() -> None:
    """Absurd canvases, frames larger than the canvas, frames that are only announced."""
    announced = struct.pack(">I", 8) + b"acTL" + struct.pack(">II", 70_000, 0) + bytes(4)

    assert read_structure(build_png(65_000, 65_000, b"")) == ImageStructure(
        "PNG", 65_000, 65_000, 1, len(build_png(65_000, 65_000, b""))
    )
    assert read_structure(build_gif(1, 1, 5000)).frames == 5000
    assert read_structure(build_gif(1, 1, 1, frame=(60_000, 50_000))).width == 60_000
    assert read_structure(build_png(1, 1, b"", announced)).frames == 70_000


@pytest.mark.parametrize("data", [build_png(0, 7, b""), build_gif(5, 5, 0), b"\xff\xd8\xff\xd9", b"RIFF\x04\0\0\0WEBP"])
def test_a_picture_without_pixels_is_broken(data: bytes) -> None:
    """A structure alone is no picture."""
    with pytest.raises(FormatError, match="no pixels"):
        read_structure(data)


@given(
    st.sampled_from([data[:16] for data in STILL.values()]),
    st.binary(max_size=300),
)
def test_no_bytes_do_harm(head: bytes, rest: bytes) -> None:
    """Whatever follows a good beginning, the answer is a framing within the bytes or an error of the format."""
    data = head + rest
    try:
        framed = read_structure(data)
    except FormatError:
        return
    assert 0 < framed.end <= len(data)
