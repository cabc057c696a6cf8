"""Identification, conversion and down-scaling of pictures and videos from sites. Blocking: call it off the event loop.

Sites are chosen by the operator, so their images are decoded in this process; images that users upload go through
``workers.images.sandbox``.
"""

import io

from PIL import Image, UnidentifiedImageError

from schemas.errors import ResultRefused
from schemas.format_error import FormatError
from schemas.images import formats
from schemas.images.structure import ImageStructure, read_structure
from schemas.jobs.job import GeneratedImage
from workers.images.pixels import decode_pixels

MAX_IMAGE_BYTES = 64 * 1024 * 1024
# Of all frames of an animation together; a longer one is not decoded.
MAX_ANIMATION_PIXELS = 512_000_000
JPEG_QUALITY = 92
PREVIEW_QUALITY = 80
BLANK_SIDE_PX = 400
MAX_PREVIEW_WIDTH = 400
# Copies for models: the first quality that keeps the size is taken.
MAX_VIEW_PX, MAX_VIEW_BYTES = 1024, 300_000
VIEW_QUALITIES = (88, 75, 60, 40, 20)


def identify(data: bytes, *, lossy: bool = False) -> GeneratedImage:
    """Return ``data`` with its media type and size, which come from the bytes alone.

    Pictures are decoded, so that a damaged one is noticed, unless they are too large for that: those, and videos, are
    delivered as they are.

    Raises:
        ResultRefused: it is not whole, not of a known format, or has too many bytes; ``details["reason"]`` is a code.
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise too_large_error(len(data))
    try:
        structure = read_structure(data, formats.DELIVERED)
        width, height = structure.width, structure.height
        if _is_decodable(structure):
            width, height = decode_pixels(data[: structure.end], structure).size
    except FormatError as error:
        raise ResultRefused(f"From the site: {error}", reason=error.code) from error
    return GeneratedImage(data, formats.BY_NAME[structure.format].media_type, width, height, lossy)


def too_large_error(size_bytes: int) -> ResultRefused:
    """Return the error for a result of this size."""
    limit = f"at most {MAX_IMAGE_BYTES:,} ({MAX_IMAGE_BYTES // 2**20} MiB) are delivered"
    return ResultRefused(f"The site's picture has {size_bytes:,} bytes; {limit}.", reason="too_large")


def is_convertible(media_type: str, width: int, height: int) -> bool:
    """Whether a result can be decoded here for conversions: it is a picture of at most ``formats.MAX_PIXELS``."""
    return not formats.BY_MEDIA_TYPE[media_type].is_video and width * height <= formats.MAX_PIXELS


def _is_decodable(structure: ImageStructure) -> bool:
    media_type = formats.BY_NAME[structure.format].media_type
    pixels = structure.width * structure.height
    is_small = structure.frames == 1 or structure.frames * pixels <= MAX_ANIMATION_PIXELS
    return is_small and is_convertible(media_type, structure.width, structure.height)


def convert(data: bytes, extension: str) -> bytes:
    """Convert an image to ``jpg``, ``png`` or ``webp``. JPEG has no transparency; it becomes white there."""
    with open_picture(data) as image:
        form = formats.OUTPUT[extension]
        if form is formats.JPEG:
            return _encode(_flatten(image), form.name, quality=JPEG_QUALITY, optimize=True)
        return _encode(image.convert("RGBA" if image.has_transparency_data else "RGB"), form.name)


def make_view(data: bytes) -> bytes:
    """Return a scaled-down JPEG of a picture that ``identify`` has accepted; of an animation, its first frame."""
    with open_picture(data) as image:
        image.thumbnail((MAX_VIEW_PX, MAX_VIEW_PX))
        view = _flatten(image)
    encoded = (_encode(view, "JPEG", quality=quality, optimize=True) for quality in VIEW_QUALITIES)
    smallest = b""
    for smallest in encoded:
        if len(smallest) <= MAX_VIEW_BYTES:
            break
    return smallest


def make_preview(data: bytes) -> bytes:
    """Return a JPEG preview, at most MAX_PREVIEW_WIDTH pixels wide.

    Raises:
        ResultRefused: as ``identify``, and if it is a video or has too many pixels to be decoded.
    """
    found = identify(data)
    if not is_convertible(found.media_type, found.width, found.height):
        raise ResultRefused("The preview is a video or has too many pixels.", reason="too_many_pixels")
    with open_picture(data) as image:
        image.thumbnail((MAX_PREVIEW_WIDTH, MAX_PREVIEW_WIDTH * 8))
        return _encode(_flatten(image), "JPEG", quality=PREVIEW_QUALITY)


def make_blank_jpeg(width: int, height: int) -> bytes:
    """Return a grey JPEG of these proportions: the poster of a video that no browser here can play."""
    scale = min(1.0, BLANK_SIDE_PX / max(width, height, 1))
    return _encode(Image.new("RGB", (max(1, round(width * scale)), max(1, round(height * scale))), "grey"), "JPEG")


def open_picture(data: bytes) -> Image.Image:
    """Open a picture that ``identify`` has accepted; a missing end mark is added."""
    structure = read_structure(data)
    return Image.open(io.BytesIO(data[: structure.end] + structure.missing_end), formats=[structure.format])


def is_preview_jpeg(data: bytes) -> bool:
    """Return whether ``data`` is a JPEG small enough to serve as a preview unchanged."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return image.width <= MAX_PREVIEW_WIDTH and image.height <= MAX_PREVIEW_WIDTH * 8
    except (UnidentifiedImageError, OSError, ValueError):
        return False


def _flatten(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    background = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(background, layer).convert("RGB")


def _encode(image: Image.Image, format_: str, **options: int | bool) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()
