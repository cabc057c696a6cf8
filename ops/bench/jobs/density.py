"""The bench ``density``: memory for each further job at once, against a browser for each job."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from ops.bench.report import Row
from ops.bench.tools.baseline_process import script
from ops.bench.tools.clock_page import CLOCK, clock_page
from ops.testbed.stack import Stack, stack, tree_memory_bytes, wait_until

FEW, MANY = 1, 8
STEPS = 60
SAMPLES = 7
SETTLING_S = 1.0
ROLES = ("web", "worker", "clock")
BYTES_PER_MB = 1024 * 1024


def measure() -> Iterator[Row]:
    """The memory of few and of many jobs at work; the difference belongs to the further ones.

    On a light page that is Darkroom's and the browser's own; on the studio it is mostly what the page paints with.
    """
    with clock_page() as page, stack(*ROLES, RECIPES_DIR=page.recipes, WORKER_CONCURRENCY=str(MANY)) as darkroom:
        light = _ours(darkroom, {"prompt": "what time is it", "site": CLOCK})
        light_each = _theirs(page.url)
        heavy = _ours(darkroom, {"prompt": "a lighthouse at dusk", "inputs": {"steps": STEPS}})
    heavy_each = _theirs()
    yield Row("light page, each further job", light, "MB", light_each, most=40)
    yield Row("light page, times less", light_each / light, "x", 1.0, least=4)
    yield Row("studio, each further job", heavy, "MB", heavy_each)
    yield Row("studio, times less", heavy_each / heavy, "x", 1.0)


def _ours(darkroom: Stack, body: dict[str, Any]) -> float:
    """Megabytes of each further job in contexts of one browser."""
    return _further({number: _working(darkroom, number, body) for number in (FEW, MANY)})


def _theirs(*address: str) -> float:
    """Megabytes of each further job with a browser of its own."""
    with script("density", *address) as plain:
        memory = {}
        for number in (FEW, MANY):
            plain.ask(number, STEPS)
            time.sleep(SETTLING_S * number)
            memory[number] = _sample(lambda: tree_memory_bytes(plain.pid))
            plain.answer()
    return _further(memory)


def _further(memory: dict[int, float]) -> float:
    return (memory[MANY] - memory[FEW]) / (MANY - FEW)


def _working(darkroom: Stack, number: int, body: dict[str, Any]) -> float:
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
