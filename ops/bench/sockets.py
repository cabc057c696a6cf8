"""Owns the bench ``sockets``: what one of ten thousand idle WebSockets costs a web process, and how fast one hears."""

import asyncio
import time
from collections.abc import Iterator

from ops.bench.listeners import listen
from ops.bench.report import Row, percentile
from ops.processes import allow_many_connections
from ops.stack import Stack, stack
from schemas.jobs import Progress

IDLE = 10_000
JOBS = 100
EVENTS = 200
BYTES_PER_KB = 1000


def measure() -> Iterator[Row]:
    """The baseline of the delay is a client that polls ten times a second: half of that, on the mean."""
    allow_many_connections()
    with stack("web") as darkroom:
        alone = asyncio.run(_measure(darkroom, 0))[1]
        idle_kb, delays_ms = asyncio.run(_measure(darkroom, IDLE))
    yield Row(f"memory of each of {IDLE:,} idle sockets", idle_kb, "kB", most=45.0)
    for percent, most in ((50, None), (95, 50.0)):
        yield Row(
            f"event to socket beside them, p{percent}",
            percentile(delays_ms, percent),
            "ms",
            percentile(alone, percent),
            most=most,
        )


async def _measure(darkroom: Stack, idle: int) -> tuple[float, list[float]]:
    with darkroom.client() as client:
        idents = [
            client.post("/api/v1/jobs", json={"prompt": "idle", "priority": -1}).json()["id"] for _ in range(JOBS)
        ]
        watched = client.post("/api/v1/jobs", json={"prompt": "watched", "priority": 10}).json()["id"]
    before = darkroom.memory_bytes("web")
    idlers = await listen([url_of(darkroom, idents[number % JOBS]) for number in range(idle)])
    kilobytes = (darkroom.memory_bytes("web") - before) / max(1, idle) / BYTES_PER_KB
    delays_ms = await _delays(darkroom, watched)
    for idler in idlers:
        idler.close()
    with darkroom.client() as client:
        client.post("/api/v1/jobs/cancel")
    return kilobytes, delays_ms


async def _delays(darkroom: Stack, ident: str) -> list[float]:
    """From the noting of progress to its arrival at the one who watches."""
    [listener] = await listen([url_of(darkroom, ident)])
    attempts = darkroom.stores.attempts
    job = attempts.claim("bench")
    if job is None or job.id != ident:
        raise RuntimeError("another job was claimed")
    attempts.accepted(job)
    delays_ms = []
    for number in range(EVENTS):
        began = time.time()
        await asyncio.to_thread(attempts.note_progress, job, Progress(100 * (number + 1) / EVENTS))
        heard_at, _ = await listener.hear()
        delays_ms.append(1000 * (heard_at - began))
    listener.close()
    return delays_ms


def url_of(darkroom: Stack, ident: str) -> str:
    """Where a job is listened to, with a pass of its own."""
    return f"{darkroom.settings.public_url}/ws?id={ident}&jwt={darkroom.stores.passes.issue(ident)}"
