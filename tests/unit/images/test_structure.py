"""Size, frame count and end of image files, by their structure."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.format_error import FormatError
from schemas.images.containers.segments import walk_gif, walk_png
from schemas.images.structure import ImageStructure, read_structure
from tests.support.images import build_gif, build_png, draw_animation, draw_image, encode

STILL = {form: encode(draw_image(), form) for form in ("PNG", "JPEG", "WEBP", "GIF", "AVIF")}
OTHERS = {
    "progressive": encode(draw_image(), "JPEG", progressive=True),
    "restarts": encode(draw_image((200, 200)), "JPEG", restart_marker_blocks=1),
    "lossless": encode(draw_image(), "WEBP", lossless=True),
    "transparent": encode(draw_image(mode="RGBA"), "WEBP"),
}
MOVING = {form: draw_animation(form) for form in ("PNG", "WEBP", "GIF", "AVIF")}
END_MARK_BYTES = {"PNG": 12, "JPEG": 2, "GIF": 1}
ALL = {**STILL, **OTHERS, **{f"moving {form}": data for form, data in MOVING.items()}}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("tail", [b"", b"PK\x03\x04", b"<script>alert(1)</script>", b"\xff\xd9;IEND"])
def test_the_end_of_an_image_is_found(name: str, tail: bytes) -> None:
    """Trailing data does not belong to it."""
    structure = read_structure(ALL[name] + tail)

    assert structure.end == len(ALL[name])
    assert structure.frames == (3 if name.startswith("moving") else 1)
    assert (structure.width, structure.height) == ((200, 200) if name == "restarts" else (64, 48))


@pytest.mark.parametrize("name", ALL)
def test_torn_images_are_broken(name: str) -> None:
    """The place of the cut does not matter; whether a JPEG's pixels are complete shows only when they are decoded."""
    whole = ALL[name]
    kind = read_structure(whole).format
    pixels_end = whole.rindex(b"\xff\xda") if kind == "JPEG" else len(whole) - END_MARK_BYTES.get(kind, 0)
    # An animation that ends between two frames is one with fewer frames.
    walk = {"GIF": walk_gif, "PNG": walk_png}.get(kind)
    frame_ends = {segment.end for segment in walk(whole)} if walk else set()
    for length in range(16, pixels_end, max(1, len(whole) // 100)):
        if kind == "JPEG" and b"\xff\xda" in whole[:length]:
            continue
        # Three zero bytes begin the next chunk of a PNG, and its end mark as well.
        if name.startswith("moving") and frame_ends & set(range(length - 3, length + 1)):
            continue
        with pytest.raises(FormatError, match="broken") as caught:
            read_structure(whole[:length])
        assert caught.value.code == "broken"


@pytest.mark.parametrize("name", [name for name in ALL if name.removeprefix("moving ") in END_MARK_BYTES])
def test_a_missing_end_mark_is_no_damage(name: str) -> None:
    """Every part of the mark may be missing; the structure says what completes the file."""
    whole = ALL[name]
    structure = read_structure(whole)
    for missing in range(1, END_MARK_BYTES[structure.format] + 1):
        cut = read_structure(whole[:-missing])
        assert (cut.width, cut.height, cut.frames) == (structure.width, structure.height, structure.frames)
        assert (cut.end, cut.missing_end) == (len(whole) - missing, whole[-missing:])


@pytest.mark.parametrize(
    "data",
    [b"", b"\x89PNG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"BM" + bytes(60), b"RIFF0000AVI "],
)
def test_non_images_are_rejected(data: bytes) -> None:
    """The message lists the accepted formats."""
    with pytest.raises(FormatError, match="WebP") as caught:
        read_structure(data)
    assert caught.value.code == "not_a_picture"


def test_declared_sizes_are_read_without_decoding() -> None:
    """Examples are huge canvases, frames larger than the canvas, and frames that do not exist."""
    announced = struct.pack(">I", 8) + b"acTL" + struct.pack(">II", 70_000, 0) + bytes(4)

    assert read_structure(build_png(65_000, 65_000, b"")) == ImageStructure(
        "PNG", 65_000, 65_000, 1, len(build_png(65_000, 65_000, b""))
    )
    assert read_structure(build_gif(1, 1, 5000)).frames == 5000
    assert read_structure(build_gif(1, 1, 1, frame=(60_000, 50_000))).width == 60_000
    assert read_structure(build_png(1, 1, b"", announced)).frames == 70_000


@pytest.mark.parametrize("data", [build_png(0, 7, b""), build_gif(5, 5, 0), b"\xff\xd8\xff\xd9", b"RIFF\x04\0\0\0WEBP"])
def test_an_image_without_pixels_is_broken(data: bytes) -> None:
    """A valid structure is not enough."""
    with pytest.raises(FormatError, match="no pixels"):
        read_structure(data)


@given(
    st.sampled_from([data[:16] for data in STILL.values()]),
    st.binary(max_size=300),
)
def test_any_bytes_yield_a_structure_or_an_error(head: bytes, rest: bytes) -> None:
    """They follow the signature of every format."""
    data = head + rest
    try:
        structure = read_structure(data)
    except FormatError:
        return
    assert 0 < structure.end <= len(data)
