"""The time: the only place that asks the machine what time it is.

Handed to stores and sweeps when they are wired, so that tests can turn it by hand.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Something that knows the time."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""


class SystemClock:
    """The machine's own clock; a fleet's machines keep it by NTP."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000
