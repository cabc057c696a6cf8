"""The bench ``fanout``: a thousand who watch one job, and how long an event takes to reach them all."""

import asyncio
import time
from collections.abc import Iterator

from ops.bench.report import Row
from ops.bench.tools.job_driver import cancel_all, claim, record_progress, submit, websocket_url
from ops.bench.tools.websocket_clients import connect_all
from ops.processes.web_command import raise_open_files_limit
from ops.testbed.stack import Stack, run_stack
from ops.testbed.statistics import percentile

WATCHERS = 1000
EVENTS = 40
EVENT_INTERVAL_S = 0.25


def measure() -> Iterator[Row]:
    """Events come at the pace at which a job has them; the baseline is one watcher alone."""
    raise_open_files_limit()
    with run_stack("web") as darkroom:
        alone = asyncio.run(_delays(darkroom, 1))
        together = asyncio.run(_delays(darkroom, WATCHERS))
    for percent, most in ((50, None), (95, 150.0)):
        figures = [percentile(delays, percent) for delays in (together, alone)]
        yield Row(f"event to each of {WATCHERS:,} watchers, p{percent}", figures[0], "ms", figures[1], max_value=most)
    yield Row("messages heard", len(together), "", len(alone), min_value=WATCHERS * EVENTS)


async def _delays(darkroom: Stack, watchers: int) -> list[float]:
    ident = submit(darkroom, "watched", 10)
    listeners = await connect_all([websocket_url(darkroom, ident) for _ in range(watchers)])
    # That the page has taken the prompt changes nothing that watchers of a socket see.
    job = claim(darkroom, ident)
    delays_ms: list[float] = []
    for number in range(EVENTS):
        began = await record_progress(darkroom, job, 100 * (number + 1) / EVENTS)
        delays_ms += [1000 * (at - began) for at, _ in await asyncio.gather(*(one.receive() for one in listeners))]
        await asyncio.sleep(max(0.0, began + EVENT_INTERVAL_S - time.time()))
    for listener in listeners:
        listener.close()
    cancel_all(darkroom)
    return delays_ms
