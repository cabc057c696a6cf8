"""The pace at which a page's news is passed on: a few a second at once, the rest by the newest of each kind."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

from schemas.jobs.job import Progress

MOST = 4
# So that a page that tells its progress all the time shows its previews too.
MOST_PROGRESS = 2
WINDOW_S = 1.0
Shown = Progress | bytes


async def paced(shown: AsyncIterator[Shown], window_s: float = WINDOW_S) -> AsyncIterator[Shown]:
    """What ``shown`` yields, no more than MOST within ``window_s``; of what comes faster the newest of each kind.

    What waits when ``shown`` ends is left out: the end says more. Errors of ``shown`` pass.
    """
    pace = _Pace(window_s)
    waiting: dict[type, Shown] = {}
    coming = _next_of(shown)
    try:
        while True:
            pause_s = min((pace.pause_s(kind) for kind in waiting), default=None)
            done, _ = await asyncio.wait({coming}, timeout=pause_s)
            if done:
                newest = coming.result()
                if newest is None:
                    return
                waiting[type(newest)] = newest
                coming = _next_of(shown)
            for kind in (bytes, Progress):
                if kind in waiting and pace.pause_s(kind) <= 0:
                    pace.note(kind)
                    yield waiting.pop(kind)
    finally:
        coming.cancel()


class _Pace:
    """When which kind of news may be passed on."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._all: deque[float] = deque(maxlen=MOST)
        self._progress: deque[float] = deque(maxlen=MOST_PROGRESS)

    def note(self, kind: type) -> None:
        """It is passed on now."""
        now = time.monotonic()
        self._all.append(now)
        if kind is Progress:
            self._progress.append(now)

    def pause_s(self, kind: type) -> float:
        """How long it must wait."""
        full = [times for times in self._limits(kind) if len(times) == times.maxlen]
        return max((times[0] + self._window_s - time.monotonic() for times in full), default=0.0)

    def _limits(self, kind: type) -> list[deque[float]]:
        return [self._all, self._progress] if kind is Progress else [self._all]


def _next_of(shown: AsyncIterator[Shown]) -> "asyncio.Future[Shown | None]":
    coming = asyncio.ensure_future(anext(shown, None))
    # Nobody may be left to hear how it ended.
    coming.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return coming
