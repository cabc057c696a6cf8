"""The bench ``submit``: accepted jobs a second, and how long one takes at fifty a second."""

from collections.abc import Iterator

from ops.bench.report import Row
from ops.bench.tools.http_load import SUBMISSION, LoadResult, request_bytes, run_at_full_speed, run_at_rate
from ops.testbed.stack import KEY, Stack, run_stack
from ops.testbed.statistics import percentile

CONNECTIONS = 16
REQUESTS = 4000
ROUNDS = 3
RATE = 50.0
RATE_REQUESTS = 1000


def measure() -> Iterator[Row]:
    """Rounds of the empty route and of ours take turns; the best of each counts."""
    with run_stack("empty") as empty, run_stack("web") as darkroom:
        nothing = request_bytes(f"{empty.settings.public_url}/", method="POST", body=SUBMISSION)
        job = request_bytes(f"{darkroom.settings.public_url}/api/v1/jobs", method="POST", key=KEY, body=SUBMISSION)
        baseline, ours = [], []
        for _ in range(ROUNDS):
            baseline.append(_max_load(empty, nothing).per_second)
            answered = _max_load(darkroom, job)
            if set(answered.statuses) != {202}:
                raise RuntimeError(f"not every job was accepted: {answered.statuses}")
            ours.append(answered.per_second)
        yield Row("POST /api/v1/jobs", max(ours), "a second", max(baseline), min_value=0.35, judge_ratio=True)
        least, steady = _steady_latencies(empty, nothing), _steady_latencies(darkroom, job)
        for percent, most in ((50, None), (99, 30.0)):
            figures = percentile(steady, percent) * 1000, percentile(least, percent) * 1000
            yield Row(f"p{percent} at {RATE:g} a second", figures[0], "ms", figures[1], max_value=most)


def _max_load(target: Stack, request: bytes) -> LoadResult:
    return run_at_full_speed(target.settings.public_url, lambda _: request, connections=CONNECTIONS, requests=REQUESTS)


def _steady_latencies(target: Stack, request: bytes) -> list[float]:
    url = target.settings.public_url
    load = run_at_rate(url, lambda _: request, connections=CONNECTIONS, requests=RATE_REQUESTS, per_second=RATE)
    return load.latencies_s
