"""When uploads are looked at. Clients do not report that they have uploaded, so Darkroom looks some time later.

The times are in Redis; if it loses them, the sweep of expired uploads looks in any case.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from stores.redis.keys import (
    UPLOAD_CHECKS,
    poster_request_key,
    upload_check_lock_key,
    upload_check_pause_key,
    upload_receipt_lock_key,
)

# After the URL was issued.
CHECK_DELAYS_S = (5, 30, 120, 600)
RETRY_DELAY_S = 30
BATCH = 200
# Longer than an upload, or the examination of one, can take; a process that dies holds its lock until then.
LOCK_TTL_S = 660
READ_PAUSE_S = 2
POSTER_PAUSE_S = 60


class UploadChecks:
    """The checks of all uploads of one Redis; an upload is named by its nonce."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._redis = client
        self._clock = clock

    def schedule(self, nonce: str) -> None:
        """Plan the checks of an upload whose URL has just been issued."""
        now_ms = self._clock.now_ms()
        checks = {f"{delay_s} {nonce}": now_ms + delay_s * 1000 for delay_s in CHECK_DELAYS_S}
        self._redis.zadd(UPLOAD_CHECKS, checks)

    def postpone(self, nonce: str) -> None:
        """Plan one more check: this one could not be completed."""
        self._redis.zadd(UPLOAD_CHECKS, {f"0 {nonce}": self._clock.now_ms() + RETRY_DELAY_S * 1000})

    def take_due(self) -> Iterator[str]:
        """Yield the uploads whose time has come; each counts as taken when the next one is asked for."""
        due = cast(list[bytes], self._redis.zrangebyscore(UPLOAD_CHECKS, 0, self._clock.now_ms(), 0, BATCH))
        for member in due:
            yield member.decode().partition(" ")[2]
            self._redis.zrem(UPLOAD_CHECKS, member)

    def cancel(self, nonce: str) -> None:
        """Drop the checks of an upload that has ended."""
        self._redis.zrem(UPLOAD_CHECKS, *(f"{delay_s} {nonce}" for delay_s in (0, *CHECK_DELAYS_S)))

    def may_check_on_read(self, nonce: str) -> bool:
        """Whether the last check that a reader caused is long enough ago."""
        return bool(self._redis.set(upload_check_pause_key(nonce), b"", nx=True, ex=READ_PAUSE_S))

    def may_request_poster(self, nonce: str) -> bool:
        """Whether the last request for a poster of this upload is long enough ago."""
        return bool(self._redis.set(poster_request_key(nonce), b"", nx=True, ex=POSTER_PAUSE_S))

    @contextmanager
    def receiving(self, nonce: str) -> Iterator[bool]:
        """Yield whether no other request receives this upload now."""
        with self._locked(upload_receipt_lock_key(nonce)) as is_first:
            yield is_first

    @contextmanager
    def checking(self, nonce: str) -> Iterator[bool]:
        """Yield whether no other process checks this upload now."""
        with self._locked(upload_check_lock_key(nonce)) as is_first:
            yield is_first

    @contextmanager
    def _locked(self, key: str) -> Iterator[bool]:
        is_first = bool(self._redis.set(key, b"", nx=True, ex=LOCK_TTL_S))
        try:
            yield is_first
        finally:
            if is_first:
                self._redis.delete(key)
