"""The current time. Stores and sweeps receive a clock when they are wired, so that tests can control the time."""

import time
from typing import Protocol


class Clock(Protocol):
    """A source of the current time."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""


class SystemClock:
    """The system clock, for commands that do not use Redis; everything else has ``stores.redis.server_clock``."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // 1_000_000
