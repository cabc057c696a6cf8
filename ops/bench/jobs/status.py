"""The benchmark ``status``: status requests per second, compared with an empty Flask route, and with Express."""

from collections.abc import Iterator
from dataclasses import dataclass

from ops.bench.baselines.express_server import JOB_ID, run_express
from ops.bench.report import Row
from ops.bench.tools.http_load import LoadResult, request_bytes, run_at_full_speed
from ops.testbed.stack import KEY, run_stack
from ops.testbed.statistics import percentile

CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Size:
    """Requests per round, and rounds; the best round counts."""

    requests: int
    rounds: int


FULL = Size(requests=8000, rounds=3)
SMOKE = Size(requests=50, rounds=1)


def measure(size: Size) -> Iterator[Row]:
    """Alternate rounds of the empty route, of the status route, and of a status route in Express."""
    with run_stack("empty") as empty, run_stack("web") as stack, run_express(KEY) as express_url:
        with stack.client() as client:
            job_id = client.post("/api/v1/jobs", json={"prompt": "a lighthouse at dusk"}).json()["id"]
        url, empty_url = stack.settings.public_url, empty.settings.public_url
        targets = {
            "empty": (empty_url, request_bytes(f"{empty_url}/")),
            "ours": (url, request_bytes(f"{url}/status/{job_id}", key=KEY)),
        }
        if express_url:
            targets["express"] = express_url, request_bytes(f"{express_url}/status/{JOB_ID}", key=KEY)
        rounds: dict[str, list[LoadResult]] = {name: [] for name in targets}
        for _ in range(size.rounds):
            for name, (target, request) in targets.items():
                rounds[name].append(_load(target, request, size.requests))
    best = {name: max(results, key=lambda result: result.per_second) for name, results in rounds.items()}
    for result in best.values():
        if set(result.statuses) != {200}:
            raise RuntimeError(f"not every response was 200: {result.statuses}")
    for name, label in (("empty", "an empty route"), ("express", "Express, in memory")):
        if name in best:
            values = best["ours"].per_second, "per s", best[name].per_second
            yield Row(f"GET /status/ID, beside {label}", *values, min_value=1.0, judge_ratio=True)
    p99s_ms = [percentile(best[name].latencies_s, 99) * 1000 for name in ("ours", "empty")]
    yield Row(f"p99 over {CONNECTIONS} connections", p99s_ms[0], "ms", p99s_ms[1])


def _load(url: str, request: bytes, requests: int) -> LoadResult:
    return run_at_full_speed(url, lambda _: request, connections=CONNECTIONS, requests=requests)
