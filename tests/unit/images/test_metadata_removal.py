"""Metadata leave a picture, and its pixels stay as they are."""

import io
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from schemas.format_error import FormatError
from schemas.images import formats
from schemas.images.containers.metadata_removal import blank_video_metadata, remove_metadata
from schemas.images.structure import read_structure
from tests.support.images import VALID_IMAGES, decode, draw_animation, draw_image, encode

GPS_INFO = 0x8825
SECRET = b"a secret place"


def exif() -> bytes:
    """Return an EXIF block with a text and a GPS position."""
    block = Image.Exif()
    block[0x010F] = SECRET.decode()
    block.get_ifd(GPS_INFO)[2] = (52.0, 31.0, 12.0)
    return block.tobytes()


def marked(form: str) -> bytes:
    """Return a picture of that format, full of metadata."""
    options: dict[str, Any] = {"exif": exif(), "xmp": b"<x:xmpmeta>%b</x:xmpmeta>" % SECRET}
    if form == "GIF":
        options = {"comment": SECRET}
    if form == "JPEG":
        options["comment"] = SECRET
    if form == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("parameters", SECRET.decode())
        options = {"exif": exif(), "pnginfo": texts}
    return encode(draw_image(), form, **options)


def frames_of(data: bytes) -> list[bytes]:
    """Return the pixels of all frames."""
    with Image.open(io.BytesIO(data)) as image:
        count = getattr(image, "n_frames", 1)
        return [(image.seek(number), image.convert("RGBA").tobytes())[1] for number in range(count)]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_metadata_are_removed_without_touching_the_pixels(form: str) -> None:
    """No text, comment, XMP, EXIF or GPS position is left; the file is whole and smaller."""
    data = marked(form)
    assert SECRET in data
    clean = remove_metadata(data, formats.BY_NAME[form])

    assert clean is not None
    assert SECRET not in clean
    assert not decode(clean).getexif()
    assert frames_of(clean) == frames_of(data)
    assert read_structure(clean).end == len(clean) < len(data)
    assert remove_metadata(clean, formats.BY_NAME[form]) == clean


def test_avif_with_metadata_must_be_encoded_again() -> None:
    """Its metadata are items that other parts of the file refer to by offsets."""
    plain = encode(draw_image(), "AVIF")

    assert remove_metadata(plain, formats.AVIF) == plain
    assert remove_metadata(marked("AVIF"), formats.AVIF) is None


@pytest.mark.parametrize("name", [name for name in VALID_IMAGES if "end mark" not in name and "bad turn" not in name])
def test_pictures_without_metadata_stay_the_same_pictures(name: str) -> None:
    """Palettes, transparency, depth and animations of every kind."""
    data, media_type = VALID_IMAGES[name]
    clean = remove_metadata(data, formats.BY_MEDIA_TYPE[media_type])

    assert clean is not None
    assert frames_of(clean) == frames_of(data)


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_animations_go_on_repeating(form: str) -> None:
    """How often an animation repeats is no metadata."""
    data = draw_animation(form)
    clean = remove_metadata(data, formats.BY_NAME[form])

    assert clean is not None
    assert decode(clean).info.get("loop") == decode(data).info.get("loop")


def test_colour_profiles_stay() -> None:
    """Without its profile a picture would have other colours."""
    profile = b"not a real profile" * 10
    for form in ("PNG", "JPEG", "WEBP"):
        clean = remove_metadata(encode(draw_image(), form, icc_profile=profile), formats.BY_NAME[form])

        assert clean is not None
        assert decode(clean).info["icc_profile"] == profile


def element(identifier: str, content: bytes, size: bytes | None = None) -> bytes:
    """Return an element of a WebM file; its size takes eight bytes."""
    return bytes.fromhex(identifier) + (size or bytes([1]) + len(content).to_bytes(7)) + content


@pytest.mark.parametrize("tag_bytes", [14, 200])
def test_tags_and_attachments_of_webm_become_void(tag_bytes: int) -> None:
    """Everything else stays where it is, also in a file whose segment has no size."""
    video = element("e0", element("b0", b"\x40") + element("ba", b"\x30"))
    cluster = element("1f43b675", element("a3", b"\x81\0\0\0pixels"))
    head = element("1a45dfa3", element("4282", b"webm", b"\x84"))
    tracks = element("1654ae6b", element("ae", video))
    for size in (None, b"\xff"):
        tags = element("1254c367", SECRET.ljust(tag_bytes, b".")), element("1941a469", SECRET)
        content = tracks + tags[0] + cluster + tags[1]
        data = head + element("18538067", content, size)
        clean = blank_video_metadata(data, formats.WEBM)

        assert SECRET not in clean
        assert len(clean) == len(data)
        assert clean.index(cluster) == data.index(cluster)
        assert read_structure(clean, (formats.WEBM,)) == read_structure(data, (formats.WEBM,))
        assert read_structure(clean, (formats.WEBM,)).frames == 1


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box of an MP4 file."""
    return (8 + len(content)).to_bytes(4) + kind + content


def test_user_data_of_mp4_become_free_space() -> None:
    """In the film, in its tracks, and beside them."""
    secret = box(b"udta", SECRET) + box(b"meta", bytes(4) + box(b"hdlr", SECRET)) + box(b"uuid", SECRET)
    track = box(b"trak", box(b"tkhd", bytes(76) + (64 << 16).to_bytes(4) + (48 << 16).to_bytes(4)) + secret)
    data = box(b"ftyp", b"isom\0\0\2\0") + box(b"moov", track + secret) + secret[8 + len(SECRET) :]
    data += box(b"mdat", b"pixels")
    clean = blank_video_metadata(data, formats.MP4)

    assert SECRET not in clean
    assert clean.index(b"mdat") == data.index(b"mdat")
    assert read_structure(clean, (formats.MP4,)) == read_structure(data, (formats.MP4,))
    assert (read_structure(clean, (formats.MP4,)).width, clean.count(b"free")) == (64, 8)


def test_boxes_that_are_nested_without_end_are_broken() -> None:
    """No container of a video has more than a few around it."""
    nested = b""
    for _ in range(2000):
        nested = box(b"moov", nested)

    with pytest.raises(FormatError, match="nested"):
        blank_video_metadata(box(b"ftyp", b"isom\0\0\2\0") + nested, formats.MP4)
