"""The time of the Redis server as a clock, and how far this machine's own clock is off.

The processes of a fleet share one Redis and not one clock. The time is read from Redis now and then; in between, the
steady clock of this machine counts on from it, so that a wrong or corrected system clock changes nothing.
"""

import threading
import time
from collections.abc import Callable

from redis import Redis

from schemas.errors import Unavailable

NS_PER_MS = 1_000_000
# A slow answer is an inaccurate time, so the request is repeated.
GOOD_ROUND_TRIP_NS = 20 * NS_PER_MS
MAX_READINGS = 3
RETRY_INTERVAL_NS = 1_000 * NS_PER_MS
# Counts on while a machine is suspended, which the monotonic clock of Linux does not.
STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _system_ns() -> int:
    return time.time_ns()


def _steady_ns() -> int:
    return time.clock_gettime_ns(STEADY_CLOCK)


class RedisClock:
    """The time of one Redis; safe to share between threads. Until Redis has answered once it is the system time."""

    def __init__(
        self, client: Redis, *, system_ns: Callable[[], int] = _system_ns, steady_ns: Callable[[], int] = _steady_ns
    ) -> None:
        self._redis = client
        self._system_ns = system_ns
        self._steady_ns = steady_ns
        self._lock = threading.Lock()
        self._shift_ns: int | None = None
        self._next_try_ns = 0

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        shift_ns = self._shift_ns
        if shift_ns is None:
            shift_ns = self._first_shift_ns()
        now_ns = self._system_ns() if shift_ns is None else self._steady_ns() + shift_ns
        return now_ns // NS_PER_MS

    @property
    def offset_ms(self) -> int | None:
        """How far the system clock of this machine is ahead of Redis; None until Redis has answered once."""
        shift_ns = self._shift_ns
        return None if shift_ns is None else (self._system_ns() - self._steady_ns() - shift_ns) // NS_PER_MS

    def measure(self) -> None:
        """Read the time of Redis again; raises Unavailable."""
        best_ns, shift_ns = None, 0
        for _ in range(MAX_READINGS):
            began_ns = self._steady_ns()
            seconds, microseconds = self._redis.time()
            round_trip_ns = self._steady_ns() - began_ns
            if best_ns is None or round_trip_ns < best_ns:
                # The server read its clock somewhere in between; half the round trip is the largest error.
                redis_ns = (seconds * 1_000_000 + microseconds) * 1000
                best_ns, shift_ns = round_trip_ns, redis_ns - began_ns - round_trip_ns // 2
            if best_ns <= GOOD_ROUND_TRIP_NS:
                break
        self._shift_ns = shift_ns

    def _first_shift_ns(self) -> int | None:
        with self._lock:
            if self._shift_ns is None and self._steady_ns() >= self._next_try_ns:
                try:
                    self.measure()
                except Unavailable:
                    self._next_try_ns = self._steady_ns() + RETRY_INTERVAL_NS
        return self._shift_ns
