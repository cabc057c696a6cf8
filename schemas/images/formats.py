"""The formats of pictures and videos that Darkroom knows: names, media types, file name extensions, signatures.

This is the one list of what a picture is, for results of jobs, inputs of jobs, uploads and the model library.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """A format. ``name`` is Pillow's name for a picture's; ``extensions`` has the preferred one first."""

    name: str
    media_type: str
    extensions: tuple[str, ...]
    signature: re.Pattern[bytes] = field(repr=False)

    @property
    def extension(self) -> str:
        """The preferred file name extension, without a dot."""
        return self.extensions[0]

    @property
    def is_video(self) -> bool:
        """Whether it is a video, which Pillow does not read."""
        return self.media_type.startswith("video/")


JPEG = ImageFormat("JPEG", "image/jpeg", ("jpg", "jpeg"), re.compile(rb"\xff\xd8\xff"))
PNG = ImageFormat("PNG", "image/png", ("png",), re.compile(rb"\x89PNG\r\n\x1a\n"))
WEBP = ImageFormat("WEBP", "image/webp", ("webp",), re.compile(rb"RIFF....WEBP", re.DOTALL))
GIF = ImageFormat("GIF", "image/gif", ("gif",), re.compile(rb"GIF8[79]a"))
AVIF = ImageFormat("AVIF", "image/avif", ("avif",), re.compile(rb"....ftypavi[fs]", re.DOTALL))
# The brands of files that browsers play; QuickTime, HEIC and 3GP files begin alike.
MP4 = ImageFormat(
    "MP4",
    "video/mp4",
    ("mp4",),
    re.compile(rb"....ftyp(?:iso[m2-9]|mp4[12]|avc1|av01|dash|M4V |M4VH|M4VP|MSNV|f4v |cmf[c2f])", re.DOTALL),
)
# The header of Matroska files, with the document type "webm".
WEBM = ImageFormat("WEBM", "video/webm", ("webm",), re.compile(rb"\x1aE\xdf\xa3.{0,48}?\x42\x82\x84webm", re.DOTALL))

# The largest picture that is decoded; larger results of sites are delivered byte for byte.
MAX_PIXELS = 64_000_000
# Pictures: what clients may send, what is shown beside models, and what a job makes unless it makes a video.
ACCEPTED: tuple[ImageFormat, ...] = (JPEG, PNG, WEBP, GIF, AVIF)
ACCEPTED_MEDIA_TYPES = frozenset(form.media_type for form in ACCEPTED)
ACCEPTED_TEXT = "accepted are JPEG, PNG, WebP, GIF and AVIF"
# What sites may deliver.
DELIVERED: tuple[ImageFormat, ...] = (*ACCEPTED, MP4, WEBM)
DELIVERED_TEXT = "known are JPEG, PNG, WebP, GIF, AVIF, MP4 and WebM"
# Formats that a job's result is converted to, by their name in the API.
OUTPUT: Mapping[str, ImageFormat] = {"jpg": JPEG, "png": PNG, "webp": WEBP}
# What models can look at.
VIEWED_TYPES = frozenset(form.media_type for form in (JPEG, PNG, WEBP, GIF))
# A copy of a result for them, by its name among the conversions: "view-1" is that of the first picture, a JPEG.
VIEW_NAME = re.compile(r"view-([1-9][0-9]?)")
# The longest signature.
SIGNATURE_BYTES = 64

BY_MEDIA_TYPE: Mapping[str, ImageFormat] = {form.media_type: form for form in DELIVERED}
BY_NAME: Mapping[str, ImageFormat] = {form.name: form for form in DELIVERED}
BY_EXTENSION: Mapping[str, ImageFormat] = {form.extension: form for form in DELIVERED}


def detect(data: bytes, among: Collection[ImageFormat] = ACCEPTED) -> ImageFormat | None:
    """Return the format that ``data`` begins with, or None."""
    return next((form for form in among if form.signature.match(data)), None)


def view_name(number: int) -> str:
    """Return the name of the scaled-down copy of a job's image of that number (from 1)."""
    return f"view-{number}"
