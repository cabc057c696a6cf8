"""The bench ``wait``: what two hundred waiting clients cost the front, by long-poll and by polling."""

import asyncio
import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil

from ops.bench.report import Row
from ops.bench.tools.http_load import read_response, request_bytes
from ops.bench.tools.job_driver import claim
from ops.testbed.stack import KEY, Stack, run_stack
from schemas.errors import ServiceError
from schemas.jobs.job import Progress

CLIENTS = 200
EVENTS = 4
POLL_INTERVAL_S = 0.1
EVENT_INTERVAL_S = 5.0
WAIT_S = 30


def measure() -> Iterator[Row]:
    """Both sides watch the same job, which has an event every five seconds, and learn of every one."""
    with run_stack("web") as darkroom:
        polling = asyncio.run(_watch(darkroom, wait=False))
        waiting = asyncio.run(_watch(darkroom, wait=True))
    yield Row("requests of 200 clients", waiting[0], "a second", polling[0], max_value=1 / 20, judge_ratio=True)
    yield Row("CPU of the front", waiting[1], "% of a core", polling[1], max_value=1 / 20, judge_ratio=True)
    yield Row("events learnt of by each", waiting[2], "", polling[2])


async def _watch(darkroom: Stack, *, wait: bool) -> tuple[float, float, float]:
    """Requests a second, CPU in per cent, and how many changes a client has seen, on the mean."""
    with darkroom.client() as client:
        ident = client.post("/api/v1/jobs", json={"prompt": "watched"}).json()["id"]
    job = claim(darkroom, ident)
    over, tree = asyncio.Event(), _tree(darkroom)
    clients = [asyncio.create_task(_client(darkroom, ident, over, wait=wait)) for _ in range(CLIENTS)]
    began, used = time.monotonic(), _cpu_s(tree)
    for number in range(EVENTS):
        await asyncio.sleep(EVENT_INTERVAL_S)
        await asyncio.to_thread(darkroom.stores.attempts.record_progress, job, Progress(float(number + 1)))
    seconds, busy_s = time.monotonic() - began, _cpu_s(tree) - used
    over.set()
    await asyncio.to_thread(darkroom.stores.attempts.fail, job, ServiceError("over"))
    counts = await asyncio.gather(*clients)
    requests, changes = (sum(count[part] for count in counts) for part in (0, 1))
    return requests / seconds, 100 * busy_s / seconds, changes / CLIENTS


async def _client(darkroom: Stack, job_id: str, finished: asyncio.Event, *, wait: bool) -> tuple[int, int]:
    """How many requests it took, and how many changes they brought."""
    parts = urlsplit(darkroom.settings.public_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    requests, changes, seq = 0, 0, 0
    while not finished.is_set():
        query = f"?wait={WAIT_S}&since={seq}" if wait else ""
        writer.write(request_bytes(f"{darkroom.settings.public_url}/status/{job_id}{query}", key=KEY))
        _, body = await read_response(reader)
        shown = json.loads(body)
        if "seq" not in shown:
            raise RuntimeError(f"no status: {shown}")
        requests += 1
        changes += shown["seq"] > seq
        seq = shown["seq"]
        if not wait:
            await asyncio.sleep(POLL_INTERVAL_S)
    writer.close()
    return requests, changes


def _tree(darkroom: Stack) -> list[psutil.Process]:
    front = psutil.Process(darkroom.supervisor.pid("web"))
    return [front, *front.children(recursive=True)]


def _cpu_s(tree: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in tree)
