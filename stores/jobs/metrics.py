"""The counters that the scripts keep in Redis: jobs by state and site, and two histograms."""

from dataclasses import dataclass
from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from stores.redis.scripts import redis_errors


@dataclass(frozen=True, slots=True)
class Histogram:
    """Observations by upper bound in seconds (``+Inf`` last), cumulative, and the sum of all."""

    buckets: list[tuple[str, float]]
    sum: float


@dataclass(frozen=True, slots=True)
class JobMetrics:
    """What is going on: open jobs by (site, state), ended jobs by (site, state, code), depth, age, histograms."""

    open_jobs: dict[tuple[str, str], int]
    ended_jobs: dict[tuple[str, str, str], int]
    waiting: int
    running: int
    oldest_age_s: float
    pickup: Histogram
    run: Histogram


def read_job_metrics(client: Redis, clock: Clock) -> JobMetrics:
    """The figures of this moment, in one round trip."""
    with redis_errors(), client.pipeline(transaction=False) as pipe:
        pipe.hgetall("dr:counts")
        pipe.hgetall("dr:ended")
        pipe.zcard("dr:open")
        pipe.zcard("dr:leases")
        pipe.zrange("dr:open", 0, 0, withscores=True)
        pipe.hgetall("dr:histogram:pickup")
        pipe.hgetall("dr:histogram:run")
        counts, ended, unfinished, running, oldest, pickup, run = pipe.execute()
    return JobMetrics(
        open_jobs={cast(tuple[str, str], _split(name)): int(number) for name, number in counts.items()},
        ended_jobs={cast(tuple[str, str, str], _split(name)): int(number) for name, number in ended.items()},
        waiting=unfinished - running,
        running=running,
        oldest_age_s=(clock.now_ms() - oldest[0][1]) / 1000 if oldest else 0.0,
        pickup=_histogram(pickup),
        run=_histogram(run),
    )


def _split(name: bytes) -> tuple[str, ...]:
    return tuple(name.decode().split("|"))


def _histogram(record: dict[bytes, bytes]) -> Histogram:
    total = float(record.pop(b"sum", b"0"))
    rest = int(record.pop(b"inf", b"0"))
    buckets: list[tuple[str, float]] = []
    reached = 0
    for bound, number in sorted(record.items(), key=lambda item: float(item[0])):
        reached += int(number)
        buckets.append((bound.decode(), reached))
    buckets.append(("+Inf", reached + rest))
    return Histogram(buckets, total)
