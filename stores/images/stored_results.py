"""Pictures of finished jobs in the media store: the original bytes and the JPEG, until the job expires.

An index in Redis says when each object is deleted. An object enters it before it is stored, so one whose process died
has its end too. A media store that stalls costs a process one wait of TIME_LIMIT_S in PAUSE_MS.
"""

import functools
import math
import secrets
import time
from collections.abc import Sequence
from typing import cast

import structlog
from redis import Redis

from ops.infra.blocking import TimedCalls
from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.errors import NotFound, Unavailable
from schemas.images.inspected_image import RESULTS_PREFIX
from stores.images.circuit_breaker import CircuitBreaker
from stores.media import Media
from stores.redis.keys import STORED_RESULTS

REDIS, MEDIA, AUTOMATIC = "redis", "media", "auto"
# Of all pictures of one job. A preview is smaller, and stays in Redis.
MAX_BYTES_IN_REDIS = 32_000
MAX_DELETED = 1000
# When an object that cannot be deleted is tried again.
POSTPONED_MS = 600_000
DAY_MS = 86_400_000
# Of all pictures of one job together. What is put within it can usually be got within it.
TIME_LIMIT_S = 10.0
# How long nothing is put after a failure, and nothing got after a stall.
PAUSE_MS = 30_000
# A call that nothing waits for any more may still store its object.
ABANDONED_MS = 120_000

log = structlog.get_logger(__name__)


class StoredResults:
    """The pictures of jobs in one media store."""

    def __init__(
        self,
        client: Redis,
        media: Media,
        clock: Clock,
        *,
        where: str,
        time_limit_s: float = TIME_LIMIT_S,
        indexes: Sequence[Redis] = (),
    ) -> None:
        """``where`` is REDIS, MEDIA or AUTOMATIC: in the media store if they are more than MAX_BYTES_IN_REDIS.

        ``indexes`` are all servers that have pictures in this media store, if there are more than one.
        """
        self._indexes = indexes or (client,)
        self._redis = client
        self._media = media
        self._clock = clock
        self._where = where
        self._time_limit_s = time_limit_s
        self._put_calls, self._get_calls = TimedCalls(), TimedCalls()
        # Calls that hang keep their threads: no further one joins them.
        self._puts, self._gets = (
            CircuitBreaker(clock, PAUSE_MS, lambda: not self._put_calls.are_stuck()),
            CircuitBreaker(clock, PAUSE_MS, lambda: not self._get_calls.are_stuck()),
        )

    @classmethod
    def from_settings(
        cls, settings: Settings, client: Redis, media: Media, clock: Clock, indexes: Sequence[Redis] = ()
    ) -> "StoredResults":
        """Return the store that RESULT_STORE selects."""
        where = settings.result_store
        # A folder serves only the processes of its machine; a Redis behind a socket file has no others.
        is_shared = not settings.media_url.startswith("file:") or settings.redis_url.startswith("unix:")
        where = REDIS if where == AUTOMATIC and not is_shared else where
        return cls(client, media, clock, where=where, indexes=indexes)

    def put(self, job_id: str, pictures: Sequence[bytes], ttl_s: int) -> list[str]:
        """Store pictures for ``ttl_s`` and return their keys; none if they belong into Redis.

        If the media store does not take them within the time limit they do, whatever their size, and so do those of
        the next PAUSE_MS.
        """
        is_large = sum(map(len, pictures)) > MAX_BYTES_IN_REDIS
        if self._where == REDIS or (self._where == AUTOMATIC and not is_large) or self._puts.wait_ms():
            return []
        with self._puts.call():
            return self._put_or_fail(job_id, pictures, ttl_s)

    def get(self, key: str) -> bytes | None:
        """Return a picture; None if it has expired.

        Raises:
            Unavailable: the media store does not answer within the time limit, or has not done so in the last PAUSE_MS.
        """
        if wait_ms := self._gets.wait_ms():
            raise _stalled(wait_ms)
        with self._gets.call():
            return self._get_or_fail(key)

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
            unlisted = list(keys)
            for index in self._indexes:
                listed = index.zmscore(STORED_RESULTS, unlisted) if unlisted else []
                unlisted = [key for key, expiry in zip(unlisted, listed, strict=True) if expiry is None]
            deleted += len(self._media.delete_all(unlisted).gone)
        return deleted

    def _put_or_fail(self, job_id: str, pictures: Sequence[bytes], ttl_s: int) -> list[str]:
        attempt = secrets.token_hex(4)
        keys = [f"{RESULTS_PREFIX}/{job_id[:2]}/{job_id}-{attempt}-{number}" for number in range(len(pictures))]
        self._expire_at(keys, self._clock.now_ms() + ttl_s * 1000)
        try:
            self._put_all(keys, pictures)
        except (Unavailable, TimeoutError) as error:
            self._puts.fail()
            log.warning("results.kept_in_redis", job_id=job_id, error=str(error), pause_s=PAUSE_MS // 1000)
            self._expire_at(keys, self._clock.now_ms() + ABANDONED_MS)
            return []
        self._puts.succeed()
        return keys

    def _get_or_fail(self, key: str) -> bytes | None:
        try:
            found = self._get_calls.run(self._time_limit_s, lambda: self._media.get(key))
        except NotFound:
            found = None
        except Unavailable:
            # It has answered.
            self._gets.succeed()
            raise
        except TimeoutError as error:
            self._gets.fail()
            log.warning("results.not_read", error=str(error), pause_s=PAUSE_MS // 1000)
            raise _stalled(PAUSE_MS) from error
        self._gets.succeed()
        return found

    def _put_all(self, keys: Sequence[str], pictures: Sequence[bytes]) -> None:
        ends_at_s = time.monotonic() + self._time_limit_s
        for key, picture in zip(keys, pictures, strict=True):
            put = functools.partial(self._media.put, key, picture)
            self._put_calls.run(max(0.0, ends_at_s - time.monotonic()), put)

    def _expire_at(self, keys: Sequence[str], time_ms: int) -> None:
        self._redis.zadd(STORED_RESULTS, dict.fromkeys(keys, time_ms))


def _stalled(wait_ms: int) -> Unavailable:
    wait_s = math.ceil(wait_ms / 1000)
    return Unavailable(
        f"The media store, which has this picture, does not answer. Try again in {wait_s} s.", retry_after_s=wait_s
    )
