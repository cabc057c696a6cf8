"""The bench ``density``: memory for each further job at once, against a browser for each job."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from ops.bench.report import Row
from ops.bench.tools.baseline_process import run_baseline
from ops.bench.tools.clock_page import CLOCK_SITE, run_clock_page
from ops.testbed.stack import Stack, run_stack, tree_memory_bytes, wait_until

FEW, MANY = 1, 8
STEPS = 60
SAMPLES = 7
SETTLE_S_PER_JOB = 1.0
ROLES = ("web", "worker", "clock")
BYTES_PER_MB = 1024 * 1024


def measure() -> Iterator[Row]:
    """The memory of few and of many jobs at work; the difference belongs to the further ones.

    On a light page that is Darkroom's and the browser's own; on the studio it is mostly what the page paints with.
    """
    with (
        run_clock_page() as page,
        run_stack(*ROLES, RECIPES_DIR=page.recipes_dir, WORKER_CONCURRENCY=str(MANY)) as darkroom,
    ):
        light = _darkroom_mb_per_job(darkroom, {"prompt": "what time is it", "site": CLOCK_SITE})
        light_each = _script_mb_per_job(page.url)
        heavy = _darkroom_mb_per_job(darkroom, {"prompt": "a lighthouse at dusk", "inputs": {"steps": STEPS}})
    heavy_each = _script_mb_per_job()
    yield Row("light page, each further job", light, "MB", light_each, max_value=40)
    yield Row("light page, times less", light_each / light, "x", 1.0, min_value=4)
    yield Row("studio, each further job", heavy, "MB", heavy_each)
    yield Row("studio, times less", heavy_each / heavy, "x", 1.0)


def _darkroom_mb_per_job(darkroom: Stack, body: dict[str, Any]) -> float:
    """Megabytes of each further job in contexts of one browser."""
    return _per_additional_job({number: _memory_while_running(darkroom, number, body) for number in (FEW, MANY)})


def _script_mb_per_job(*address: str) -> float:
    """Megabytes of each further job with a browser of its own."""
    with run_baseline("density", *address) as plain:
        memory = {}
        for number in (FEW, MANY):
            plain.send(number, STEPS)
            time.sleep(SETTLE_S_PER_JOB * number)
            memory[number] = _sample(lambda: tree_memory_bytes(plain.pid))
            plain.receive()
    return _per_additional_job(memory)


def _per_additional_job(memory: dict[int, float]) -> float:
    return (memory[MANY] - memory[FEW]) / (MANY - FEW)


def _memory_while_running(darkroom: Stack, number: int, body: dict[str, Any]) -> float:
    with darkroom.client() as client:
        ids = [client.post("/api/v1/jobs", json=body).json()["id"] for _ in range(number)]

        def states() -> set[str]:
            return {client.get(f"/status/{ident}").json()["status"] for ident in ids}

        wait_until(lambda: states() == {"PENDING"})
        memory = _sample(lambda: darkroom.memory_bytes("worker"))
        if states() != {"PENDING"}:
            raise RuntimeError("the jobs ended before their memory was read")
        wait_until(lambda: states() == {"COMPLETED"})
    return memory


def _sample(read: Callable[[], int]) -> float:
    """The median of a few readings, in megabytes."""
    readings = []
    for _ in range(SAMPLES):
        readings.append(read() / BYTES_PER_MB)
        time.sleep(0.1)
    return statistics.median(readings)
