"""The benchmark ``density``: memory of each additional concurrent job, compared with a browser for each job."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ops.bench.report import Row
from ops.bench.tools.baseline_process import run_baseline
from ops.bench.tools.pages.clock_page import CLOCK_SITE, run_clock_page
from ops.bench.tools.pages.page_memory import measure_pages
from ops.testbed.stack import Stack, run_stack, tree_memory_bytes, wait_until

SETTLE_S_PER_JOB = 1.0
SAMPLE_INTERVAL_S = 0.1
ROLES = ("web", "worker", "clock")
BYTES_PER_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Size:
    """The lower and the higher number of concurrent jobs, the length of the jobs, and readings per value."""

    few: int
    many: int
    previews: int
    steps: int
    samples: int


FULL = Size(few=1, many=8, previews=40, steps=60, samples=7)
SMOKE = Size(few=1, many=2, previews=8, steps=20, samples=1)


def measure(size: Size) -> Iterator[Row]:
    """Compare the memory of few and of many jobs; the difference is what the additional jobs need.

    A light page shows the cost of Darkroom and of the browser; the studio's cost is mostly its canvas.
    """
    with (
        run_clock_page(previews=size.previews) as page,
        run_stack(*ROLES, RECIPES_DIR=page.recipes_dir, WORKER_CONCURRENCY=str(size.many)) as stack,
    ):
        light = _darkroom_mb_per_job(stack, size, {"prompt": "what time is it", "site": CLOCK_SITE})
        light_script = _script_mb_per_job(size, page.url)
        heavy = _darkroom_mb_per_job(stack, size, {"prompt": "a lighthouse at dusk", "inputs": {"steps": size.steps}})
    heavy_script = _script_mb_per_job(size)
    yield Row("light page, per additional job", light, "MB", light_script, max_value=40)
    yield Row("light page, times less", light_script / light, "x", 1.0, min_value=4)
    yield Row("studio, per additional job", heavy, "MB", heavy_script)
    yield Row("studio, times less", heavy_script / heavy, "x", 1.0)
    yield from _describe_studio(size.steps)


def _describe_studio(steps: int) -> Iterator[Row]:
    """Describe the memory of the studio's page after a picture, compared with an empty page."""
    pages = measure_pages(steps)
    for name, megabytes in pages["painted"].parts.items():
        yield Row(f"studio's page, {name}", megabytes, "MB", pages["empty"].parts.get(name))
    for name, megabytes in pages["collected"].parts.items():
        yield Row(f"collected, {name}", megabytes, "MB", pages["empty"].parts.get(name))
    yield Row("studio's page, DOM nodes", pages["painted"].nodes, "", pages["empty"].nodes)


def _darkroom_mb_per_job(stack: Stack, size: Size, body: dict[str, Any]) -> float:
    """Return the megabytes per additional job, each in a context of one browser."""
    memory = {number: _memory_while_running(stack, number, body, size.samples) for number in (size.few, size.many)}
    return _per_additional_job(memory, size)


def _script_mb_per_job(size: Size, *page_url: str) -> float:
    """Return the megabytes per additional job, each with its own browser."""
    with run_baseline("density", *page_url) as baseline:
        memory = {}
        for number in (size.few, size.many):
            baseline.send(number, size.steps)
            time.sleep(SETTLE_S_PER_JOB * number)
            memory[number] = _median_mb(lambda: tree_memory_bytes(baseline.pid), size.samples)
            baseline.receive()
    return _per_additional_job(memory, size)


def _per_additional_job(memory: dict[int, float], size: Size) -> float:
    return (memory[size.many] - memory[size.few]) / (size.many - size.few)


def _memory_while_running(stack: Stack, number: int, body: dict[str, Any], samples: int) -> float:
    with stack.client() as client:
        job_ids = [client.post("/api/v1/jobs", json=body).json()["id"] for _ in range(number)]

        def statuses() -> set[str]:
            return {client.get(f"/api/v1/jobs/{job_id}").json()["status"] for job_id in job_ids}

        wait_until(lambda: statuses() == {"PENDING"})
        memory = _median_mb(lambda: stack.memory_bytes("worker"), samples)
        if statuses() != {"PENDING"}:
            raise RuntimeError("the jobs ended before their memory was read")
        wait_until(lambda: statuses() == {"COMPLETED"})
    return memory


def _median_mb(read_bytes: Callable[[], int], samples: int) -> float:
    readings = []
    for _ in range(samples):
        readings.append(read_bytes() / BYTES_PER_MB)
        time.sleep(SAMPLE_INTERVAL_S)
    return statistics.median(readings)
