"""The benchmark ``neighbours``: a harmless job beside each kind of hostile page, compared with the same job alone."""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ops.bench.report import Row
from ops.testbed.flooding_site import CALM, KINDS, run_flooding_site, write_recipes
from ops.testbed.stack import Stack, run_stack, wait_until

ROLES = ("web", "worker", "clock")
SLOTS = 3
# The floods begin when the prompt is submitted, and take a moment to build up.
BUILD_UP_S = 1.0
JOB_TIMEOUT_S = 60.0
FINAL = ("COMPLETED", "FAILED")


@dataclass(frozen=True, slots=True)
class Size:
    """The kinds of hostile pages, and the number of jobs next to each; their median counts."""

    kinds: tuple[str, ...]
    jobs: int


FULL = Size(kinds=KINDS, jobs=3)
SMOKE = Size(kinds=("console",), jobs=1)


def measure(size: Size) -> Iterator[Row]:
    """Submit a hostile job, run harmless ones beside it, end it, and run a last one."""
    with run_flooding_site() as url, tempfile.TemporaryDirectory() as folder:
        write_recipes(Path(folder), url)
        for kind in size.kinds:
            # A new worker for each kind: effects of one flood must not be measured with the next.
            with run_stack(*ROLES, RECIPES_DIR=folder, WORKER_CONCURRENCY=str(SLOTS)) as stack:
                _run_calm_job(stack)
                alone = statistics.median(_run_calm_job(stack) for _ in range(size.jobs))
                hostile_id = _submit(stack, kind)
                _wait_until_started(stack, hostile_id)
                beside = statistics.median(_run_calm_job(stack) for _ in range(size.jobs))
                ended = _status(stack, hostile_id) in FINAL
                if not ended:
                    with stack.client() as client:
                        client.delete(f"/api/v1/jobs/{hostile_id}")
                after = _run_calm_job(stack)
            print(f"{kind}: {'ended by the worker' if ended else 'cancelled'}")
            yield Row(f"{kind}: job beside it", beside, "s", alone, max_value=1.5, judge_ratio=True)
            yield Row(f"{kind}: until the worker serves again", max(0.0, after - alone), "s", max_value=5.0)


def _wait_until_started(stack: Stack, job_id: str) -> None:
    wait_until(lambda: _status(stack, job_id) not in ("QUEUED", "STARTING"), JOB_TIMEOUT_S)
    time.sleep(BUILD_UP_S)


def _run_calm_job(stack: Stack) -> float:
    """Return the seconds from submitting a harmless job until it is completed in its first attempt.

    A job that fails, is repeated or does not end counts as ``JOB_TIMEOUT_S``.
    """
    started_at = time.perf_counter()
    job_id = _submit(stack, CALM)
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: _status(stack, job_id) in FINAL, JOB_TIMEOUT_S)
    job = _job(stack, job_id)
    if job["status"] == "COMPLETED" and job["attempt"] == 1:
        return time.perf_counter() - started_at
    print(f"a harmless job is {job['status']} in attempt {job['attempt']}: {job['error']}")
    with stack.client() as client:
        client.delete(f"/api/v1/jobs/{job_id}")
    return JOB_TIMEOUT_S


def _submit(stack: Stack, site: str) -> str:
    with stack.client() as client:
        return str(client.post("/api/v1/jobs", json={"prompt": "a boat", "site": site}).json()["id"])


def _status(stack: Stack, job_id: str) -> str:
    return str(_job(stack, job_id)["status"])


def _job(stack: Stack, job_id: str) -> dict[str, object]:
    with stack.client() as client:
        job: dict[str, object] = client.get(f"/api/v1/jobs/{job_id}").json()
        return job
