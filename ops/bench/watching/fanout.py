"""The benchmark ``fanout``: the time that an event needs to reach all of many watchers of one job."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ops.bench.report import Row
from ops.bench.tools.job_driver import cancel_all, claim, record_progress, submit, websocket_url
from ops.bench.tools.websocket_clients import connect_all
from ops.processes.web_command import raise_open_files_limit
from ops.testbed.stack import Stack, run_stack
from ops.testbed.statistics import percentile

# About the rate at which a job has events.
EVENT_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True)
class Size:
    """Watchers and events."""

    watchers: int
    events: int


FULL = Size(watchers=1000, events=40)
SMOKE = Size(watchers=10, events=2)


def measure(size: Size) -> Iterator[Row]:
    """Measure many watchers; the baseline is one watcher."""
    raise_open_files_limit()
    with run_stack("web") as stack:
        alone_ms = asyncio.run(_delays(stack, 1, size.events))
        together_ms = asyncio.run(_delays(stack, size.watchers, size.events))
    for percent, max_ms in ((50, None), (95, 150.0)):
        values = percentile(together_ms, percent), "ms", percentile(alone_ms, percent)
        yield Row(f"event to each of {size.watchers:,} watchers, p{percent}", *values, max_value=max_ms)
    yield Row("messages received", len(together_ms), "", len(alone_ms), min_value=size.watchers * size.events)


async def _delays(stack: Stack, watchers: int, events: int) -> list[float]:
    job_id = submit(stack, "watched", 10)
    clients = await connect_all([websocket_url(stack, job_id) for _ in range(watchers)])
    # Accepting the prompt sends no message to sockets.
    job = claim(stack, job_id)
    delays_ms: list[float] = []
    for number in range(events):
        recorded_at = await record_progress(stack, job, 100 * (number + 1) / events)
        arrivals = await asyncio.gather(*(client.receive() for client in clients))
        delays_ms += [1000 * (received_at - recorded_at) for received_at, _ in arrivals]
        await asyncio.sleep(max(0.0, recorded_at + EVENT_INTERVAL_S - time.perf_counter()))
    for client in clients:
        client.close()
    cancel_all(stack)
    return delays_ms
