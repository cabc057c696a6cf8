"""The history of job metrics: a sample every SAMPLE_INTERVAL_S for RETENTION_S, taken by the clock process.

A sample holds the counters of ``stores.jobs.metrics`` as they were, so what happened between two samples is their
difference. A counter that is lower than before has been reset, for instance because Redis lost its data.
"""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from redis import Redis

from ops.infra.clock import Clock
from stores.jobs.metrics import Histogram, JobMetrics
from stores.redis.keys import METRICS_HISTORY

SAMPLE_INTERVAL_S = 30
RETENTION_S = 12 * 3600
# Open pages read it every few seconds.
CACHE_S = 30
OVERFLOW = "+Inf"
COMPLETED = "COMPLETED"


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """What happened in the interval that ends at ``at_ms``.

    ``waiting`` and ``running`` are the highest numbers sampled in it. ``failed`` counts by error code. ``pickup_s`` and
    ``run_s`` are the median and the 95th percentile, or None if no job was picked up or has ended.
    """

    at_ms: int
    waiting: int
    running: int
    completed: int
    failed: Mapping[str, int] = field(default_factory=dict)
    pickup_s: tuple[float, float] | None = None
    run_s: tuple[float, float] | None = None


class MetricsHistory:
    """The history in one Redis."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._redis = client
        self._clock = clock
        self._cached: dict[tuple[int, int], tuple[int, list[HistoryPoint]]] = {}

    def record(self, metrics: JobMetrics) -> bool:
        """Store a sample unless the present interval has one already; return whether it was stored."""
        now_ms = self._clock.now_ms()
        slot = now_ms // 1000 // SAMPLE_INTERVAL_S
        # Only one clock stores a sample, whichever comes first.
        if not self._redis.hsetnx(METRICS_HISTORY, str(slot), _encode(now_ms, metrics)):
            return False
        oldest = slot - RETENTION_S // SAMPLE_INTERVAL_S
        slots = cast(list[bytes], self._redis.hkeys(METRICS_HISTORY))
        if expired := [each for each in slots if int(each) < oldest]:
            self._redis.hdel(METRICS_HISTORY, *expired)
        return True

    def read(self, span_s: int = RETENTION_S, max_points: int = 120) -> list[HistoryPoint]:
        """Return the last ``span_s`` as at most ``max_points`` intervals, the oldest first; up to CACHE_S old."""
        now_ms = self._clock.now_ms()
        read_at, points = self._cached.get((span_s, max_points), (0, []))
        if not 0 <= now_ms - read_at < CACHE_S * 1000:
            points = self._read(now_ms - span_s * 1000, span_s, max_points)
            self._cached[span_s, max_points] = now_ms, points
        return points

    def _read(self, after_ms: int, span_s: int, max_points: int) -> list[HistoryPoint]:
        samples = self._read_samples(after_ms // 1000 // SAMPLE_INTERVAL_S)
        recent = [sample for sample in samples if sample["at"] > after_ms]
        before = [sample for sample in samples if sample["at"] <= after_ms]
        width_ms = max(span_s * 1000 // max_points, SAMPLE_INTERVAL_S * 1000)
        groups: dict[int, list[dict[str, Any]]] = {}
        for sample in recent:
            groups.setdefault((sample["at"] - after_ms - 1) // width_ms, []).append(sample)
        # The first sample of all has nothing to be compared with but itself.
        ends = [*(before[-1:] or recent[:1]), *(group[-1] for group in groups.values())]
        return [_compare(earlier, group) for earlier, group in zip(ends, groups.values(), strict=False)]

    def _read_samples(self, first_slot: int) -> list[dict[str, Any]]:
        """Return the samples since a slot and the one before it, in order: a large history is not read for a part."""
        slots = sorted(map(int, cast(list[bytes], self._redis.hkeys(METRICS_HISTORY))))
        wanted = slots[max(bisect_left(slots, first_slot) - 1, 0) :]
        if not wanted:
            return []
        rows = cast(list[bytes | None], self._redis.hmget(METRICS_HISTORY, list(map(str, wanted))))
        samples: list[dict[str, Any]] = [json.loads(row) for row in rows if row is not None]
        return sorted(samples, key=lambda sample: int(sample["at"]))


def _encode(now_ms: int, metrics: JobMetrics) -> str:
    completed, failed = 0, dict[str, int]()
    for (_, state, code), count in metrics.ended_jobs.items():
        if state == COMPLETED:
            completed += count
        else:
            failed[code] = failed.get(code, 0) + count
    sample = {
        "at": now_ms,
        "waiting": metrics.waiting,
        "running": metrics.running,
        "completed": completed,
        "failed": failed,
        "pickup": dict(metrics.pickup.buckets),
        "run": dict(metrics.run.buckets),
    }
    return json.dumps(sample, separators=(",", ":"))


def _compare(earlier: Mapping[str, Any], group: Sequence[Mapping[str, Any]]) -> HistoryPoint:
    later = group[-1]
    failed = {code: _growth(earlier["failed"].get(code, 0), count) for code, count in later["failed"].items()}
    return HistoryPoint(
        at_ms=later["at"],
        waiting=max(sample["waiting"] for sample in group),
        running=max(sample["running"] for sample in group),
        completed=_growth(earlier["completed"], later["completed"]),
        failed={code: count for code, count in failed.items() if count},
        pickup_s=_quantiles(earlier["pickup"], later["pickup"]),
        run_s=_quantiles(earlier["run"], later["run"]),
    )


def _growth(before: float, now: float) -> int:
    return int(now - before if now >= before else now)


def _quantiles(before: Mapping[str, float], now: Mapping[str, float]) -> tuple[float, float] | None:
    is_reset = before.get(OVERFLOW, 0) > now.get(OVERFLOW, 0)
    cumulative = [(bound, count - (0 if is_reset else _at(before, bound))) for bound, count in now.items()]
    histogram = Histogram(cumulative, 0.0)
    if not cumulative or not cumulative[-1][1]:
        return None
    return quantile(histogram, 0.5), quantile(histogram, 0.95)


def _at(buckets: Mapping[str, float], bound: str) -> float:
    """Return how many observations were at most ``bound``; Redis holds only buckets that have had an observation."""
    lower = [count for other, count in buckets.items() if float(other) <= float(bound)]
    return max(lower, default=0)


def quantile(histogram: Histogram, share: float) -> float:
    """Estimate a quantile in seconds, linear within a bucket; observations above the last bound count as this bound."""
    wanted = share * histogram.buckets[-1][1]
    lower_bound, lower_count = 0.0, 0.0
    for bound, count in histogram.buckets:
        if bound == OVERFLOW:
            break
        if count >= wanted:
            part = (wanted - lower_count) / (count - lower_count) if count > lower_count else 1.0
            return lower_bound + part * (float(bound) - lower_bound)
        lower_bound, lower_count = float(bound), count
    return lower_bound
