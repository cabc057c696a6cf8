"""The benchmark ``wait``: what many waiting clients cost the web process, by long polls and by polling."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from ops.bench.report import Row
from ops.bench.tools.http_load import read_response, request_bytes
from ops.bench.tools.job_driver import claim
from ops.testbed.stack import KEY, Stack, run_stack
from schemas.errors import ServiceError
from schemas.jobs.job import Progress

POLL_INTERVAL_S = 0.1
WAIT_S = 30
MAX_RATIO = 1 / 20


@dataclass(frozen=True, slots=True)
class Size:
    """Clients, events of the job they watch, and the interval between events."""

    clients: int
    events: int
    event_interval_s: float


FULL = Size(clients=200, events=4, event_interval_s=5.0)
SMOKE = Size(clients=5, events=2, event_interval_s=0.5)


def measure(size: Size) -> Iterator[Row]:
    """Both kinds of clients watch a job and learn of each of its events; the baseline is polling."""
    with run_stack("web") as stack:
        polling = asyncio.run(_watch(stack, size, long_poll=False))
        waiting = asyncio.run(_watch(stack, size, long_poll=True))
    yield Row(
        f"requests of {size.clients} clients", waiting[0], "per s", polling[0], max_value=MAX_RATIO, judge_ratio=True
    )
    yield Row("CPU of the web process", waiting[1], "% of a core", polling[1], max_value=MAX_RATIO, judge_ratio=True)
    yield Row("events received by each client", waiting[2], "", polling[2])


async def _watch(stack: Stack, size: Size, *, long_poll: bool) -> tuple[float, float, float]:
    """Return requests per second, CPU in percent, and the mean number of changes that a client has seen."""
    with stack.client() as http:
        job_id = http.post("/api/v1/jobs", json={"prompt": "watched"}).json()["id"]
    job = claim(stack, job_id)
    finished, processes = asyncio.Event(), _web_processes(stack)
    clients = [
        asyncio.create_task(_run_client(stack, job_id, finished, long_poll=long_poll)) for _ in range(size.clients)
    ]
    started_at, cpu_before_s = time.monotonic(), _cpu_s(processes)
    for number in range(size.events):
        await asyncio.sleep(size.event_interval_s)
        await asyncio.to_thread(stack.stores.attempts.record_progress, job, Progress(float(number + 1)))
    seconds, cpu_s = time.monotonic() - started_at, _cpu_s(processes) - cpu_before_s
    finished.set()
    # Ends the long polls.
    await asyncio.to_thread(stack.stores.attempts.fail, job, ServiceError("over"))
    counts = await asyncio.gather(*clients)
    requests, changes = (sum(count[part] for count in counts) for part in (0, 1))
    return requests / seconds, 100 * cpu_s / seconds, changes / size.clients


async def _run_client(stack: Stack, job_id: str, finished: asyncio.Event, *, long_poll: bool) -> tuple[int, int]:
    """Return the number of requests that a client has sent, and of changes that they have reported."""
    parts = urlsplit(stack.settings.public_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    requests, changes, seq = 0, 0, 0
    while not finished.is_set():
        query = f"?wait={WAIT_S}&since={seq}" if long_poll else ""
        writer.write(request_bytes(f"{stack.settings.public_url}/status/{job_id}{query}", key=KEY))
        _, body = await read_response(reader)
        job = json.loads(body)
        if "seq" not in job:
            raise RuntimeError(f"not a job: {job}")
        requests += 1
        changes += job["seq"] > seq
        seq = job["seq"]
        if not long_poll:
            await asyncio.sleep(POLL_INTERVAL_S)
    writer.close()
    return requests, changes


def _web_processes(stack: Stack) -> list[psutil.Process]:
    process = psutil.Process(stack.supervisor.pid("web"))
    return [process, *process.children(recursive=True)]


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
