"""Retry schedule of webhook deliveries, and the interpretation of a receiver's response.

The schedule spans 75.6 hours, so a receiver that is down over a long weekend misses nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas.http.retry_after import parse_retry_after

MINUTE_S, HOUR_S = 60, 3600
# Delay before each attempt, from the first on.
SCHEDULE_S = (
    0, 5, 5 * MINUTE_S, 30 * MINUTE_S, 2 * HOUR_S, 5 * HOUR_S, 10 * HOUR_S, 14 * HOUR_S, 20 * HOUR_S, 24 * HOUR_S,
)  # fmt: skip
JITTER = 0.2
# A webhook that has failed without interruption for this long is disabled.
DISABLE_AFTER_S = 120 * HOUR_S
GONE_STATUS = 410
# Responses of an overloaded receiver.
OVERLOAD_STATUSES = (429, 502, 503, 504)
# Response header by which a receiver stops this delivery ("abort-message") or all of them ("disable").
DIRECTIVE_HEADER = "webhook-delivery"


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """The outcome of one attempt: the status of the response, or the error that prevented one.

    ``excerpt`` is the beginning of the response body; ``retry_after_s`` and ``directive`` come from its headers.
    """

    status: int | None = None
    error: str | None = None
    excerpt: str = ""
    retry_after_s: float | None = None
    directive: str = ""

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver accepted the delivery."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no further deliveries at all."""
        return self.status == GONE_STATUS or self.directive == "disable"

    @property
    def is_final(self) -> bool:
        """Whether this delivery must not be retried."""
        return self.is_gone or self.directive == "abort-message"

    @property
    def reason(self) -> str:
        """Why the delivery failed, as a sentence for people."""
        if self.is_gone:
            return "The receiver wants no more deliveries."
        if self.is_final:
            return "The receiver does not want this delivery."
        return self.error or f"The receiver answered {self.status}."


def parse_response(status: int, headers: Mapping[str, str], excerpt: str, now_s: float) -> AttemptOutcome:
    """Return the outcome that a response means. The names in ``headers`` must be in lower case."""
    retry_after_s = parse_retry_after(headers.get("retry-after"), now_s, headers.get("date"))
    return AttemptOutcome(status, None, excerpt, retry_after_s, headers.get(DIRECTIVE_HEADER, "").strip().lower())


def next_delay_s(tries: int, outcome: AttemptOutcome, uniform: Callable[[float, float], float]) -> float | None:
    """Return the delay before the next attempt after ``tries`` attempts; None if there is none.

    Retry-After counts between the scheduled delay and twice that. ``uniform(a, b)`` returns a random number.
    """
    if tries >= len(SCHEDULE_S):
        return None
    base = SCHEDULE_S[tries]
    if outcome.retry_after_s is not None:
        return min(max(outcome.retry_after_s, base), 2 * base)
    # Jitter keeps deliveries that failed together from coming back together.
    return base * uniform(1 - JITTER, 1 + JITTER)
