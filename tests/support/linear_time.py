"""Compares the work for an input with that for one twice as long, as a ratio, whatever the machine's speed is."""

import time
from collections.abc import Callable

# Work that is linear doubles, work that is quadratic quadruples.
MAX_RATIO = 3.0
# The least time that is compared: below it, noise is larger than the work.
MIN_COMPARED_S = 0.005
FIRST_SIZE, MAX_SIZE = 2000, 16_000
TRIES = 4


def growth(run: Callable[[int], object]) -> float:
    """Return by how much the work of ``run(size)`` grows when the size doubles; 2 if it is too little to compare."""
    size, spent = FIRST_SIZE, _spent(run, FIRST_SIZE)
    while spent < MIN_COMPARED_S:
        if size >= MAX_SIZE:
            return 2.0
        size, spent = 2 * size, _spent(run, 2 * size)
    # The least ratio of several: other processes only ever add to a time.
    ratios = []
    for _ in range(TRIES):
        ratios.append(_spent(run, 2 * size) / min(spent, _spent(run, size)))
        if ratios[-1] <= MAX_RATIO:
            break
    return min(ratios)


def _spent(run: Callable[[int], object], size: int) -> float:
    started = time.thread_time()
    run(size)
    return time.thread_time() - started
