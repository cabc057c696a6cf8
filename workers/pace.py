"""Owns the pace at which a page's news is passed on: a few a second at once, the rest by the newest of each kind.

Used by ``workers.runner``.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

from schemas.jobs import Progress

MOST = 4
WINDOW_S = 1.0
Shown = Progress | bytes


async def paced(shown: AsyncIterator[Shown], window_s: float = WINDOW_S) -> AsyncIterator[Shown]:
    """What ``shown`` yields, no more than MOST within ``window_s``; of what comes faster the newest of each kind.

    What waits when ``shown`` ends is left out: the end says more. Errors of ``shown`` pass.
    """
    sent: deque[float] = deque(maxlen=MOST)
    waiting: dict[type, Shown] = {}
    coming = _next_of(shown)
    try:
        while True:
            pause_s = max(0.0, sent[0] + window_s - time.monotonic()) if len(sent) == MOST else 0.0
            done, _ = await asyncio.wait({coming}, timeout=pause_s if waiting else None)
            if done:
                newest = coming.result()
                if newest is None:
                    return
                waiting.pop(type(newest), None)
                waiting[type(newest)] = newest
                coming = _next_of(shown)
            while waiting and (len(sent) < MOST or time.monotonic() - sent[0] >= window_s):
                sent.append(time.monotonic())
                yield waiting.pop(next(iter(waiting)))
    finally:
        coming.cancel()


def _next_of(shown: AsyncIterator[Shown]) -> "asyncio.Future[Shown | None]":
    coming = asyncio.ensure_future(anext(shown, None))
    # Nobody may be left to hear how it ended.
    coming.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return coming
