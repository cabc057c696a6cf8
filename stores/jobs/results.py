"""The pictures of jobs, which live in Redis until they expire: previews, originals and their conversions."""

from typing import cast

from redis import Redis

from stores.redis.keys import job_key
from stores.redis.scripts import redis_errors

READY_MARK_S = 30


class Results:
    """The pictures of one Redis."""

    def __init__(self, client: Redis) -> None:
        """``client`` answers bytes."""
        self._redis = client

    def get_preview(self, job_id: str) -> bytes | None:
        """The newest preview, JPEG."""
        return self._get(job_id, "preview")

    def get_original(self, job_id: str, number: int = 1) -> bytes | None:
        """The job's picture of that number, from 1, as the site made it."""
        return self._get(job_id, "image" if number == 1 else f"image.{number}")

    def get_converted(self, job_id: str, image_format: str) -> bytes | None:
        """The first picture as ``jpg``, ``png`` or ``webp``, if it has been made."""
        return self._get(job_id, f"image.{image_format}")

    def get_trace(self, job_id: str) -> bytes | None:
        """What was recorded of the last failed attempt but the first, a zip."""
        return self._get(job_id, "trace")

    def store_converted(self, job_id: str, image_format: str, data: bytes) -> None:
        """Keep a conversion for as long as the original, and wake who waits for it."""
        with redis_errors():
            left_ms = self._redis.pttl(job_key(job_id, "image"))
            if left_ms <= 0:
                return
            with self._redis.pipeline() as pipe:
                pipe.set(job_key(job_id, f"image.{image_format}"), data, px=left_ms)
                pipe.rpush(job_key(job_id, f"ready.{image_format}"), b"")
                pipe.expire(job_key(job_id, f"ready.{image_format}"), READY_MARK_S)
                pipe.execute()

    def wait_for_converted(self, job_id: str, image_format: str, timeout_s: float) -> bytes | None:
        """Wait for a conversion that was asked for."""
        with redis_errors():
            ready = job_key(job_id, f"ready.{image_format}")
            if self._redis.blpop([ready], timeout=timeout_s) is not None:
                self._redis.rpush(ready, b"")
        return self.get_converted(job_id, image_format)

    def _get(self, job_id: str, part: str) -> bytes | None:
        with redis_errors():
            return cast(bytes | None, self._redis.get(job_key(job_id, part)))
