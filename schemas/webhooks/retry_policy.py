"""When a delivery is tried again, and what the answer to an attempt means. Pure.

The schedule takes 75.6 hours: an address that is down over a long weekend misses nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MINUTE_S, HOUR_S = 60, 3600
# Before the first attempt, before the second, and so on.
SCHEDULE_S = (
    0, 5, 5 * MINUTE_S, 30 * MINUTE_S, 2 * HOUR_S, 5 * HOUR_S, 10 * HOUR_S, 14 * HOUR_S, 20 * HOUR_S, 24 * HOUR_S,
)  # fmt: skip
JITTER = 0.2
DISABLE_AFTER_S = 120 * HOUR_S
GONE_STATUS = 410
# A receiver that answers so has more than it can take.
OVERLOAD_STATUSES = (429, 502, 503, 504)
DIRECTIVE_HEADER = "webhook-delivery"


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """What an attempt has brought: a status, or why there is none."""

    status: int | None = None
    error: str | None = None
    excerpt: str = ""
    retry_after_s: float | None = None
    directive: str = ""

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more at all."""
        return self.status == GONE_STATUS or self.directive == "disable"

    @property
    def is_final(self) -> bool:
        """Whether this delivery is not to be tried again."""
        return self.is_gone or self.directive == "abort-message"

    @property
    def reason(self) -> str:
        """Why it was not delivered, for people."""
        if self.is_gone:
            return "The receiver wants no more deliveries."
        if self.is_final:
            return "The receiver does not want this delivery."
        return self.error or f"The receiver answered {self.status}."


def parse_response(status: int, headers: Mapping[str, str], excerpt: str, now_s: float) -> AttemptOutcome:
    """The outcome that an answer means; names of ``headers`` are in small letters."""
    retry_after_s = _seconds(headers.get("retry-after", ""), now_s)
    return AttemptOutcome(status, None, excerpt, retry_after_s, headers.get(DIRECTIVE_HEADER, "").strip().lower())


def next_delay_s(tries: int, outcome: AttemptOutcome, uniform: Callable[[float, float], float]) -> float | None:
    """Seconds until the attempt after ``tries`` of them; None if there is none. ``draw(a, b)`` draws a number between.

    A receiver's own wish counts as long as it is between the schedule's delay and twice that.
    """
    if tries >= len(SCHEDULE_S):
        return None
    base = SCHEDULE_S[tries]
    if outcome.retry_after_s is not None:
        return min(max(outcome.retry_after_s, base), 2 * base)
    return base * uniform(1 - JITTER, 1 + JITTER)


def _seconds(text: str, now_s: float) -> float | None:
    """What ``Retry-After`` says: a number of seconds, or a date."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.fromtimestamp(now_s, UTC)).total_seconds())
