"""Rate limits over fixed windows: a number of requests per second, minute, hour or day."""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

WINDOW_LENGTHS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_RATE = re.compile(r"\s*(\d{1,9})\s*(?:/|per)\s*(second|minute|hour|day)s?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` requests in each window of ``window_s`` seconds.

    Windows begin at multiples of their length since the epoch. A negative limit means no limit.
    """

    UNLIMITED: ClassVar[str] = "unlimited"

    limit: int
    window_s: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``60/minute``, ``60 per minute`` or ``unlimited``; raise ValueError otherwise."""
        if text.strip() == cls.UNLIMITED:
            return cls(-1, 1)
        match = _RATE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is neither a rate such as 60/minute nor {cls.UNLIMITED!r}")
        return cls(int(match[1]), WINDOW_LENGTHS_S[match[2]])

    @property
    def is_unlimited(self) -> bool:
        """Whether there is no limit."""
        return self.limit < 0

    def __str__(self) -> str:
        """Return the text that ``parse`` reads."""
        unit = next(unit for unit, length_s in WINDOW_LENGTHS_S.items() if length_s == self.window_s)
        return self.UNLIMITED if self.is_unlimited else f"{self.limit}/{unit}"


@dataclass(frozen=True, slots=True)
class RateWindow:
    """The current window of a rate-limit policy: what remains, and when it ends.

    ``reset_at`` is in Unix seconds, ``reset_s`` is the number of seconds until then. A policy with a ``window_s`` of 0
    bounds a current number instead of a rate; its reset time is when a retry is worthwhile.
    """

    policy: str
    rate: Rate
    remaining: int
    reset_at: int
    reset_s: int

    @property
    def is_exceeded(self) -> bool:
        """Whether the request exceeds the limit."""
        return self.remaining < 0
