"""The bench ``status``: how often a second a job's status can be asked for."""

from collections.abc import Iterator

from ops.bench.report import Row
from ops.bench.tools.http_load import request_bytes, run_at_full_speed
from ops.testbed.stack import KEY, run_stack
from ops.testbed.statistics import percentile

CONNECTIONS = 32
REQUESTS = 8000
ROUNDS = 3


def measure() -> Iterator[Row]:
    """Rounds of the empty route and of ours take turns; the best of each counts."""
    with run_stack("empty") as empty, run_stack("web") as darkroom:
        with darkroom.client() as client:
            ident = client.post("/api/v1/jobs", json={"prompt": "a lighthouse at dusk"}).json()["id"]
        nothing = request_bytes(f"{empty.settings.public_url}/")
        status = request_bytes(f"{darkroom.settings.public_url}/status/{ident}", key=KEY)
        baseline, ours = [], []
        for _ in range(ROUNDS):
            baseline.append(
                run_at_full_speed(
                    empty.settings.public_url, lambda _: nothing, connections=CONNECTIONS, requests=REQUESTS
                )
            )
            ours.append(
                run_at_full_speed(
                    darkroom.settings.public_url, lambda _: status, connections=CONNECTIONS, requests=REQUESTS
                )
            )
        best = max(ours, key=lambda load: load.per_second)
        best_empty = max(baseline, key=lambda load: load.per_second)
        if set(best.statuses) != {200}:
            raise RuntimeError(f"not every answer was 200: {best.statuses}")
        yield Row("GET /status/ID", best.per_second, "a second", best_empty.per_second, min_value=0.5, judge_ratio=True)
        figures = [percentile(load.latencies_s, 99) * 1000 for load in (best, best_empty)]
        yield Row(f"p99 over {CONNECTIONS} connections", figures[0], "ms", figures[1])
