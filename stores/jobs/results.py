"""The images of jobs: previews, originals and conversions, until the job expires.

Previews and small pictures are in Redis, large pictures in the media store (``stores.images.stored_results``).
"""

from collections.abc import Callable
from typing import cast

from redis import Redis

from stores.images.stored_results import StoredResults
from stores.redis.keys import job_key
from stores.redis.request_reply import ReplyKeys, RequestReply

# After that time a conversion is requested again: the process that made it may have died.
CONVERSION_PENDING_TTL_S = 20
JPEG = "jpg"


class Results:
    """The images of all jobs of one Redis."""

    def __init__(self, client: Redis, stored: StoredResults) -> None:
        self._redis = client
        self._stored = stored
        self._request_reply = RequestReply(client)

    def get_preview(self, job_id: str) -> bytes | None:
        """Return the newest preview, JPEG."""
        return self._get(job_id, "preview")

    def get_original(self, job_id: str, number: int = 1) -> bytes | None:
        """Return the job's image of that number (from 1) with the site's own bytes; may raise Unavailable."""
        return self._get(job_id, "image" if number == 1 else f"image.{number}") or self._get_stored(job_id, number)

    def has_original(self, job_id: str) -> bool:
        """Whether the job's images are still there."""
        return bool(self._redis.exists(job_key(job_id, "image")) or self._stored_keys(job_id))

    def get_converted(self, job_id: str, image_format: str, number: int = 1) -> bytes | None:
        """Return the image of that number as ``jpg``, ``png`` or ``webp``, if it has been converted.

        Raises:
            Unavailable: the media store, which has large pictures, does not answer.
        """
        found = self._get(job_id, f"image.{_variant(image_format, number)}")
        is_jpeg = image_format == JPEG and number == 1
        return self._get_stored(job_id, 0) if found is None and is_jpeg else found

    def has_trace(self, job_id: str) -> bool:
        """Whether the job has a trace."""
        return bool(self._redis.exists(job_key(job_id, "trace")))

    def get_trace(self, job_id: str) -> bytes | None:
        """Return the Playwright trace of the last failed retry, a zip."""
        return self._get(job_id, "trace")

    def store_converted(self, job_id: str, image_format: str, data: bytes, number: int = 1) -> None:
        """Store a conversion for as long as its original and wake the callers that wait for it.

        Nothing is stored if the original has expired.
        """
        # A picture in the media store lives as long as the record that names it.
        part = "job" if self._stored_keys(job_id) else "image"
        remaining_ms = self._redis.pttl(job_key(job_id, part))
        if remaining_ms > 0:
            self._request_reply.reply(_conversion_keys(job_id, image_format, number), data, ttl_ms=remaining_ms)

    def request_converted(
        self, job_id: str, image_format: str, send: Callable[[], None], *, timeout_s: float, number: int = 1
    ) -> bytes | None:
        """Wait for a conversion, for which ``send`` is called unless one is under way; None after ``timeout_s``."""
        keys = _conversion_keys(job_id, image_format, number)
        return self._request_reply.request(keys, send, timeout_s=timeout_s, pending_ttl_s=CONVERSION_PENDING_TTL_S)

    def _get(self, job_id: str, part: str) -> bytes | None:
        return cast(bytes | None, self._redis.get(job_key(job_id, part)))

    def _stored_keys(self, job_id: str) -> list[str]:
        """Return the media keys of the job's pictures: the JPEG's, then those of the originals."""
        keys = cast(bytes | None, self._redis.hget(job_key(job_id, "job"), "media"))
        return keys.decode().split() if keys else []

    def _get_stored(self, job_id: str, number: int) -> bytes | None:
        keys = self._stored_keys(job_id)
        return self._stored.get(keys[number]) if 0 <= number < len(keys) else None


def _conversion_keys(job_id: str, image_format: str, number: int) -> ReplyKeys:
    variant = _variant(image_format, number)
    return ReplyKeys(
        answer=job_key(job_id, f"image.{variant}"),
        pending=job_key(job_id, f"asked.{variant}"),
        ready=job_key(job_id, f"ready.{variant}"),
    )


def _variant(image_format: str, number: int) -> str:
    return image_format if number == 1 else f"{number}.{image_format}"
