"""The pace at which a page's news is passed on: a few a second at once, the rest by the newest of each kind."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

from schemas.jobs.job import Progress

MAX_UPDATES = 4
# So that a page that tells its progress all the time shows its previews too.
MAX_PROGRESS_UPDATES = 2
WINDOW_S = 1.0
Update = Progress | bytes


async def throttle(updates: AsyncIterator[Update], window_s: float = WINDOW_S) -> AsyncIterator[Update]:
    """What ``shown`` yields, no more than MOST within ``window_s``; of what comes faster the newest of each kind.

    What waits when ``shown`` ends is left out: the end says more. Errors of ``shown`` pass.
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
    """When which kind of news may be passed on."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._all: deque[float] = deque(maxlen=MAX_UPDATES)
        self._progress: deque[float] = deque(maxlen=MAX_PROGRESS_UPDATES)

    def record(self, kind: type) -> None:
        """It is passed on now."""
        now = time.monotonic()
        self._all.append(now)
        if kind is Progress:
            self._progress.append(now)

    def delay_s(self, kind: type) -> float:
        """How long it must wait."""
        full = [times for times in self._limits(kind) if len(times) == times.maxlen]
        return max((times[0] + self._window_s - time.monotonic() for times in full), default=0.0)

    def _limits(self, kind: type) -> list[deque[float]]:
        return [self._all, self._progress] if kind is Progress else [self._all]


def _start_next(updates: AsyncIterator[Update]) -> "asyncio.Future[Update | None]":
    coming = asyncio.ensure_future(anext(updates, None))
    # Nobody may be left to hear how it ended.
    coming.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return coming
