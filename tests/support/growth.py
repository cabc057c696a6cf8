"""How the time of a function grows with the length of its input, measured as a ratio."""

import time
from collections.abc import Callable

LENGTH = 60_000
ROUNDS = 3
# A linear function takes about four times as long for the fourfold length, a quadratic one sixteen times.
FACTOR = 4
QUADRATIC = 10.0


def growth(work: Callable[[int], object]) -> float:
    """Return how many times as long ``work(4 * LENGTH)`` takes as ``work(LENGTH)``, in CPU time."""
    return _shortest_s(work, FACTOR * LENGTH) / _shortest_s(work, LENGTH)


def _shortest_s(work: Callable[[int], object], length: int) -> float:
    durations = []
    for _ in range(ROUNDS):
        started_at = time.thread_time()
        work(length)
        durations.append(time.thread_time() - started_at)
    return max(min(durations), 1e-5)
