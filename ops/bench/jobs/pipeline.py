"""The benchmark ``pipeline``: the time from submission to COMPLETED, compared with a plain Playwright script."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from ops.bench.report import Row
from ops.bench.tools.baseline_process import run_baseline
from ops.testbed.stack import Stack, run_stack

MAX_RATIO = 1.2


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of concurrent jobs, steps of each job, and rounds, whose median counts."""

    concurrencies: tuple[int, ...]
    steps: int
    rounds: int


FULL = Size(concurrencies=(1, 2, 4, 8), steps=8, rounds=5)
SMOKE = Size(concurrencies=(1, 2), steps=2, rounds=1)


def measure(size: Size) -> Iterator[Row]:
    """Alternate rounds of the script and of Darkroom on the same page."""
    most = max(size.concurrencies)
    with (
        run_stack("web", "worker", "clock", WORKER_CONCURRENCY=str(most)) as stack,
        run_baseline("pipeline") as baseline,
    ):
        # One round of each to warm up.
        _run_jobs_s(stack, most, size.steps)
        baseline.send(most, size.steps)
        baseline.receive()
        for number in size.concurrencies:
            ours, script = [], []
            for _ in range(size.rounds):
                baseline.send(number, size.steps)
                script.append(baseline.receive()["seconds"])
                ours.append(_run_jobs_s(stack, number, size.steps))
            values = statistics.median(ours), "s", statistics.median(script)
            yield Row(f"{number} at once", *values, max_value=MAX_RATIO, judge_ratio=True)


def _run_jobs_s(stack: Stack, number: int, steps: int) -> float:
    """Return the seconds from the first of ``number`` submissions over HTTP to the last COMPLETED."""
    with stack.client() as client:
        started_at = time.perf_counter()
        bodies = [
            {"prompt": f"a lighthouse at dusk, number {index}", "inputs": {"steps": steps}} for index in range(number)
        ]
        jobs = [client.post("/api/v1/jobs", json=body).json() for body in bodies]
        for job in jobs:
            await_end(client, job)
        return time.perf_counter() - started_at


def await_end(client: httpx.Client, job: dict[str, Any]) -> None:
    """Wait until a job is completed; raises RuntimeError if it failed."""
    while job["status"] not in ("COMPLETED", "FAILED"):
        job = client.get(f"/api/v1/jobs/{job['id']}", params={"wait": 30, "since": job["seq"]}).json()
    if job["status"] == "FAILED":
        raise RuntimeError(job["error"]["message"])
