"""How many deliveries to one destination are under way at once, and when none is. Pure: time is handed in."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from schemas.webhooks.retry_policy import THROTTLED, Outcome
from schemas.webhooks.subscriptions import Delivery, Subscription

PLACES = 16
# Taken beforehand, so that places are not empty while SQL is asked for more.
AHEAD = 64
FAILURES_TO_OPEN = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 600.0


@dataclass(frozen=True, slots=True)
class Load:
    """A delivery that was taken, its webhook if it has one, and the secrets that sign it."""

    delivery: Delivery
    webhook: Subscription | None
    secrets: Sequence[str] = field(repr=False)


@dataclass(slots=True)
class Lane:
    """The deliveries to one destination that a courier has in hand.

    While its circuit is open nothing is under way but, from time to time, one attempt that looks whether it is well.
    """

    waiting: deque[Load] = field(default_factory=deque)
    running: int = 0
    failures: int = 0
    pause_s: float = 0.0
    retry_at: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether the circuit is open."""
        return self.failures >= FAILURES_TO_OPEN

    @property
    def idle(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.running or self.waiting or self.failures)

    def room(self, now_s: float) -> int:
        """How many more may be taken."""
        places = self._places(now_s)
        return max(0, (places if self.broken else AHEAD) - self.running - len(self.waiting))

    def begin(self, now_s: float) -> Iterator[Load]:
        """Those whose turn it is now."""
        while self.waiting and self.running < self._places(now_s):
            self.running += 1
            yield self.waiting.popleft()

    def end(self, outcome: Outcome, now_s: float) -> list[Load]:
        """One attempt is over. Those that wait are given back if the circuit is open now."""
        self.running -= 1
        if outcome.delivered or outcome.final:
            self.failures, self.pause_s = 0, 0.0
            return []
        # Who says that it is too much is believed at once.
        self.failures = max(self.failures + 1, FAILURES_TO_OPEN if outcome.status in THROTTLED else 0)
        if not self.broken:
            return []
        if now_s >= self.retry_at:
            self.pause_s = min(max(FIRST_PAUSE_S, 2 * self.pause_s), LONGEST_PAUSE_S)
            self.retry_at = now_s + self.pause_s
        return self.give_back()

    def give_back(self) -> list[Load]:
        """Those that wait, which do so no more."""
        back = list(self.waiting)
        self.waiting.clear()
        return back

    def _places(self, now_s: float) -> int:
        if not self.broken:
            return PLACES
        return 1 if now_s >= self.retry_at else 0
