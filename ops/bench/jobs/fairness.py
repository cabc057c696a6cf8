"""The bench ``fairness``: how long one job waits behind another caller's five hundred, and whether ETAs hold."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from ops.bench.report import Row
from ops.testbed.hostile_stack import SITE, run_hostile_stack
from ops.testbed.stack import Stack
from ops.testbed.statistics import percentile
from schemas.jobs.job import Job

CROWD_JOBS = 500
SINGLE_JOBS = 5
CONTEXTS = 8
DURATION_S = (0.2, 0.6)
ESTIMATE_EVERY = 10
POLL_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate: when it was given (Unix seconds), for which job, and what it said."""

    time_s: float
    job_id: str
    eta_s: float


def measure() -> Iterator[Row]:
    """One caller submits five hundred, another one at a time; the first one's last job is the wait without turns."""
    with run_hostile_stack("web", "worker", "clock", duration_s=DURATION_S, contexts=CONTEXTS) as darkroom:
        keys = {name: darkroom.stores.api_keys.create(name) for name in ("many", "single")}
        with darkroom.client(keys["many"]) as many, darkroom.client(keys["single"]) as single:
            crowd = [_submit(many, number) for number in range(CROWD_JOBS)]
            _wait_for(darkroom, crowd[2 * CONTEXTS])
            asked = [_get_estimate(many, job_id) for job_id in crowd[4 * CONTEXTS :: ESTIMATE_EVERY]]
            alone = []
            for number in range(SINGLE_JOBS):
                alone.append(_submit(single, CROWD_JOBS + number))
                _wait_for(darkroom, alone[-1])
            jobs = [_wait_for(darkroom, job_id) for job_id in crowd]
            singles = [_wait_for(darkroom, job_id) for job_id in alone]
    yield from _wait_rows(jobs, singles)
    yield from _estimate_rows([one for one in asked if one], {job.id: job for job in jobs})


def _wait_rows(jobs: list[Job], singles: list[Job]) -> Iterator[Row]:
    mean_s = sum(_run_s(job) for job in jobs) / len(jobs)
    last_s = _wait_s(jobs[-1])
    waits = [_wait_s(job) for job in singles]
    yield Row("mean job time", mean_s, "s")
    yield Row("wait of a single job behind 500, p50", percentile(waits, 50), "s", last_s)
    yield Row(f"wait of a single job behind 500, max of {SINGLE_JOBS}", max(waits), "s", last_s, max_value=2 * mean_s)


def _estimate_rows(asked: list[Estimate], jobs: dict[str, Job]) -> Iterator[Row]:
    """How far the estimates were off, as a part of the time that it then took."""
    errors = []
    for one in asked:
        left_s = (jobs[one.job_id].finished_at or 0) / 1000 - one.time_s
        if left_s > 0:
            errors.append(abs(one.eta_s - left_s) / left_s * 100)
    yield Row("error of the ETA, p50", percentile(errors, 50), "%")
    yield Row("error of the ETA, p95", percentile(errors, 95), "%")


def _submit(client: httpx.Client, number: int) -> str:
    body = {"prompt": "a boat", "site": SITE, "inputs": {"seed": number}}
    return str(client.post("/api/v1/jobs", json=body).json()["id"])


def _get_estimate(client: httpx.Client, job_id: str) -> Estimate | None:
    eta_s = client.get(f"/api/v1/jobs/{job_id}").json()["etaSeconds"]
    return None if eta_s is None else Estimate(time.time(), job_id, eta_s)


def _wait_for(darkroom: Stack, job_id: str) -> Job:
    while not (job := darkroom.stores.jobs.get(job_id)).state.is_final:
        time.sleep(POLL_INTERVAL_S)
    return job


def _wait_s(job: Job) -> float:
    return ((job.started_at or 0) - job.start_time) / 1000


def _run_s(job: Job) -> float:
    return ((job.finished_at or 0) - (job.started_at or 0)) / 1000
