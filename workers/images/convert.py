"""What Darkroom does to pictures: look what the bytes really are, convert, shrink. All of it blocking."""

import io

from PIL import Image, UnidentifiedImageError

from schemas.errors import SiteChanged
from schemas.images import formats
from schemas.jobs.job import GeneratedImage

MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 64_000_000
JPEG_QUALITY = 92
PREVIEW_QUALITY = 80
MAX_PREVIEW_WIDTH = 400


def identify(data: bytes, *, lossy: bool = False) -> GeneratedImage:
    """The picture in ``data``, by its bytes and not by what anybody says they are.

    Raises:
        SiteChanged: they are not a picture that Darkroom takes.
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise SiteChanged(f"The site's picture has {len(data)} bytes; more than {MAX_IMAGE_BYTES} are not taken.")
    try:
        with Image.open(io.BytesIO(data), formats=tuple(formats.BY_PILLOW_NAME)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise SiteChanged(f"The site's picture has {image.width}x{image.height} pixels: too many.")
            form, width, height = str(image.format), image.width, image.height
            image.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SiteChanged("What the site gave as its picture is not one.") from error
    return GeneratedImage(data, formats.BY_PILLOW_NAME[form].media_type, width, height, lossy)


def convert(data: bytes, extension: str) -> bytes:
    """The picture as ``jpg``, ``png`` or ``webp``; transparency becomes white where the form has none."""
    with Image.open(io.BytesIO(data)) as image:
        form = formats.OUTPUT[extension]
        if form is formats.JPEG:
            return _encode(_flatten(image), form.pillow_name, quality=JPEG_QUALITY, optimize=True)
        return _encode(image.convert("RGBA" if image.has_transparency_data else "RGB"), form.pillow_name)


def make_preview(data: bytes) -> bytes:
    """A preview: JPEG, ``PREVIEW_WIDTH`` pixels wide at the most; raises SiteChanged as ``inspect`` does."""
    identify(data)
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((MAX_PREVIEW_WIDTH, MAX_PREVIEW_WIDTH * 8))
        return _encode(_flatten(image), "JPEG", quality=PREVIEW_QUALITY)


def is_preview_jpeg(data: bytes) -> bool:
    """Whether ``data`` can be a preview as it is."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return image.width <= MAX_PREVIEW_WIDTH and image.height <= MAX_PREVIEW_WIDTH * 8
    except (UnidentifiedImageError, OSError, ValueError):
        return False


def _flatten(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(ground, layer).convert("RGB")


def _encode(image: Image.Image, format_: str, **options: int | bool) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()
