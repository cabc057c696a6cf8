"""The image formats that Darkroom knows: names, media types, file name extensions, signatures."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """An image format. ``pillow_name`` is Pillow's name for it; ``extensions`` has the preferred one first."""

    pillow_name: str
    media_type: str
    extensions: tuple[str, ...]
    signature: re.Pattern[bytes] = field(repr=False)

    @property
    def extension(self) -> str:
        """The preferred file name extension, without a dot."""
        return self.extensions[0]


JPEG = ImageFormat("JPEG", "image/jpeg", ("jpg", "jpeg"), re.compile(rb"\xff\xd8\xff"))
PNG = ImageFormat("PNG", "image/png", ("png",), re.compile(rb"\x89PNG\r\n\x1a\n"))
WEBP = ImageFormat("WEBP", "image/webp", ("webp",), re.compile(rb"RIFF....WEBP", re.DOTALL))
GIF = ImageFormat("GIF", "image/gif", ("gif",), re.compile(rb"GIF8[79]a"))
AVIF = ImageFormat("AVIF", "image/avif", ("avif",), re.compile(rb"....ftypavi[fs]", re.DOTALL))

# The largest picture that is decoded; larger results of sites are delivered byte for byte.
MAX_PIXELS = 64_000_000
# Formats accepted from clients and shown beside models. AVIF is left out: nothing here reads its structure.
ACCEPTED: tuple[ImageFormat, ...] = (JPEG, PNG, WEBP, GIF)
ACCEPTED_MEDIA_TYPES = frozenset(form.media_type for form in ACCEPTED)
ACCEPTED_TEXT = "accepted are JPEG, PNG, WebP and GIF"
# Formats that sites may deliver.
DELIVERED: tuple[ImageFormat, ...] = (*ACCEPTED, AVIF)
# Formats that a job's result is converted to, by their name in the API.
OUTPUT: Mapping[str, ImageFormat] = {"jpg": JPEG, "png": PNG, "webp": WEBP}
# The longest signature.
SIGNATURE_BYTES = 12

BY_MEDIA_TYPE: Mapping[str, ImageFormat] = {form.media_type: form for form in DELIVERED}
BY_PILLOW_NAME: Mapping[str, ImageFormat] = {form.pillow_name: form for form in DELIVERED}


def detect(data: bytes) -> ImageFormat | None:
    """Return the accepted format that ``data`` begins with, or None."""
    return next((form for form in ACCEPTED if form.signature.match(data)), None)
