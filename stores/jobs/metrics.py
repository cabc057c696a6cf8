"""Job metrics kept by the Lua scripts: counts by state and site, and two histograms."""

from dataclasses import dataclass
from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from stores.redis.keys import ENDED_COUNTS, LEASES, OPEN_JOBS, STATE_COUNTS, histogram_key


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative observations by upper bound in seconds (``+Inf`` last), and the sum of all."""

    buckets: list[tuple[str, float]]
    sum: float


@dataclass(frozen=True, slots=True)
class JobMetrics:
    """Figures of one moment.

    ``open_jobs`` are counted by (site, state), ``ended_jobs`` by (site, state, error code). ``pickup`` observes the
    time from being claimable to the claim, ``run`` the time from the claim to the end.
    """

    open_jobs: dict[tuple[str, str], int]
    ended_jobs: dict[tuple[str, str, str], int]
    waiting: int
    running: int
    oldest_age_s: float
    pickup: Histogram
    run: Histogram


class JobMetricsReader:
    """The metrics in one Redis."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._redis = client
        self._clock = clock

    def read(self) -> JobMetrics:
        """Return the present figures, in one round trip."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(STATE_COUNTS)
            pipe.hgetall(ENDED_COUNTS)
            pipe.zcard(OPEN_JOBS)
            pipe.zcard(LEASES)
            pipe.zrange(OPEN_JOBS, 0, 0, withscores=True)
            pipe.hgetall(histogram_key("pickup"))
            pipe.hgetall(histogram_key("run"))
            counts, ended, unfinished, running, oldest, pickup, run = pipe.execute()
        return JobMetrics(
            open_jobs={cast(tuple[str, str], _split(name)): int(count) for name, count in counts.items()},
            ended_jobs={cast(tuple[str, str, str], _split(name)): int(count) for name, count in ended.items()},
            waiting=unfinished - running,
            running=running,
            oldest_age_s=(self._clock.now_ms() - oldest[0][1]) / 1000 if oldest else 0.0,
            pickup=_decode_histogram(pickup),
            run=_decode_histogram(run),
        )


def _split(name: bytes) -> tuple[str, ...]:
    return tuple(name.decode().split("|"))


def _decode_histogram(record: dict[bytes, bytes]) -> Histogram:
    total = float(record.pop(b"sum", b"0"))
    overflow = int(record.pop(b"inf", b"0"))
    buckets: list[tuple[str, float]] = []
    cumulative = 0
    for bound, count in sorted(record.items(), key=lambda item: float(item[0])):
        cumulative += int(count)
        buckets.append((bound.decode(), cumulative))
    buckets.append(("+Inf", cumulative + overflow))
    return Histogram(buckets, total)
