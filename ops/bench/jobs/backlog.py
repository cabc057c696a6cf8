"""The benchmark ``backlog``: the effect of a long queue on submissions and status requests, and Redis memory."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from ops.bench.report import Row
from ops.bench.tools.http_load import JOB_BODY, request_bytes, run_at_rate
from ops.testbed.stack import KEY, Stack, run_stack
from ops.testbed.statistics import percentile
from schemas.accounts.caller import OWNER
from schemas.jobs.job import JobRequest

CALLERS = 20
CONNECTIONS = 16
RATE = 100.0
QUEUED_JOB = JobRequest("studio", "a lighthouse at dusk, oil painting", inputs={"seed": 7, "width": 512, "height": 512})
MAX_RATIO = 1.3
MAX_BYTES_PER_JOB = 3000.0


@dataclass(frozen=True, slots=True)
class Size:
    """The lengths of the queue (the first is 0), requests per round, and rounds; the best round counts."""

    backlogs: tuple[int, ...]
    requests: int
    rounds: int


FULL = Size(backlogs=(0, 10_000, 100_000), requests=1500, rounds=3)
SMOKE = Size(backlogs=(0, 50), requests=20, rounds=1)


def measure(size: Size) -> Iterator[Row]:
    """Put the same load on an empty queue and on longer ones; the target holds for the longest."""
    longest = size.backlogs[-1]
    with run_stack("web", "clock") as stack:
        queued, empty_memory = 0, _memory_bytes(stack)
        p99s: dict[int, dict[str, float]] = {}
        for backlog in size.backlogs:
            _fill_queue(stack, backlog - queued)
            queued = backlog
            if backlog == longest:
                bytes_per_job = (_memory_bytes(stack) - empty_memory) / backlog
            p99s[backlog] = _measure_p99s(stack, size)
    for operation in ("submit", "status"):
        for backlog in size.backlogs[1:]:
            max_ratio = MAX_RATIO if backlog == longest else None
            yield Row(
                f"{operation} p99, {backlog:,} queued",
                p99s[backlog][operation],
                "ms",
                p99s[0][operation],
                max_value=max_ratio,
                judge_ratio=max_ratio is not None,
            )
    yield Row("Redis memory of a queued job", bytes_per_job, "bytes", max_value=MAX_BYTES_PER_JOB)


def _fill_queue(stack: Stack, jobs: int) -> None:
    for number in range(jobs):
        stack.stores.jobs.create(secrets.token_hex(16), f"caller-{number % CALLERS}", QUEUED_JOB, "bench")
        stack.stores.wakeups.publish()


def _memory_bytes(stack: Stack) -> int:
    return int(stack.redis.info("memory")["used_memory"])


def _measure_p99s(stack: Stack, size: Size) -> dict[str, float]:
    """Measure submissions, which are cancelled after each round, and then the status of one queued job."""
    url = stack.settings.public_url
    submit = request_bytes(f"{url}/api/v1/jobs", method="POST", key=KEY, body=JOB_BODY)
    submits = []
    for _ in range(size.rounds):
        submits.append(_run_round(stack, submit, 202, size.requests))
        stack.stores.jobs.cancel_all(OWNER)
    job_id = secrets.token_hex(16)
    stack.stores.jobs.create(job_id, OWNER, QUEUED_JOB, "bench")
    status = request_bytes(f"{url}/status/{job_id}", key=KEY)
    statuses = [_run_round(stack, status, 200, size.requests) for _ in range(size.rounds)]
    stack.stores.jobs.cancel(job_id)
    return {"submit": min(submits), "status": min(statuses)}


def _run_round(stack: Stack, request: bytes, expected_status: int, requests: int) -> float:
    """Return the p99 latency in milliseconds of a steady load."""
    url = stack.settings.public_url
    result = run_at_rate(url, lambda _: request, connections=CONNECTIONS, requests=requests, per_second=RATE)
    if set(result.statuses) != {expected_status}:
        raise RuntimeError(f"not every response was {expected_status}: {result.statuses}")
    return percentile(result.latencies_s, 99) * 1000
