"""The benchmark ``submit``: accepted jobs per second, and latency at a steady rate."""

from collections.abc import Iterator
from dataclasses import dataclass

from ops.bench.report import Row
from ops.bench.tools.http_load import JOB_BODY, LoadResult, request_bytes, run_at_full_speed, run_at_rate
from ops.testbed.stack import KEY, Stack, run_stack
from ops.testbed.statistics import percentile

CONNECTIONS = 16
RATE = 50.0


@dataclass(frozen=True, slots=True)
class Size:
    """Requests per round at full speed, rounds (of which the best counts), and requests at the steady rate."""

    requests: int
    rounds: int
    rate_requests: int


FULL = Size(requests=4000, rounds=3, rate_requests=1000)
SMOKE = Size(requests=50, rounds=1, rate_requests=20)


def measure(size: Size) -> Iterator[Row]:
    """Alternate rounds of the empty route and of submissions, then measure both at the steady rate."""
    with run_stack("empty") as empty, run_stack("web") as stack:
        empty_request = request_bytes(f"{empty.settings.public_url}/", method="POST", body=JOB_BODY)
        job_request = request_bytes(f"{stack.settings.public_url}/api/v1/jobs", method="POST", key=KEY, body=JOB_BODY)
        baseline, ours = [], []
        for _ in range(size.rounds):
            baseline.append(_max_load(empty, empty_request, size.requests).per_second)
            result = _max_load(stack, job_request, size.requests)
            if set(result.statuses) != {202}:
                raise RuntimeError(f"not every job was accepted: {result.statuses}")
            ours.append(result.per_second)
        yield Row("POST /api/v1/jobs", max(ours), "per s", max(baseline), min_value=0.45, judge_ratio=True)
        empty_latencies_s = _steady_latencies(empty, empty_request, size.rate_requests)
        latencies_s = _steady_latencies(stack, job_request, size.rate_requests)
    for percent, max_ms in ((50, None), (99, 30.0)):
        values = percentile(latencies_s, percent) * 1000, "ms", percentile(empty_latencies_s, percent) * 1000
        yield Row(f"p{percent} at {RATE:g} per s", *values, max_value=max_ms)


def _max_load(stack: Stack, request: bytes, requests: int) -> LoadResult:
    return run_at_full_speed(stack.settings.public_url, lambda _: request, connections=CONNECTIONS, requests=requests)


def _steady_latencies(stack: Stack, request: bytes, requests: int) -> list[float]:
    url = stack.settings.public_url
    result = run_at_rate(url, lambda _: request, connections=CONNECTIONS, requests=requests, per_second=RATE)
    return result.latencies_s
