"""How often something may be done: so many times in each window of time. Pure."""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

WINDOW_LENGTHS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_WORDS = re.compile(r"\s*(\d{1,9})\s*(?:/|per)\s*(second|minute|hour|day)s?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """``most`` times in each window of ``window_s`` seconds; windows begin at whole multiples of their length."""

    UNLIMITED: ClassVar[str] = "unlimited"

    limit: int
    window_s: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """``60/minute`` or ``unlimited``; raises ValueError."""
        if text.strip() == cls.UNLIMITED:
            return cls(-1, 1)
        found = _WORDS.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is neither a rate, as in 60/minute, nor {cls.UNLIMITED!r}")
        return cls(int(found[1]), WINDOW_LENGTHS_S[found[2]])

    @property
    def is_unlimited(self) -> bool:
        """Whether there is no limit."""
        return self.limit < 0

    def __str__(self) -> str:
        """As ``parse`` takes it."""
        unit = next(word for word, seconds in WINDOW_LENGTHS_S.items() if seconds == self.window_s)
        return self.UNLIMITED if self.is_unlimited else f"{self.limit}/{unit}"


@dataclass(frozen=True, slots=True)
class RateWindow:
    """What is left of a policy's window, which ends at ``reset_at`` (Unix seconds), in ``reset_s`` seconds.

    A rate of no length, ``window_s`` 0, bounds what there is at once: by then it is worth asking again.
    """

    policy: str
    rate: Rate
    remaining: int
    reset_at: int
    reset_s: int

    @property
    def is_exceeded(self) -> bool:
        """Whether what was asked for was too much."""
        return self.remaining < 0
