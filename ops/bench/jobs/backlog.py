"""The bench ``backlog``: what a long queue costs those who submit and ask, and what a waiting job costs Redis."""

import secrets
from collections.abc import Iterator

from ops.bench.report import Row
from ops.bench.tools.http_load import SUBMISSION, LoadResult, request_bytes, run_at_rate
from ops.testbed.stack import KEY, Stack, run_stack
from ops.testbed.statistics import percentile
from schemas.accounts.caller import OWNER
from schemas.jobs.job import JobRequest

BACKLOGS = (0, 10_000, 100_000)
CALLERS = 20
CONNECTIONS = 16
RATE = 100.0
REQUESTS = 1500
ROUNDS = 3
WAITING_JOB = JobRequest(
    "studio", "a lighthouse at dusk, oil painting", inputs={"seed": 7, "width": 512, "height": 512}
)
MAX_RATIO = 1.3
MAX_BYTES_PER_JOB = 3000.0


def measure() -> Iterator[Row]:
    """The same load with nothing, ten thousand and a hundred thousand jobs waiting; the best of three rounds counts."""
    with run_stack("web", "clock") as darkroom:
        made, before = 0, _memory_bytes(darkroom)
        figures: dict[int, dict[str, float]] = {}
        for backlog in BACKLOGS:
            _fill(darkroom, backlog - made)
            made = backlog
            if backlog == BACKLOGS[-1]:
                per_job = (_memory_bytes(darkroom) - before) / backlog
            figures[backlog] = _p99s(darkroom)
    for what in ("submit", "status"):
        empty = figures[0][what]
        for backlog in BACKLOGS[1:]:
            most = MAX_RATIO if backlog == BACKLOGS[-1] else None
            name = f"{what} p99, {backlog:,} waiting"
            yield Row(name, figures[backlog][what], "ms", empty, max_value=most, judge_ratio=most is not None)
    yield Row("Redis memory of a waiting job", per_job, "bytes", max_value=MAX_BYTES_PER_JOB)


def _fill(darkroom: Stack, jobs: int) -> None:
    for number in range(max(0, jobs)):
        darkroom.stores.jobs.create(secrets.token_hex(16), f"caller-{number % CALLERS}", WAITING_JOB, "bench")
        darkroom.stores.wakeups.publish()


def _memory_bytes(darkroom: Stack) -> int:
    return int(darkroom.redis.info("memory")["used_memory"])


def _p99s(darkroom: Stack) -> dict[str, float]:
    url = darkroom.settings.public_url
    job_id = secrets.token_hex(16)
    darkroom.stores.jobs.create(job_id, "caller-0", WAITING_JOB, "bench")
    submit = request_bytes(f"{url}/api/v1/jobs", method="POST", key=KEY, body=SUBMISSION)
    status = request_bytes(f"{url}/status/{job_id}", key=KEY)
    found = {}
    for name, request, wanted in (("submit", submit, 202), ("status", status, 200)):
        rounds = [_round(darkroom, request) for _ in range(ROUNDS)]
        if any(set(load.statuses) != {wanted} for load in rounds):
            raise RuntimeError(f"{name}: {[load.statuses for load in rounds]}")
        found[name] = min(percentile(load.latencies_s, 99) for load in rounds) * 1000
    darkroom.stores.jobs.cancel(job_id)
    return found


def _round(darkroom: Stack, request: bytes) -> LoadResult:
    """A steady load, of which nothing stays in the queue."""
    url = darkroom.settings.public_url
    load = run_at_rate(url, lambda _: request, connections=CONNECTIONS, requests=REQUESTS, per_second=RATE)
    darkroom.stores.jobs.cancel_all(OWNER)
    return load
