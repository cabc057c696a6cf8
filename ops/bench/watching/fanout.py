"""The bench ``fanout``: a thousand who watch one job, and how long an event takes to reach them all."""

import asyncio
import time
from collections.abc import Iterator

from ops.bench.report import Row
from ops.bench.tools.job_driver import cancel_all, note, submit, take, url_of
from ops.bench.tools.websocket_clients import listen
from ops.processes.web_command import allow_many_connections
from ops.testbed.stack import Stack, stack
from ops.testbed.statistics import percentile

WATCHERS = 1000
EVENTS = 40
PACE_S = 0.25


def measure() -> Iterator[Row]:
    """Events come at the pace at which a job has them; the baseline is one watcher alone."""
    allow_many_connections()
    with stack("web") as darkroom:
        alone = asyncio.run(_delays(darkroom, 1))
        together = asyncio.run(_delays(darkroom, WATCHERS))
    for percent, most in ((50, None), (95, 150.0)):
        figures = [percentile(delays, percent) for delays in (together, alone)]
        yield Row(f"event to each of {WATCHERS:,} watchers, p{percent}", figures[0], "ms", figures[1], most=most)
    yield Row("messages heard", len(together), "", len(alone), least=WATCHERS * EVENTS)


async def _delays(darkroom: Stack, watchers: int) -> list[float]:
    ident = submit(darkroom, "watched", 10)
    listeners = await listen([url_of(darkroom, ident) for _ in range(watchers)])
    # That the page has taken the prompt changes nothing that watchers of a socket see.
    job = take(darkroom, ident)
    delays_ms: list[float] = []
    for number in range(EVENTS):
        began = await note(darkroom, job, 100 * (number + 1) / EVENTS)
        delays_ms += [1000 * (at - began) for at, _ in await asyncio.gather(*(one.hear() for one in listeners))]
        await asyncio.sleep(max(0.0, began + PACE_S - time.time()))
    for listener in listeners:
        listener.close()
    cancel_all(darkroom)
    return delays_ms
