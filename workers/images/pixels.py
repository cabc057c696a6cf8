"""Decodes every frame of a picture, so that a damaged one is noticed. The same for uploads and for results of sites."""

import hashlib
import io
import struct

from PIL import Image

from schemas.format_error import FormatError
from schemas.images import formats
from schemas.images.containers.segments import END_MARKS
from schemas.images.structure import ImageStructure

# Follows a JPEG without its end mark: if its pixels are complete, a decoder skips this, otherwise it decodes it.
JUNK = b"\x55" * 256
# Pillow and its plugins raise all of these for malformed files.
DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    struct.error,
)


def decode_pixels(data: bytes, structure: ImageStructure) -> Image.Image:
    """Decode all frames and return the first; the size must have been checked before.

    ``data`` ends where the picture ends; a missing end mark is added.

    Raises:
        FormatError: ``broken`` or ``too_many_pixels``.
    """
    number = 0
    whole = data + structure.missing_end
    try:
        with Image.open(io.BytesIO(whole), formats=[structure.format]) as image:
            image.verify()
        # verify() leaves the image unusable, so it is opened again.
        image = Image.open(io.BytesIO(whole), formats=[structure.format])
        image.load()
        first = image.copy() if structure.frames > 1 else image
        for number in range(1, structure.frames):
            image.seek(number)
            image.load()
        if structure.missing_end and structure.format == "JPEG":
            _require_complete_jpeg(data, first)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise FormatError("too_many_pixels", "The picture has more pixels than its header says.") from error
    except DECODE_ERRORS as error:
        part = f"frame {number + 1} of {structure.frames}" if structure.frames > 1 else "it"
        raise FormatError("broken", f"The picture is broken: {part} cannot be decoded.") from error
    return first


def _require_complete_jpeg(data: bytes, decoded: Image.Image) -> None:
    """Raise OSError if the data ends before the last pixel."""
    # Half an end mark would begin a marker together with the junk.
    with Image.open(io.BytesIO(data.rstrip(b"\xff") + JUNK + END_MARKS[formats.JPEG]), formats=["JPEG"]) as image:
        followed_by_junk = hashlib.sha256(image.tobytes()).digest()
    if followed_by_junk != hashlib.sha256(decoded.tobytes()).digest():
        raise OSError("the pixels end early")
