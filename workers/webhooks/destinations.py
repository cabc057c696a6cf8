"""Per-destination queue of claimed deliveries, with a concurrency limit and a circuit breaker. Pure; no I/O, no clock.

One slow or broken receiver must not delay the others, so each destination has its own limit and circuit. After
FAILURES_TO_OPEN failures in a row the circuit opens: waiting deliveries go back to SQL, and a single attempt probes
the receiver after a pause that doubles up to MAX_PAUSE_S.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from schemas.webhooks.retry_policy import OVERLOAD_STATUSES, AttemptOutcome
from schemas.webhooks.subscriptions import Delivery, Subscription

MAX_CONCURRENT = 16
# Claiming more than can run at once keeps all connections busy during the next claim.
MAX_CLAIMED = 64
FAILURES_TO_OPEN = 5
MIN_PAUSE_S, MAX_PAUSE_S = 15.0, 600.0


@dataclass(frozen=True, slots=True)
class PreparedDelivery:
    """A claimed delivery with its webhook, if it belongs to one, and the secrets that sign it."""

    delivery: Delivery
    webhook: Subscription | None
    secrets: Sequence[str] = field(repr=False)


@dataclass(slots=True)
class DestinationQueue:
    """The claimed deliveries to one destination. ``retry_at`` is on the monotonic clock that callers pass in."""

    waiting: deque[PreparedDelivery] = field(default_factory=deque)
    running: int = 0
    consecutive_failures: int = 0
    pause_s: float = 0.0
    retry_at: float = 0.0

    @property
    def is_circuit_open(self) -> bool:
        """Whether only probing attempts are allowed."""
        return self.consecutive_failures >= FAILURES_TO_OPEN

    @property
    def is_idle(self) -> bool:
        """Whether the queue holds no state and can be discarded."""
        return not (self.running or self.waiting or self.consecutive_failures)

    def capacity(self, now_s: float) -> int:
        """Return how many more deliveries to claim."""
        limit = self._max_running(now_s) if self.is_circuit_open else MAX_CLAIMED
        return max(0, limit - self.running - len(self.waiting))

    def start_ready(self, now_s: float) -> Iterator[PreparedDelivery]:
        """Yield the deliveries to start now, and count each as running."""
        while self.waiting and self.running < self._max_running(now_s):
            self.running += 1
            yield self.waiting.popleft()

    def finish(self, outcome: AttemptOutcome, now_s: float) -> list[PreparedDelivery]:
        """Record the end of an attempt; return the waiting deliveries to release if the circuit is open now."""
        self.running -= 1
        if outcome.is_delivered or outcome.is_final:
            self.consecutive_failures, self.pause_s = 0, 0.0
            return []
        # A receiver that reports overload opens the circuit with its first answer.
        self.consecutive_failures += 1
        if outcome.status in OVERLOAD_STATUSES:
            self.consecutive_failures = max(self.consecutive_failures, FAILURES_TO_OPEN)
        if not self.is_circuit_open:
            return []
        # Attempts that were running when the circuit opened must not lengthen the pause.
        if now_s >= self.retry_at:
            self.pause_s = min(max(MIN_PAUSE_S, 2 * self.pause_s), MAX_PAUSE_S)
            self.retry_at = now_s + self.pause_s
        return self.drain()

    def drain(self) -> list[PreparedDelivery]:
        """Remove and return the waiting deliveries."""
        drained = list(self.waiting)
        self.waiting.clear()
        return drained

    def _max_running(self, now_s: float) -> int:
        if not self.is_circuit_open:
            return MAX_CONCURRENT
        return 1 if now_s >= self.retry_at else 0
