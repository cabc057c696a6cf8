"""Pictures in answers to agents: the original where it is small, and otherwise a scaled-down copy.

Clients refuse or truncate long answers: the event with the reply may have a megabyte in several of them, base64
included.
"""

import base64
from dataclasses import dataclass

from mcp_types import ImageContent

from api.http.context import stores
from schemas.images import formats
from schemas.images.formats import VIEWED_TYPES, view_name
from schemas.jobs.job import Job, Result
from schemas.messages import CONVERT_IMAGE

# Of all pictures of an answer together, before base64 adds a third.
MAX_ANSWER_BYTES = 600_000
MAX_PICTURES = 4
# Scaled-down copies are rarely smaller, so none is made if fewer bytes are left.
MIN_ROOM_BYTES = 20_000
# Models see no more than this; larger pictures are scaled down for them anyway.
MAX_ORIGINAL_PX = 1568
CONVERSION_TIMEOUT_S = 5.0
JPEG = formats.JPEG.media_type


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """The bytes of a picture as agents get it; ``is_copy`` if they are not the original ones."""

    data: bytes
    media_type: str
    is_copy: bool = False


def result_uri(job_id: str, number: int) -> str:
    """Return the URI of the resource that is a job's picture."""
    return f"darkroom://jobs/{job_id}/results/{number}"


def picture_contents(job: Job) -> tuple[list[ImageContent], list[str]]:
    """Return the first pictures of a completed job, as many as fit, and a note for each that is not the original."""
    contents: list[ImageContent] = []
    notes: list[str] = []
    left = MAX_ANSWER_BYTES
    for number in range(1, len(job.results) + 1):
        has_room = number <= MAX_PICTURES and left > MIN_ROOM_BYTES
        shown = show_picture(job, number, left) if has_room else None
        if shown is None:
            notes.append(f"Picture {number} is not part of this answer; use its link.")
            continue
        if shown.is_copy:
            notes.append(f"Picture {number} is shown as a scaled-down copy; its link has the original.")
        left -= len(shown.data)
        data = base64.b64encode(shown.data).decode()
        contents.append(ImageContent(type="image", data=data, mime_type=shown.media_type))
    return contents, notes


def show_picture(job: Job, number: int, max_bytes: int = MAX_ANSWER_BYTES) -> ShownPicture | None:
    """Return one of a completed job's pictures in at most ``max_bytes``; None if it has expired or does not fit."""
    result = job.results[number - 1]
    if _is_shown_as_it_is(result, max_bytes):
        original = stores().results.get_original(job.id, number)
        return ShownPicture(original, result.type) if original else None
    copy = _scaled_copy(job, number, result)
    return ShownPicture(copy, JPEG, is_copy=True) if copy and len(copy) <= max_bytes else None


def _is_shown_as_it_is(result: Result, max_bytes: int) -> bool:
    is_small = max(result.width, result.height) <= MAX_ORIGINAL_PX and result.size_bytes <= max_bytes
    return is_small and result.type in VIEWED_TYPES


def _scaled_copy(job: Job, number: int, result: Result) -> bytes | None:
    """Return a JPEG that a background process makes; the poster for a video or a picture too large to decode."""
    if formats.BY_MEDIA_TYPE[result.type].is_video or result.width * result.height > formats.MAX_PIXELS:
        return stores().results.get_converted(job.id, "jpg") if number == 1 else None
    name = view_name(number)
    return stores().results.request_converted(
        job.id, name, lambda: stores().queue.send(CONVERT_IMAGE, job.id, name), timeout_s=CONVERSION_TIMEOUT_S
    )
