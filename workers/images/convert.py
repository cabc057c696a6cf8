"""Identification, conversion and down-scaling of images from sites. Blocking: call it off the event loop.

Sites are chosen by the operator, so their images are decoded in this process; images that users upload go through
``workers.images.sandbox``.
"""

import io

from PIL import Image, UnidentifiedImageError

from schemas.errors import SiteChanged
from schemas.images import formats
from schemas.jobs.job import GeneratedImage

MAX_IMAGE_BYTES = 64 * 1024 * 1024
JPEG_QUALITY = 92
PREVIEW_QUALITY = 80
MAX_PREVIEW_WIDTH = 400


def identify(data: bytes, *, lossy: bool = False) -> GeneratedImage:
    """Decode ``data`` and return it with its media type and size. The format is detected from the bytes alone.

    Raises:
        SiteChanged: it is not an image of a supported format, or too large.
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise SiteChanged(f"The site's picture has {len(data)} bytes; at most {MAX_IMAGE_BYTES} are accepted.")
    try:
        with Image.open(io.BytesIO(data), formats=tuple(formats.BY_PILLOW_NAME)) as image:
            if image.width * image.height > formats.MAX_PIXELS:
                raise SiteChanged(f"The site's picture is too large: {image.width}x{image.height} pixels.")
            form, width, height = str(image.format), image.width, image.height
            image.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SiteChanged("The file from the site is not a picture in a supported format.") from error
    return GeneratedImage(data, formats.BY_PILLOW_NAME[form].media_type, width, height, lossy)


def convert(data: bytes, extension: str) -> bytes:
    """Convert an image to ``jpg``, ``png`` or ``webp``. JPEG has no transparency; it becomes white there."""
    with Image.open(io.BytesIO(data)) as image:
        form = formats.OUTPUT[extension]
        if form is formats.JPEG:
            return _encode(_flatten(image), form.pillow_name, quality=JPEG_QUALITY, optimize=True)
        return _encode(image.convert("RGBA" if image.has_transparency_data else "RGB"), form.pillow_name)


def make_preview(data: bytes) -> bytes:
    """Return a JPEG preview, at most MAX_PREVIEW_WIDTH pixels wide; raise SiteChanged as ``identify`` does."""
    identify(data)
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((MAX_PREVIEW_WIDTH, MAX_PREVIEW_WIDTH * 8))
        return _encode(_flatten(image), "JPEG", quality=PREVIEW_QUALITY)


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
