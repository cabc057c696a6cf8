"""Pictures as inputs of jobs: how a request names one, the record that a job keeps, and the file that a page gets."""

import base64
import binascii
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any, Self

from marshmallow import ValidationError, fields

from schemas.fields import to_camel_case, to_snake_case
from schemas.images import formats
from schemas.images.inspected_image import MAX_IMAGE_BYTES

# Key prefix in the media store. "inputs/ID/NAME.EXTENSION" belongs to the job or the upload of that id.
INPUTS_PREFIX = "inputs"
# A data URL is decoded in memory, so it may be less long than a file of a form.
MAX_DATA_URL_BYTES = 8 * 1024 * 1024
MAX_NUMBER = 64
DATA_URL = re.compile(r"data:([a-z0-9.+/-]*)((?:;[^,;]*)*),", re.IGNORECASE)
ID_PATTERN = re.compile(r"[0-9a-f]{32}")
INPUT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
REFERENCE = re.compile(r"(?:job:([0-9a-f]{32})(?:/([1-9][0-9]?))?|upload:([0-9a-f]{32}))")
NOT_A_SOURCE = (
    "Not a picture: send a file of a form, a data: URL, "
    '{"jobId": ID, "number": 1} (or "job:ID/1"), {"jobId": ID, "input": NAME}, or {"uploadId": ID} (or "upload:ID").'
)
NOT_FETCHED = "URLs are not fetched: send the picture itself, as a file of a form or a data: URL, or upload it first."


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where the picture of an input comes from: a file with its SHA-256, a job, or an upload.

    Of a job it is a result, or with ``input_name`` the picture of that input. An ``is_alpha_mask`` marks by
    transparency the parts to repaint; sites get white there, and black elsewhere.
    """

    file: IO[bytes] | None = field(default=None, repr=False)
    sha256: str = ""
    job_id: str = ""
    number: int = 1
    upload_id: str = ""
    input_name: str = ""
    is_alpha_mask: bool = False

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the source of a picture in memory."""
        return cls(file=io.BytesIO(data), sha256=hashlib.sha256(data).hexdigest())

    def to_json(self) -> dict[str, Any]:
        """Return what tells this source from others, without the bytes."""
        described = {"sha256": self.sha256, "jobId": self.job_id, "number": self.number, "uploadId": self.upload_id}
        # Stored digests outlive an upgrade: the fields are absent where they always were.
        return (
            described
            | ({"isAlphaMask": True} if self.is_alpha_mask else {})
            | ({"input": self.input_name} if self.input_name else {})
        )


@dataclass(frozen=True, slots=True)
class InputImage:
    """The picture of an input, without its bytes; width and height are in pixels."""

    type: str
    width: int
    height: int
    size_bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the fields under their camel case names."""
        return {to_camel_case(name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a record from ``to_json``."""
        return cls(**{to_snake_case(name): value for name, value in document.items()})

    def media_key(self, owner_id: str, name: str) -> str:
        """Return the key of the bytes: ``owner_id`` is that of the job or upload, ``name`` that of the input."""
        return f"{INPUTS_PREFIX}/{owner_id}/{name}.{formats.BY_MEDIA_TYPE[self.type].extension}"


@dataclass(frozen=True, slots=True)
class InputFile:
    """The picture of an input as a page gets it; the name depends on the content only."""

    name: str
    media_type: str
    data: bytes = field(repr=False)

    @classmethod
    def of(cls, image: InputImage, data: bytes) -> Self:
        """Return the file of ``image``, whose bytes are ``data``."""
        extension = formats.BY_MEDIA_TYPE[image.type].extension
        return cls(f"darkroom-{image.sha256[:16]}.{extension}", image.type, data)


class ImageSourceField(fields.Field[ImageSource]):
    """A picture in a request; see ``NOT_A_SOURCE`` for the forms."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> ImageSource:
        if isinstance(value, ImageSource):
            return value
        if isinstance(value, Mapping):
            return _parse_object(value)
        if not isinstance(value, str):
            raise ValidationError(NOT_A_SOURCE)
        if value[:5].lower() == "data:":
            return ImageSource.from_bytes(decode_data_url(value))
        if match := REFERENCE.fullmatch(value.strip()):
            return ImageSource(job_id=match[1] or "", number=int(match[2] or 1), upload_id=match[3] or "")
        raise ValidationError(NOT_FETCHED if re.match(r"[a-z]+://", value, re.IGNORECASE) else NOT_A_SOURCE)


def decode_data_url(url: str) -> bytes:
    """Return the bytes of a data: URL with a picture in base64.

    Raises:
        ValidationError: it is malformed, names another media type than a picture's, or is too long.
    """
    match = DATA_URL.match(url)
    if match is None or match[2].lower().split(";")[-1] != "base64":
        raise ValidationError("Not a data: URL of the form 'data:image/png;base64,…'.")
    if match[1].lower() not in formats.ACCEPTED_MEDIA_TYPES:
        raise ValidationError(f"The media type {match[1][:40]!r} is not accepted; {formats.ACCEPTED_TEXT}.")
    text = url[match.end() :]
    if len(text) * 3 // 4 > MAX_DATA_URL_BYTES + 3:
        limit = MAX_DATA_URL_BYTES // (1024 * 1024)
        raise ValidationError(f"A data: URL may have {limit} MiB; send a larger picture as a file of a form.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValidationError("The base64 of the data: URL is malformed.") from error


def _parse_object(value: Mapping[str, Any]) -> ImageSource:
    job_id, upload_id, number = value.get("jobId"), value.get("uploadId"), value.get("number", 1)
    if set(value) <= {"jobId", "number"} and isinstance(job_id, str) and ID_PATTERN.fullmatch(job_id):
        if type(number) is int and 1 <= number <= MAX_NUMBER:
            return ImageSource(job_id=job_id, number=number)
        raise ValidationError(f"'number' must be a whole number from 1 to {MAX_NUMBER}.")
    if set(value) == {"jobId", "input"} and isinstance(job_id, str) and ID_PATTERN.fullmatch(job_id):
        if isinstance(value["input"], str) and INPUT_NAME.fullmatch(value["input"]):
            return ImageSource(job_id=job_id, input_name=to_snake_case(value["input"]))
        raise ValidationError("'input' must be the name of an input of that job.")
    if set(value) == {"uploadId"} and isinstance(upload_id, str) and ID_PATTERN.fullmatch(upload_id):
        return ImageSource(upload_id=upload_id)
    raise ValidationError(NOT_A_SOURCE)


def describe_limits(accept: Sequence[str]) -> dict[str, Any]:
    """Return the media types and limits of an image input for clients; ``accept`` empty means every known type."""
    known = [form.media_type for form in formats.ACCEPTED]
    return {
        "accept": [media_type for media_type in known if not accept or media_type in accept],
        "maxBytes": MAX_IMAGE_BYTES,
        "maxPixels": formats.MAX_PIXELS,
        "maxDataUrlBytes": MAX_DATA_URL_BYTES,
    }
