"""The bench ``sockets``: what one of ten thousand idle WebSockets costs a web process, and how fast one hears."""

import asyncio
from collections.abc import Iterator

from ops.bench.report import Row
from ops.bench.tools.job_driver import cancel_all, claim, record_progress, submit, websocket_url
from ops.bench.tools.websocket_clients import connect_all
from ops.processes.web_command import raise_open_files_limit
from ops.testbed.stack import Stack, run_stack
from ops.testbed.statistics import percentile

IDLE_SOCKETS = 10_000
JOBS = 100
EVENTS = 200
BYTES_PER_KB = 1000


def measure() -> Iterator[Row]:
    """The baseline of the delay is a client that polls ten times a second: half of that, on the mean."""
    raise_open_files_limit()
    with run_stack("web") as darkroom:
        alone = asyncio.run(_measure(darkroom, 0))[1]
        idle_kb, delays_ms = asyncio.run(_measure(darkroom, IDLE_SOCKETS))
    yield Row(f"memory of each of {IDLE_SOCKETS:,} idle sockets", idle_kb, "kB", max_value=45.0)
    for percent, most in ((50, None), (95, 50.0)):
        yield Row(
            f"event to socket beside them, p{percent}",
            percentile(delays_ms, percent),
            "ms",
            percentile(alone, percent),
            max_value=most,
        )


async def _measure(darkroom: Stack, idle: int) -> tuple[float, list[float]]:
    idents = [submit(darkroom, "idle", -1) for _ in range(JOBS)]
    watched = submit(darkroom, "watched", 10)
    before = darkroom.memory_bytes("web")
    idlers = await connect_all([websocket_url(darkroom, idents[number % JOBS]) for number in range(idle)])
    kilobytes = (darkroom.memory_bytes("web") - before) / max(1, idle) / BYTES_PER_KB
    delays_ms = await _delays(darkroom, watched)
    for idler in idlers:
        idler.close()
    cancel_all(darkroom)
    return kilobytes, delays_ms


async def _delays(darkroom: Stack, job_id: str) -> list[float]:
    """From the noting of progress to its arrival at the one who watches."""
    [listener] = await connect_all([websocket_url(darkroom, job_id)])
    job = claim(darkroom, job_id)
    delays_ms = []
    for number in range(EVENTS):
        began = await record_progress(darkroom, job, 100 * (number + 1) / EVENTS)
        heard_at, _ = await listener.receive()
        delays_ms.append(1000 * (heard_at - began))
    listener.close()
    return delays_ms
