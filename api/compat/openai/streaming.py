"""Streams of OpenAI's Images API: previews as partial images, then the finished pictures."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import structlog

from api.compat.openai.blueprint import openai_body
from api.compat.openai.pictures import AUTO, NO_USAGE, Expected, echoed_fields, json_with_base64, read_pictures
from api.http.sse import HEARTBEAT
from api.jobs.completion import Update, UpdateKind, require_completed
from schemas.errors import ServiceError
from schemas.jobs.job import Job
from schemas.jobs.openai_requests import ImagesRequest
from stores import Stores

# Proxies send the headers on with the first bytes.
FIRST_COMMENT = ": accepted\n\n"

log = structlog.get_logger(__name__)


def stream_pictures(
    stores: Stores, kind: str, request: ImagesRequest, expected: Sequence[Expected], updates: Iterator[Update]
) -> Iterator[str]:
    """Yield the events of a request of a kind, ``image_generation`` or ``image_edit``, until its pictures or an error.

    The finished pictures come together, when all of them are there: a request gets all or none.
    """
    yield FIRST_COMMENT
    try:
        yield from _events(stores, kind, request, expected, updates)
    except ServiceError as error:
        yield _format("error", json.dumps(openai_body(error)))
    except Exception as error:
        log.error("openai.stream_fault", exc_info=error)  # noqa: TRY400 - the same line as for other requests
        yield _format("error", json.dumps(openai_body(ServiceError())))


def _events(
    stores: Stores, kind: str, request: ImagesRequest, expected: Sequence[Expected], updates: Iterator[Update]
) -> Iterator[str]:
    jobs = [each.job for each in expected]
    ended: dict[str, Job] = {}
    partials = {job.id: PartialImages(request.partial_images) for job in jobs}
    for update in updates:
        if update.job is None:
            yield HEARTBEAT
            continue
        chosen = partials[update.job.id]
        if update.kind is UpdateKind.END:
            require_completed(stores, update.job, jobs)
            ended[update.job.id] = update.job
        elif update.kind is UpdateKind.PROGRESS:
            chosen.percentage = update.percentage
        elif chosen.is_due() and (preview := stores.results.get_preview(update.job.id)):
            partial = {"partial_image_index": chosen.count(), "output_format": "jpeg", "size": AUTO}
            yield _event(f"{kind}.partial_image", request, partial, preview)
    completed = [Expected(ended[each.job.id], each.pictures) for each in expected]
    for picture in read_pictures(stores, request, completed, with_bytes=True):
        view = {"output_format": picture.output_format, "size": picture.size, "url": picture.url, "usage": NO_USAGE}
        yield _event(f"{kind}.completed", request, view, picture.data or b"")


class PartialImages:
    """Which previews of a job become partial images: at most ``limit``, spread over its progress if that is known."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sent = 0
        self.percentage: float | None = None

    def is_due(self) -> bool:
        """Whether a preview that arrives now is to be sent."""
        if self._sent >= self._limit:
            return False
        return self.percentage is None or self.percentage >= 100 * self._sent / self._limit

    def count(self) -> int:
        """Count a partial image; return its index, from 0."""
        self._sent += 1
        return self._sent - 1


def _event(name: str, request: ImagesRequest, fields: Mapping[str, Any], data: bytes) -> str:
    common = {"type": name, "created_at": int(time.time()), "quality": AUTO, "background": AUTO}
    return _format(name, json_with_base64(common | echoed_fields(request) | dict(fields), data))


def _format(name: str, payload: str) -> str:
    return f"event: {name}\ndata: {payload}\n\n"
