"""The benchmark ``fairness``: how long one job waits behind another caller's many, and how accurate estimates are."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from ops.bench.report import Row
from ops.testbed.hostile_stack import SITE, run_hostile_stack
from ops.testbed.stack import Stack
from ops.testbed.statistics import percentile
from schemas.jobs.job import Job

CONTEXTS = 8
DURATION_S = (0.2, 0.6)
POLL_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Size:
    """Jobs of the first caller, jobs of the second one, and the step between jobs whose estimate is recorded."""

    crowd_jobs: int
    single_jobs: int
    estimate_every: int


FULL = Size(crowd_jobs=500, single_jobs=5, estimate_every=10)
SMOKE = Size(crowd_jobs=40, single_jobs=1, estimate_every=1)


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated waiting time, and when it was given (Unix seconds, by the clock of Redis)."""

    time_s: float
    job_id: str
    eta_s: float


def measure(size: Size) -> Iterator[Row]:
    """One caller submits many jobs, another one at a time; the wait of the first caller's last job is the baseline."""
    with run_hostile_stack("web", "worker", "clock", duration_s=DURATION_S, contexts=CONTEXTS) as stack:
        keys = {name: stack.stores.api_keys.create(name) for name in ("many", "single")}
        with stack.client(keys["many"]) as many, stack.client(keys["single"]) as single:
            crowd_ids = [_submit(many, number) for number in range(size.crowd_jobs)]
            # Estimates need the mean run time of a few finished jobs.
            _wait_for(stack, crowd_ids[2 * CONTEXTS])
            estimates = [
                _get_estimate(stack, many, job_id) for job_id in crowd_ids[4 * CONTEXTS :: size.estimate_every]
            ]
            single_ids = []
            for number in range(size.single_jobs):
                single_ids.append(_submit(single, size.crowd_jobs + number))
                _wait_for(stack, single_ids[-1])
            crowd = [_wait_for(stack, job_id) for job_id in crowd_ids]
            singles = [_wait_for(stack, job_id) for job_id in single_ids]
    yield from _wait_rows(crowd, singles)
    yield from _estimate_rows([estimate for estimate in estimates if estimate], {job.id: job for job in crowd})


def _wait_rows(crowd: list[Job], singles: list[Job]) -> Iterator[Row]:
    mean_s = sum(_run_s(job) for job in crowd) / len(crowd)
    last_s = _wait_s(crowd[-1])
    waits_s = [_wait_s(job) for job in singles]
    name = f"wait of a single job behind {len(crowd)}"
    yield Row("mean run time", mean_s, "s")
    yield Row(f"{name}, p50", percentile(waits_s, 50), "s", last_s)
    yield Row(f"{name}, max of {len(singles)}", max(waits_s), "s", last_s, max_value=2 * mean_s)


def _estimate_rows(estimates: list[Estimate], jobs: dict[str, Job]) -> Iterator[Row]:
    """Yield the errors of the estimates, relative to the actual time."""
    errors = []
    for estimate in estimates:
        actual_s = (jobs[estimate.job_id].finished_at or 0) / 1000 - estimate.time_s
        if actual_s > 0:
            errors.append(abs(estimate.eta_s - actual_s) / actual_s * 100)
    for percent in (50, 95) if errors else ():
        yield Row(f"error of the ETA, p{percent}", percentile(errors, percent), "%")


def _submit(client: httpx.Client, number: int) -> str:
    body = {"prompt": "a boat", "site": SITE, "inputs": {"seed": number}}
    return str(client.post("/api/v1/jobs", json=body).json()["id"])


def _get_estimate(stack: Stack, client: httpx.Client, job_id: str) -> Estimate | None:
    eta_s = client.get(f"/api/v1/jobs/{job_id}").json()["etaSeconds"]
    return None if eta_s is None else Estimate(stack.stores.clock.now_ms() / 1000, job_id, eta_s)


def _wait_for(stack: Stack, job_id: str) -> Job:
    while not (job := stack.stores.jobs.get(job_id)).state.is_final:
        time.sleep(POLL_INTERVAL_S)
    return job


def _wait_s(job: Job) -> float:
    return ((job.started_at or 0) - job.start_time) / 1000


def _run_s(job: Job) -> float:
    return ((job.finished_at or 0) - (job.started_at or 0)) / 1000
