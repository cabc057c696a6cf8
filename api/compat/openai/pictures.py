"""The pictures of ended jobs, as OpenAI's Images API gives them."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from api.jobs.images import image_in_format
from schemas.errors import Gone, NoPicture, ResultRefused
from schemas.images import formats
from schemas.images.formats import ImageFormat
from schemas.jobs.event_payloads import result_image_url
from schemas.jobs.job import Job
from schemas.jobs.openai_requests import B64_JSON, OUTPUT_FORMATS, URL, ImagesRequest
from stores import Stores

NO_USAGE: dict[str, Any] = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}
# As much as one result may have.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
AUTO = "auto"
# What their types know besides "auto".
QUALITIES = ("low", "medium", "high", "xhigh", "max")
BACKGROUNDS = ("transparent", "opaque")


@dataclass(frozen=True, slots=True)
class Expected:
    """A job of a request, and how many of its pictures are the answer."""

    job: Job
    pictures: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the answer: its format's name in this API, its size, its URL, and its bytes if they are needed."""

    output_format: str
    size: str
    url: str
    data: bytes | None = field(repr=False)


def read_pictures(
    stores: Stores, request: ImagesRequest, ended: Sequence[Expected], *, with_bytes: bool
) -> Iterator[Picture]:
    """Yield the pictures of completed jobs, in their order.

    Raises:
        NoPicture: a page has made fewer than the request needs.
        Gone: a picture has expired.
        NotFound, NotConvertible, Unavailable: a picture is not available in the requested format.
    """
    for each in ended:
        if len(each.job.results) < each.pictures:
            made = len(each.job.results)
            raise NoPicture(f"The page has made {made} of {each.pictures} pictures.", jobId=each.job.id)
        for number in range(1, each.pictures + 1):
            yield _read(stores, request, each.job, number, with_bytes=with_bytes)


def read_together(stores: Stores, request: ImagesRequest, ended: Sequence[Expected]) -> list[Picture]:
    """Return the pictures of an answer that is not streamed; without bytes if they would need too much memory.

    Raises:
        ResultRefused: the bytes were requested and are too many. Further errors as ``read_pictures``.
    """
    pictures: list[Picture] = []
    with_bytes = request.response_format != URL and _fits_answer(request, ended, _known_bytes(request, ended))
    size = 0
    for picture in read_pictures(stores, request, ended, with_bytes=with_bytes):
        size += len(picture.data or b"")
        pictures.append(picture)
        if not _fits_answer(request, ended, size):
            pictures = [replace(each, data=None) for each in pictures]
    return pictures


def _known_bytes(request: ImagesRequest, ended: Sequence[Expected]) -> int:
    """Return the size of the pictures that are sent unchanged; the size of others is known after their conversion."""
    results = (result for each in ended for result in each.job.results[: each.pictures])
    return sum(result.size_bytes for result in results if _is_sent_as_made(request, formats.BY_MEDIA_TYPE[result.type]))


def _fits_answer(request: ImagesRequest, ended: Sequence[Expected], size: int) -> bool:
    if size > MAX_ANSWER_BYTES and request.response_format == B64_JSON:
        limit = f"{MAX_ANSWER_BYTES:,} bytes together, the limit of one answer"
        message = f"The pictures have more than {limit}. Ask for their URLs, or for a stream."
        raise ResultRefused(message, jobId=ended[0].job.id)
    return size <= MAX_ANSWER_BYTES


def echoed_fields(request: ImagesRequest) -> dict[str, str]:
    """Return the fields of the request that the answer repeats, where their types know the value."""
    known = {"quality": QUALITIES, "background": BACKGROUNDS}
    return {name: request.values[name] for name, values in known.items() if request.values.get(name) in values}


def answer_json(request: ImagesRequest, created: int, pictures: Sequence[Picture]) -> str:
    """Return an answer in one piece, which has the format and the size of its first picture."""
    fields = {
        "created": created,
        "output_format": pictures[0].output_format,
        "size": pictures[0].size,
        **echoed_fields(request),
        "usage": NO_USAGE,
    }
    data = ", ".join(_picture_json(request, picture) for picture in pictures)
    return f'{json.dumps(fields)[:-1]}, "data": [{data}]}}'


def json_with_base64(fields: Mapping[str, Any], data: bytes) -> str:
    """Return fields, of which there are some, as JSON with the bytes as ``b64_json``.

    Base64 has nothing to be escaped. Looking for that takes longer than all else that happens to a picture here.
    """
    return f'{json.dumps(fields)[:-1]}, "b64_json": "{_to_base64(data)}"}}'


def _picture_json(request: ImagesRequest, picture: Picture) -> str:
    if request.response_format == URL or picture.data is None:
        return json.dumps({"url": picture.url})
    if request.response_format == B64_JSON:
        return f'{{"b64_json": "{_to_base64(picture.data)}"}}'
    return json_with_base64({"url": picture.url}, picture.data)


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _read(stores: Stores, request: ImagesRequest, job: Job, number: int, *, with_bytes: bool) -> Picture:
    result = job.results[number - 1]
    size, public_url = f"{result.width}x{result.height}", stores.settings.public_url
    wanted = OUTPUT_FORMATS.get(request.output_format, "")
    form = formats.BY_MEDIA_TYPE[result.type]
    if _is_sent_as_made(request, form):
        data = stores.results.get_original(job.id, number) if with_bytes else None
        first_url = result_image_url(public_url, job.id, result.type)
        url = first_url if number == 1 else f"{public_url}/{job.id}/{number}"
    else:
        form, url = formats.OUTPUT[wanted], f"{public_url}/{job.id}.{wanted}"
        # Without the bytes too: a URL that cannot be fetched would be no answer.
        data = image_in_format(stores, job, wanted)
    if data is None and with_bytes:
        raise Gone("Image expired; it is no longer kept.", jobId=job.id)
    return Picture(form.name.lower(), size, url, data if with_bytes else None)


def _is_sent_as_made(request: ImagesRequest, form: ImageFormat) -> bool:
    wanted = OUTPUT_FORMATS.get(request.output_format, "")
    return not wanted or wanted == form.extension
