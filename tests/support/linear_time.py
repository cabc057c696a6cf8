"""Compares the work for an input with that for one four times as long, as a ratio, whatever the machine's speed is."""

import time
from collections.abc import Callable

FACTOR = 4
# Work that is linear takes 4 times as long, work that is quadratic 16 times.
MAX_RATIO = 8.0
# The least time that is compared: below it, noise is larger than the work.
MIN_COMPARED_S = 0.005
FIRST_SIZE, MAX_SIZE = 2000, 16_000
TRIES = 8


def growth(run: Callable[[int], object]) -> float:
    """Return by how much the work of ``run(size)`` grows with four times the size; 4 if it is too little to compare."""
    size, small = FIRST_SIZE, _spent(run, FIRST_SIZE)
    while small < MIN_COMPARED_S:
        if size >= MAX_SIZE:
            return float(FACTOR)
        size, small = 2 * size, _spent(run, 2 * size)
    # The least time of several at both sizes: other processes only ever add to a time.
    large = _spent(run, FACTOR * size)
    for _ in range(TRIES):
        if large / small <= MAX_RATIO:
            break
        small, large = min(small, _spent(run, size)), min(large, _spent(run, FACTOR * size))
    return large / small


def _spent(run: Callable[[int], object], size: int) -> float:
    started = time.thread_time()
    run(size)
    return time.thread_time() - started
