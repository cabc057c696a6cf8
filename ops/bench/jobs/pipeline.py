"""The bench ``pipeline``: from submission to COMPLETED, against a plain script that drives the same page."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx

from ops.bench.report import Row
from ops.bench.tools.baseline_process import run_baseline
from ops.testbed.stack import Stack, run_stack

CONCURRENCIES = (1, 2, 4, 8)
STEPS = 8
ROUNDS = 5


def measure() -> Iterator[Row]:
    """Rounds of the script and of ours take turns; medians count."""
    with (
        run_stack("web", "worker", "clock", WORKER_CONCURRENCY=str(max(CONCURRENCIES))) as darkroom,
        run_baseline("pipeline") as plain,
    ):
        _seconds(darkroom, max(CONCURRENCIES))
        plain.send(max(CONCURRENCIES), STEPS)
        plain.receive()
        for number in CONCURRENCIES:
            ours, baseline = [], []
            for _ in range(ROUNDS):
                plain.send(number, STEPS)
                baseline.append(plain.receive()["seconds"])
                ours.append(_seconds(darkroom, number))
            figures = statistics.median(ours), statistics.median(baseline)
            yield Row(f"{number} at once", figures[0], "s", figures[1], max_value=1.2, judge_ratio=True)


def _seconds(darkroom: Stack, number: int) -> float:
    """Seconds from the first of ``number`` submissions over HTTP to the last COMPLETED."""
    with darkroom.client() as client:
        began = time.perf_counter()
        jobs = [client.post("/api/v1/jobs", json=_body(index)).json() for index in range(number)]
        for job in jobs:
            await_end(client, job)
        return time.perf_counter() - began


def await_end(client: httpx.Client, job: dict[str, Any]) -> None:
    """Wait for a job's end; raises RuntimeError if it failed."""
    while job["status"] not in ("COMPLETED", "FAILED"):
        job = client.get(f"/api/v1/jobs/{job['id']}", params={"wait": 30, "since": job["seq"]}).json()
    if job["status"] == "FAILED":
        raise RuntimeError(job["error"]["message"])


def _body(number: int) -> dict[str, object]:
    return {"prompt": f"a lighthouse at dusk, number {number}", "inputs": {"steps": STEPS}}
