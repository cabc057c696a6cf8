"""The benchmark ``calls``: the time that one call takes in Redis, by the number of callers who wait.

The baseline is a walk over these callers (``ops/bench/baselines/queue_walks.lua``), without the rest of the call.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ops.bench import baselines
from ops.bench.report import Row
from ops.testbed.stack import Stack, run_stack
from schemas.accounts.caller import CallerLimits
from schemas.errors import WorkerStopping
from schemas.jobs.job import Job, JobRequest

WALKS = (Path(baselines.__file__).parent / "queue_walks.lua").read_text()
JOB = JobRequest("studio", "a lighthouse at dusk, oil painting")
AT_THEIR_LIMIT, UNLIMITED = CallerLimits(concurrent=0), CallerLimits()
# Of one with 20,000 callers to one with a single caller.
MAX_RATIO = 2.0


@dataclass(frozen=True, slots=True)
class Size:
    """Numbers of waiting callers, ascending, and calls of each kind."""

    callers: tuple[int, ...]
    calls: int


FULL = Size(callers=(1, 1_000, 20_000), calls=300)
SMOKE = Size(callers=(1, 20), calls=5)


def measure(size: Size) -> Iterator[Row]:
    """Let ever more callers wait and make the same calls; every caller has reached its limit for one of them."""
    costs: dict[str, dict[int, float]] = {}
    with run_stack() as stack:
        for callers in size.callers:
            for name, (ours_us, walk_us) in _measure_calls(stack, callers, size.calls).items():
                costs.setdefault(name, {})[callers] = ours_us
                yield Row(f"{name}, {callers:,} waiting", ours_us, "µs", walk_us)
    fewest, most = size.callers[0], size.callers[-1]
    for name, by_callers in costs.items():
        ratio = by_callers[most] / by_callers[fewest]
        yield Row(f"{name}, {most:,} to {fewest}", ratio, "x", max_value=MAX_RATIO)


def _measure_calls(stack: Stack, callers: int, calls: int) -> dict[str, tuple[float, float | None]]:
    """Return the time of each call in µs: with the indexes, and of the walk that it would need without them."""
    stack.redis.flushdb()
    jobs = [_create(stack, f"caller-{number}", UNLIMITED) for number in range(callers)]
    walk = _measure_walks(stack, calls)
    status = _time_calls(stack, calls, lambda n: stack.stores.jobs.get(jobs[n % callers]))
    refill = _time_calls(stack, calls, lambda _: stack.stores.wakeups.count_claimable())
    create = _time_calls(stack, calls, lambda n: _create(stack, f"caller-{n % callers}", UNLIMITED))
    costs: dict[str, tuple[float, float | None]] = {
        "create": (create, walk["position"]),
        "status": (status, walk["position"]),
        "refill": (refill, walk["refill"]),
    }
    claimed: list[Job | None] = []
    costs["claim"] = _time_calls(stack, calls, lambda _: claimed.append(stack.stores.attempts.claim("bench"))), None
    for job in claimed:
        if job:
            stack.stores.attempts.release(job, WorkerStopping())
    # The next job of each caller brings its new limit, which forbids every start.
    for number in range(callers):
        _create(stack, f"caller-{number}", AT_THEIR_LIMIT)
    walk = _measure_walks(stack, calls)
    empty = _time_calls(stack, calls, lambda _: stack.stores.attempts.claim("bench"))
    return costs | {"claim, all at their limit": (empty, walk["claim"])}


def _create(stack: Stack, owner: str, limits: CallerLimits) -> str:
    job_id = secrets.token_hex(16)
    stack.stores.jobs.create(job_id, owner, JOB, "bench", limits=limits)
    return job_id


def _measure_walks(stack: Stack, calls: int) -> dict[str, float]:
    script = stack.redis.register_script(WALKS)
    few = max(3, calls // 20)
    return {
        walk: _time_calls(stack, few, lambda _, walk=walk: script(args=[walk, JOB.site, "caller-0"]))  # type: ignore[misc]
        for walk in ("position", "refill", "claim")
    }


def _time_calls(stack: Stack, calls: int, call: Callable[[int], object]) -> float:
    """Return the microseconds that the server spent in the script of one call, by its own account."""
    # The first one loads the script.
    call(0)
    before = _script_us(stack)
    for number in range(1, calls + 1):
        call(number)
    return (_script_us(stack) - before) / calls


def _script_us(stack: Stack) -> float:
    return float(stack.redis.info("commandstats").get("cmdstat_evalsha", {"usec": 0})["usec"])
