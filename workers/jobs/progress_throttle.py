"""Limits how many progress reports and previews of a page are stored and published, and combines both.

Each window allows ``MAX_UPDATES``, of which at most ``MAX_PROGRESS_UPDATES`` are progress reports. Faster updates
are coalesced: only the newest of each kind is kept until it may pass.

A page is looked at from time to time, and its progress and its preview then change together. One waits a moment for
the other, because storing both takes one call.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from schemas.jobs.job import Progress

MAX_UPDATES = 4
# Lower than MAX_UPDATES, so that a page that reports progress constantly still shows previews.
MAX_PROGRESS_UPDATES = 2
WINDOW_S = 1.0
# A preview is fetched or made smaller first.
COMPANION_WAIT_S = 0.05
Update = Progress | bytes


@dataclass(frozen=True, slots=True)
class Updates:
    """The current progress and preview of a page; at least one of them."""

    progress: Progress | None
    preview: bytes | None


async def throttle(updates: AsyncIterator[Update], window_s: float = WINDOW_S) -> AsyncIterator[Updates]:
    """Yield ``updates`` within the limits; errors of ``updates`` propagate.

    Updates that the limits delay when ``updates`` ends are dropped, because the outcome replaces them.
    """
    waiting = _Waiting(window_s)
    next_update = _start_next(updates)
    try:
        while True:
            done, _ = await asyncio.wait({next_update}, timeout=waiting.delay_s())
            newest = next_update.result() if done else None
            if newest is not None:
                waiting.add(newest)
                next_update = _start_next(updates)
            is_last = bool(done) and newest is None
            if passing := waiting.pop(at_once=is_last):
                yield passing
            if is_last:
                return
    finally:
        next_update.cancel()


class _Waiting:
    """The newest update of each kind that has not passed yet."""

    def __init__(self, window_s: float) -> None:
        self._rate = _RateWindow(window_s)
        self._newest: dict[type, Update] = {}
        self._complete_at = 0.0

    def add(self, update: Update) -> None:
        """Replace the waiting update of the same kind."""
        if not self._newest:
            self._complete_at = time.monotonic() + COMPANION_WAIT_S
        self._newest[type(update)] = update

    def delay_s(self) -> float | None:
        """Return the seconds until an update may pass; None if none waits."""
        if not self._newest:
            return None
        delay_s = min(map(self._rate.delay_s, self._newest))
        return max(0.0, delay_s, self._companion_delay_s())

    def _companion_delay_s(self) -> float:
        return 0.0 if len(self._newest) > 1 else self._complete_at - time.monotonic()

    def pop(self, *, at_once: bool) -> Updates | None:
        """Take the updates that may pass now; with ``at_once`` none waits for a companion."""
        if not self._newest or (self._companion_delay_s() > 0 and not at_once):
            return None
        passing: dict[type, Update] = {}
        for kind in (bytes, Progress):
            if kind in self._newest and self._rate.delay_s(kind) <= 0:
                self._rate.record(kind)
                passing[kind] = self._newest.pop(kind)
        return Updates(passing.get(Progress), passing.get(bytes)) if passing else None  # type: ignore[arg-type] # by kind


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
