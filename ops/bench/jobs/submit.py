"""The bench ``submit``: accepted jobs a second, and how long one takes at fifty a second."""

from collections.abc import Iterator

from ops.bench.report import Row
from ops.bench.tools.http_load import SUBMISSION, Load, at_rate, flat_out, request_bytes
from ops.testbed.stack import KEY, Stack, stack
from ops.testbed.statistics import percentile

CONNECTIONS = 16
REQUESTS = 4000
ROUNDS = 3
RATE = 50.0
RATE_REQUESTS = 1000


def measure() -> Iterator[Row]:
    """Rounds of the empty route and of ours take turns; the best of each counts."""
    with stack("empty") as empty, stack("web") as darkroom:
        nothing = request_bytes(f"{empty.settings.public_url}/", method="POST", body=SUBMISSION)
        job = request_bytes(f"{darkroom.settings.public_url}/api/v1/jobs", method="POST", key=KEY, body=SUBMISSION)
        baseline, ours = [], []
        for _ in range(ROUNDS):
            baseline.append(_flat_out(empty, nothing).per_second)
            answered = _flat_out(darkroom, job)
            if set(answered.statuses) != {202}:
                raise RuntimeError(f"not every job was accepted: {answered.statuses}")
            ours.append(answered.per_second)
        yield Row("POST /api/v1/jobs", max(ours), "a second", max(baseline), least=0.35, judge_ratio=True)
        least, steady = _steady(empty, nothing), _steady(darkroom, job)
        for percent, most in ((50, None), (99, 30.0)):
            figures = percentile(steady, percent) * 1000, percentile(least, percent) * 1000
            yield Row(f"p{percent} at {RATE:g} a second", figures[0], "ms", figures[1], most=most)


def _flat_out(target: Stack, request: bytes) -> Load:
    return flat_out(target.settings.public_url, lambda _: request, connections=CONNECTIONS, requests=REQUESTS)


def _steady(target: Stack, request: bytes) -> list[float]:
    url = target.settings.public_url
    load = at_rate(url, lambda _: request, connections=CONNECTIONS, requests=RATE_REQUESTS, per_second=RATE)
    return load.latencies_s
