"""The bench ``fairness``: how long one job waits behind another caller's five hundred, and whether ETAs hold."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from ops.bench.report import Row
from ops.testbed.hostile_stack import SITE, on_site
from ops.testbed.stack import Stack
from ops.testbed.statistics import percentile
from schemas.jobs.job import Job

MANY = 500
SINGLES = 5
CONTEXTS = 8
TAKES_S = (0.2, 0.6)
ASKED_EACH = 10
PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """An estimate: when it was given (Unix seconds), for which job, and what it said."""

    at: float
    job_id: str
    eta_s: float


def measure() -> Iterator[Row]:
    """One caller submits five hundred, another one at a time; the first one's last job is the wait without turns."""
    with on_site("web", "worker", "clock", takes_s=TAKES_S, contexts=CONTEXTS) as darkroom:
        keys = {name: darkroom.stores.keys.create(name) for name in ("many", "single")}
        with darkroom.client(keys["many"]) as many, darkroom.client(keys["single"]) as single:
            crowd = [_submit(many, number) for number in range(MANY)]
            _wait_for(darkroom, crowd[2 * CONTEXTS])
            asked = [_ask(many, job_id) for job_id in crowd[4 * CONTEXTS :: ASKED_EACH]]
            alone = []
            for number in range(SINGLES):
                alone.append(_submit(single, MANY + number))
                _wait_for(darkroom, alone[-1])
            jobs = [_wait_for(darkroom, job_id) for job_id in crowd]
            singles = [_wait_for(darkroom, job_id) for job_id in alone]
    yield from _waits(jobs, singles)
    yield from _estimates([one for one in asked if one], {job.id: job for job in jobs})


def _waits(jobs: list[Job], singles: list[Job]) -> Iterator[Row]:
    mean_s = sum(_run_s(job) for job in jobs) / len(jobs)
    last_s = _wait_s(jobs[-1])
    waits = [_wait_s(job) for job in singles]
    yield Row("mean job time", mean_s, "s")
    yield Row("wait of a single job behind 500, p50", percentile(waits, 50), "s", last_s)
    yield Row(f"wait of a single job behind 500, max of {SINGLES}", max(waits), "s", last_s, most=2 * mean_s)


def _estimates(asked: list[Asked], jobs: dict[str, Job]) -> Iterator[Row]:
    """How far the estimates were off, as a part of the time that it then took."""
    errors = []
    for one in asked:
        left_s = (jobs[one.job_id].finished_at or 0) / 1000 - one.at
        if left_s > 0:
            errors.append(abs(one.eta_s - left_s) / left_s * 100)
    yield Row("error of the ETA, p50", percentile(errors, 50), "%")
    yield Row("error of the ETA, p95", percentile(errors, 95), "%")


def _submit(client: httpx.Client, number: int) -> str:
    body = {"prompt": "a boat", "site": SITE, "inputs": {"seed": number}}
    return str(client.post("/api/v1/jobs", json=body).json()["id"])


def _ask(client: httpx.Client, job_id: str) -> Asked | None:
    eta_s = client.get(f"/api/v1/jobs/{job_id}").json()["etaSeconds"]
    return None if eta_s is None else Asked(time.time(), job_id, eta_s)


def _wait_for(darkroom: Stack, job_id: str) -> Job:
    while not (job := darkroom.stores.jobs.get(job_id)).state.final:
        time.sleep(PAUSE_S)
    return job


def _wait_s(job: Job) -> float:
    return ((job.started_at or 0) - job.start_time) / 1000


def _run_s(job: Job) -> float:
    return ((job.finished_at or 0) - (job.started_at or 0)) / 1000
