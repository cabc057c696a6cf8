"""The benchmark ``status``: status requests per second, compared with an empty Flask route."""

from collections.abc import Iterator
from dataclasses import dataclass

from ops.bench.report import Row
from ops.bench.tools.http_load import request_bytes, run_at_full_speed
from ops.testbed.stack import KEY, run_stack
from ops.testbed.statistics import percentile

CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Size:
    """Requests per round, and rounds, of which the best counts."""

    requests: int
    rounds: int


FULL = Size(requests=8000, rounds=3)
SMOKE = Size(requests=50, rounds=1)


def measure(size: Size) -> Iterator[Row]:
    """Alternate rounds of the empty route and of the status route."""
    with run_stack("empty") as empty, run_stack("web") as stack:
        with stack.client() as client:
            job_id = client.post("/api/v1/jobs", json={"prompt": "a lighthouse at dusk"}).json()["id"]
        empty_url, url = empty.settings.public_url, stack.settings.public_url
        empty_request = request_bytes(f"{empty_url}/")
        status_request = request_bytes(f"{url}/status/{job_id}", key=KEY)
        load = {"connections": CONNECTIONS, "requests": size.requests}
        baseline, ours = [], []
        for _ in range(size.rounds):
            baseline.append(run_at_full_speed(empty_url, lambda _: empty_request, **load))
            ours.append(run_at_full_speed(url, lambda _: status_request, **load))
    best = max(ours, key=lambda result: result.per_second)
    best_empty = max(baseline, key=lambda result: result.per_second)
    if set(best.statuses) != {200}:
        raise RuntimeError(f"not every response was 200: {best.statuses}")
    yield Row("GET /status/ID", best.per_second, "per s", best_empty.per_second, min_value=0.5, judge_ratio=True)
    p99s_ms = [percentile(result.latencies_s, 99) * 1000 for result in (best, best_empty)]
    yield Row(f"p99 over {CONNECTIONS} connections", p99s_ms[0], "ms", p99s_ms[1])
