"""Limits how many progress reports and previews of a page are stored and published.

Each window allows ``MAX_UPDATES``, of which at most ``MAX_PROGRESS_UPDATES`` are progress reports. Faster updates
are coalesced: only the newest of each kind is kept until it may pass.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

from schemas.jobs.job import Progress

MAX_UPDATES = 4
# Lower than MAX_UPDATES, so that a page that reports progress constantly still shows previews.
MAX_PROGRESS_UPDATES = 2
WINDOW_S = 1.0
Update = Progress | bytes


async def throttle(updates: AsyncIterator[Update], window_s: float = WINDOW_S) -> AsyncIterator[Update]:
    """Yield ``updates`` within the limits; errors of ``updates`` propagate.

    Updates that are still pending when ``updates`` ends are dropped, because the outcome replaces them.
    """
    rate = _RateWindow(window_s)
    pending: dict[type, Update] = {}
    next_update = _start_next(updates)
    try:
        while True:
            delay_s = min((rate.delay_s(kind) for kind in pending), default=None)
            done, _ = await asyncio.wait({next_update}, timeout=delay_s)
            if done:
                newest = next_update.result()
                if newest is None:
                    return
                pending[type(newest)] = newest
                next_update = _start_next(updates)
            for kind in (bytes, Progress):
                if kind in pending and rate.delay_s(kind) <= 0:
                    rate.record(kind)
                    yield pending.pop(kind)
    finally:
        next_update.cancel()


class _RateWindow:
    """Sliding window over the times at which updates passed."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._all: deque[float] = deque(maxlen=MAX_UPDATES)
        self._progress: deque[float] = deque(maxlen=MAX_PROGRESS_UPDATES)

    def record(self, kind: type) -> None:
        """Count an update that passes now."""
        now = time.monotonic()
        self._all.append(now)
        if kind is Progress:
            self._progress.append(now)

    def delay_s(self, kind: type) -> float:
        """Return the seconds until an update of ``kind`` may pass; zero or less if it may pass now."""
        limits = [self._all, self._progress] if kind is Progress else [self._all]
        full = [times for times in limits if len(times) == times.maxlen]
        return max((times[0] + self._window_s - time.monotonic() for times in full), default=0.0)


def _start_next(updates: AsyncIterator[Update]) -> "asyncio.Future[Update | None]":
    future = asyncio.ensure_future(anext(updates, None))
    # Retrieve the exception even if the future is abandoned; otherwise asyncio logs "exception was never retrieved".
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future
