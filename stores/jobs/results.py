"""The images of jobs: previews, originals and conversions, in Redis until the job expires."""

from collections.abc import Callable
from typing import cast

from redis import Redis

from stores.redis.keys import job_key
from stores.redis.request_reply import ReplyKeys, RequestReply

# After that time a conversion is requested again: the process that made it may have died.
CONVERSION_PENDING_TTL_S = 20


class Results:
    """The images of all jobs of one Redis."""

    def __init__(self, client: Redis) -> None:
        self._redis = client
        self._request_reply = RequestReply(client)

    def get_preview(self, job_id: str) -> bytes | None:
        """Return the newest preview, JPEG."""
        return self._get(job_id, "preview")

    def get_original(self, job_id: str, number: int = 1) -> bytes | None:
        """Return the job's image of that number (from 1) with the site's own bytes."""
        return self._get(job_id, "image" if number == 1 else f"image.{number}")

    def has_original(self, job_id: str) -> bool:
        """Whether the job's images are still there."""
        return bool(self._redis.exists(job_key(job_id, "image")))

    def get_converted(self, job_id: str, image_format: str) -> bytes | None:
        """Return the first image as ``jpg``, ``png`` or ``webp``, if it has been converted."""
        return self._get(job_id, f"image.{image_format}")

    def has_trace(self, job_id: str) -> bool:
        """Whether the job has a trace."""
        return bool(self._redis.exists(job_key(job_id, "trace")))

    def get_trace(self, job_id: str) -> bytes | None:
        """Return the Playwright trace of the last failed retry, a zip."""
        return self._get(job_id, "trace")

    def store_converted(self, job_id: str, image_format: str, data: bytes) -> None:
        """Store a conversion for as long as its original and wake the callers that wait for it.

        Nothing is stored if the original has expired.
        """
        remaining_ms = self._redis.pttl(job_key(job_id, "image"))
        if remaining_ms > 0:
            self._request_reply.reply(_conversion_keys(job_id, image_format), data, ttl_ms=remaining_ms)

    def request_converted(
        self, job_id: str, image_format: str, send: Callable[[], None], *, timeout_s: float
    ) -> bytes | None:
        """Wait for a conversion, for which ``send`` is called unless one is under way; None after ``timeout_s``."""
        keys = _conversion_keys(job_id, image_format)
        return self._request_reply.request(keys, send, timeout_s=timeout_s, pending_ttl_s=CONVERSION_PENDING_TTL_S)

    def _get(self, job_id: str, part: str) -> bytes | None:
        return cast(bytes | None, self._redis.get(job_key(job_id, part)))


def _conversion_keys(job_id: str, image_format: str) -> ReplyKeys:
    return ReplyKeys(
        answer=job_key(job_id, f"image.{image_format}"),
        pending=job_key(job_id, f"asked.{image_format}"),
        ready=job_key(job_id, f"ready.{image_format}"),
    )
