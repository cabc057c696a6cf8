"""The benchmark ``sockets``: memory of idle WebSockets in a web process, and event latency beside them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from ops.bench.report import Row
from ops.bench.tools.job_driver import cancel_all, claim, record_progress, submit, websocket_url
from ops.bench.tools.websocket_clients import connect_all
from ops.processes.web_command import raise_open_files_limit
from ops.testbed.stack import Stack, run_stack
from ops.testbed.statistics import percentile

BYTES_PER_KB = 1000


@dataclass(frozen=True, slots=True)
class Size:
    """Idle sockets, the jobs they watch, and events of one more job."""

    idle_sockets: int
    jobs: int
    events: int


FULL = Size(idle_sockets=10_000, jobs=100, events=200)
SMOKE = Size(idle_sockets=20, jobs=2, events=3)


def measure(size: Size) -> Iterator[Row]:
    """Measure one socket alone, which is the baseline, and then beside the idle ones."""
    raise_open_files_limit()
    with run_stack("web") as stack:
        _, alone_ms = asyncio.run(_measure(stack, size, idle_sockets=0))
        idle_kb, delays_ms = asyncio.run(_measure(stack, size, idle_sockets=size.idle_sockets))
    yield Row(f"memory of each of {size.idle_sockets:,} idle sockets", idle_kb, "kB", max_value=45.0)
    for percent, max_ms in ((50, None), (95, 50.0)):
        values = percentile(delays_ms, percent), "ms", percentile(alone_ms, percent)
        yield Row(f"event to socket beside them, p{percent}", *values, max_value=max_ms)


async def _measure(stack: Stack, size: Size, *, idle_sockets: int) -> tuple[float, list[float]]:
    job_ids = [submit(stack, "idle", -1) for _ in range(size.jobs)]
    watched_id = submit(stack, "watched", 10)
    before = stack.memory_bytes("web")
    clients = await connect_all([websocket_url(stack, job_ids[number % size.jobs]) for number in range(idle_sockets)])
    kilobytes = (stack.memory_bytes("web") - before) / max(1, idle_sockets) / BYTES_PER_KB
    delays_ms = await _delays(stack, watched_id, size.events)
    for client in clients:
        client.close()
    cancel_all(stack)
    return kilobytes, delays_ms


async def _delays(stack: Stack, job_id: str, events: int) -> list[float]:
    """Return the times from recording progress to its arrival at a socket."""
    [client] = await connect_all([websocket_url(stack, job_id)])
    job = claim(stack, job_id)
    delays_ms = []
    for number in range(events):
        recorded_at = await record_progress(stack, job, 100 * (number + 1) / events)
        received_at, _ = await client.receive()
        delays_ms.append(1000 * (received_at - recorded_at))
    client.close()
    return delays_ms
