"""How many deliveries to one destination are under way at once, and when none is. Pure: time is handed in."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from schemas.webhooks.retry_policy import OVERLOAD_STATUSES, AttemptOutcome
from schemas.webhooks.subscriptions import Delivery, Subscription

MAX_CONCURRENT = 16
# Taken beforehand, so that places are not empty while SQL is asked for more.
MAX_CLAIMED = 64
FAILURES_TO_OPEN = 5
MIN_PAUSE_S, MAX_PAUSE_S = 15.0, 600.0


@dataclass(frozen=True, slots=True)
class PreparedDelivery:
    """A delivery that was taken, its webhook if it has one, and the secrets that sign it."""

    delivery: Delivery
    webhook: Subscription | None
    secrets: Sequence[str] = field(repr=False)


@dataclass(slots=True)
class DestinationQueue:
    """The deliveries to one destination that a courier has in hand.

    While its circuit is open nothing is under way but, from time to time, one attempt that looks whether it is well.
    """

    waiting: deque[PreparedDelivery] = field(default_factory=deque)
    running: int = 0
    consecutive_failures: int = 0
    pause_s: float = 0.0
    retry_at: float = 0.0

    @property
    def is_circuit_open(self) -> bool:
        """Whether the circuit is open."""
        return self.consecutive_failures >= FAILURES_TO_OPEN

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.running or self.waiting or self.consecutive_failures)

    def capacity(self, now_s: float) -> int:
        """How many more may be taken."""
        places = self._max_running(now_s)
        return max(0, (places if self.is_circuit_open else MAX_CLAIMED) - self.running - len(self.waiting))

    def start_ready(self, now_s: float) -> Iterator[PreparedDelivery]:
        """Those whose turn it is now."""
        while self.waiting and self.running < self._max_running(now_s):
            self.running += 1
            yield self.waiting.popleft()

    def finish(self, outcome: AttemptOutcome, now_s: float) -> list[PreparedDelivery]:
        """One attempt is over. Those that wait are given back if the circuit is open now."""
        self.running -= 1
        if outcome.is_delivered or outcome.is_final:
            self.consecutive_failures, self.pause_s = 0, 0.0
            return []
        # Who says that it is too much is believed at once.
        self.consecutive_failures = max(
            self.consecutive_failures + 1, FAILURES_TO_OPEN if outcome.status in OVERLOAD_STATUSES else 0
        )
        if not self.is_circuit_open:
            return []
        if now_s >= self.retry_at:
            self.pause_s = min(max(MIN_PAUSE_S, 2 * self.pause_s), MAX_PAUSE_S)
            self.retry_at = now_s + self.pause_s
        return self.drain()

    def drain(self) -> list[PreparedDelivery]:
        """Those that wait, which do so no more."""
        back = list(self.waiting)
        self.waiting.clear()
        return back

    def _max_running(self, now_s: float) -> int:
        if not self.is_circuit_open:
            return MAX_CONCURRENT
        return 1 if now_s >= self.retry_at else 0
