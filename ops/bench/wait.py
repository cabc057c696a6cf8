"""Owns the bench ``wait``: what two hundred waiting clients cost the front, by long-poll and by polling."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import psutil

from ops.bench.report import Row
from ops.stack import KEY, Stack, stack
from schemas.jobs import Progress

CLIENTS = 200
SECONDS = 10.0
POLL_INTERVAL_S = 0.1
EVENT_INTERVAL_S = 2.0
WAIT_S = 30


def measure() -> Iterator[Row]:
    """Both sides watch the same job, which has an event every two seconds, and learn of every one."""
    with stack("web") as darkroom:
        polling = asyncio.run(_watch(darkroom, wait=False))
        waiting = asyncio.run(_watch(darkroom, wait=True))
    yield Row("requests of 200 clients", waiting[0], "a second", polling[0], most=1 / 20, judge_ratio=True)
    yield Row("CPU of the front", waiting[1], "% of a core", polling[1], most=1 / 20, judge_ratio=True)
    yield Row("events learnt of by each", waiting[2], "", polling[2])


async def _watch(darkroom: Stack, *, wait: bool) -> tuple[float, float, float]:
    """Requests a second, CPU in per cent, and how many changes a client has seen, on the mean."""
    with darkroom.client() as client:
        ident = client.post("/api/v1/jobs", json={"prompt": "watched"}).json()["id"]
    job = darkroom.stores.attempts.claim("bench")
    if job is None:
        raise RuntimeError("nothing was claimed")
    over = asyncio.Event()
    limits = httpx.Limits(max_connections=CLIENTS)
    tree = _tree(darkroom)
    async with httpx.AsyncClient(
        base_url=darkroom.settings.public_url, headers={"x-api-key": KEY}, limits=limits, timeout=60, trust_env=False
    ) as client:
        clients = [asyncio.create_task(_client(client, ident, over, wait=wait)) for _ in range(CLIENTS)]
        began, used = time.monotonic(), _cpu_s(tree)
        for number in range(int(SECONDS / EVENT_INTERVAL_S)):
            await asyncio.sleep(EVENT_INTERVAL_S)
            await asyncio.to_thread(darkroom.stores.attempts.note_progress, job, Progress(float(number + 1)))
        seconds, busy_s = time.monotonic() - began, _cpu_s(tree) - used
        over.set()
        await asyncio.to_thread(darkroom.stores.jobs.cancel, ident)
        await asyncio.to_thread(darkroom.stores.attempts.note_progress, job, Progress(100.0))
        counts = await asyncio.gather(*clients)
    requests, changes = (sum(count[part] for count in counts) for part in (0, 1))
    return requests / seconds, 100 * busy_s / seconds, changes / CLIENTS


async def _client(client: httpx.AsyncClient, ident: str, over: asyncio.Event, *, wait: bool) -> tuple[int, int]:
    requests, changes, seq = 0, 0, 0
    while not over.is_set():
        params: dict[str, int] = {"wait": WAIT_S, "since": seq} if wait else {}
        shown = (await client.get(f"/status/{ident}", params=params)).json()
        requests += 1
        changes += shown["seq"] > seq
        seq = shown["seq"]
        if not wait:
            await asyncio.sleep(POLL_INTERVAL_S)
    return requests, changes


def _tree(darkroom: Stack) -> list[psutil.Process]:
    front = psutil.Process(darkroom.supervisor.pid("web"))
    return [front, *front.children(recursive=True)]


def _cpu_s(tree: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in tree)
