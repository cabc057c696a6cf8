"""Pictures of finished jobs in the media store: the original bytes and the JPEG, until the job expires.

An index in Redis says when each object is deleted. An object enters it before it is stored, so one whose process died
has its end too.
"""

import secrets
from collections.abc import Sequence
from typing import cast

import structlog
from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.errors import NotFound, Unavailable
from schemas.images.inspected_image import RESULTS_PREFIX
from stores.media import Media
from stores.redis.keys import STORED_RESULTS

REDIS, MEDIA, AUTOMATIC = "redis", "media", "auto"
# Of all pictures of one job. A preview is smaller, and stays in Redis.
MAX_BYTES_IN_REDIS = 32_000
MAX_DELETED = 1000
# When an object that cannot be deleted is tried again.
POSTPONED_MS = 600_000
DAY_MS = 86_400_000

log = structlog.get_logger(__name__)


class StoredResults:
    """The pictures of jobs in one media store."""

    def __init__(self, client: Redis, media: Media, clock: Clock, *, where: str) -> None:
        """``where`` is REDIS, MEDIA or AUTOMATIC: in the media store if they are more than MAX_BYTES_IN_REDIS."""
        self._redis = client
        self._media = media
        self._clock = clock
        self._where = where

    @classmethod
    def from_settings(cls, settings: Settings, client: Redis, media: Media, clock: Clock) -> "StoredResults":
        """Return the store that RESULT_STORE asks for."""
        where = settings.result_store
        # A folder serves only the processes of its machine; a Redis behind a socket file has no others.
        is_shared = not settings.media_url.startswith("file:") or settings.redis_url.startswith("unix:")
        return cls(client, media, clock, where=REDIS if where == AUTOMATIC and not is_shared else where)

    def put(self, job_id: str, pictures: Sequence[bytes], ttl_s: int) -> list[str]:
        """Store pictures for ``ttl_s`` and return their keys; none if they belong into Redis.

        If the media store does not answer they do, whatever their size.
        """
        is_large = sum(map(len, pictures)) > MAX_BYTES_IN_REDIS
        if self._where == REDIS or (self._where == AUTOMATIC and not is_large):
            return []
        attempt = secrets.token_hex(4)
        keys = [f"{RESULTS_PREFIX}/{job_id[:2]}/{job_id}-{attempt}-{number}" for number in range(len(pictures))]
        self._redis.zadd(STORED_RESULTS, dict.fromkeys(keys, self._clock.now_ms() + ttl_s * 1000))
        try:
            for key, picture in zip(keys, pictures, strict=True):
                self._media.put(key, picture)
        except Unavailable as error:
            log.warning("results.kept_in_redis", job_id=job_id, error=error.message)
            self._redis.zadd(STORED_RESULTS, dict.fromkeys(keys, 0))
            return []
        return keys

    def get(self, key: str) -> bytes | None:
        """Return a picture; None if it has expired."""
        try:
            return self._media.get(key)
        except NotFound:
            return None

    def delete_expired(self) -> int:
        """Delete objects whose time has come, at most MAX_DELETED; return their number.

        Those that cannot be deleted stay in the index for later, so that they do not keep the others waiting.
        """
        now_ms = self._clock.now_ms()
        keys = cast(list[bytes], self._redis.zrangebyscore(STORED_RESULTS, "-inf", now_ms, 0, MAX_DELETED))
        deletion = self._media.delete_all([key.decode() for key in keys])
        if deletion.gone:
            self._redis.zrem(STORED_RESULTS, *deletion.gone)
        if deletion.failed:
            self._redis.zadd(STORED_RESULTS, dict.fromkeys(deletion.failed, now_ms + POSTPONED_MS), xx=True)
            log.warning("results.not_deleted", objects=len(deletion.failed))
        return len(deletion.gone)

    def delete_unlisted(self) -> int:
        """Delete objects that are older than a day, which an index that was lost has left; return their number."""
        deleted = 0
        for keys in self._media.list_older_than(RESULTS_PREFIX, self._clock.now_ms() - DAY_MS):
            listed = self._redis.zmscore(STORED_RESULTS, keys) if keys else []
            unlisted = [key for key, expiry in zip(keys, listed, strict=True) if expiry is None]
            deleted += len(self._media.delete_all(unlisted).gone)
        return deleted
