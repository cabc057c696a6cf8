"""The benchmark ``calls``: the time that one call takes in Redis, by the number of callers who wait.

The baseline is a walk over these callers (``ops/bench/baselines/queue_walks.lua``), without the rest of the call. Each
number of callers has a server of its own, and equally many jobs, because a server with many jobs finds less of each
call in its processor's caches, be they of one caller or of many. A further server, with a single job, shows how much
that is. The same calls go to all of them in turn, a few at a time, so that what else the machine does meanwhile
concerns all alike; the median of these turns counts.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

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


TURNS = 20
# Between two jobs whose status is read, so that they are from everywhere in the queue.
STRIDE = 7919
ALONE = "a single job"


@dataclass(frozen=True, slots=True)
class Size:
    """Numbers of waiting callers, ascending, their jobs altogether, and calls of each kind."""

    callers: tuple[int, ...]
    jobs: int
    calls: int


FULL = Size(callers=(1, 1_000, 20_000), jobs=20_000, calls=400)
SMOKE = Size(callers=(1, 20), jobs=20, calls=5)


@dataclass(frozen=True, slots=True)
class Queue:
    """A server on which so many callers wait: its name in the report, their jobs, and those that were claimed."""

    name: str
    stack: Stack
    callers: int
    jobs: list[str]
    claimed: list[Job]

    @classmethod
    def fill(cls, name: str, stack: Stack, callers: int, jobs: int) -> "Queue":
        """Let the callers submit so many jobs altogether, in turn."""
        ids = [_create(stack, f"caller-{number % callers}", UNLIMITED) for number in range(jobs)]
        return cls(name, stack, callers, ids, [])

    def create(self, number: int, limits: CallerLimits = UNLIMITED) -> None:
        """Submit one more job of a caller."""
        _create(self.stack, f"caller-{number % self.callers}", limits)

    def read(self, number: int) -> None:
        """Read the status of a job."""
        self.stack.stores.jobs.get(self.jobs[number * STRIDE % len(self.jobs)])

    def refill(self, _number: int) -> None:
        """Count the jobs that may start."""
        self.stack.stores.wakeups.count_claimable()

    def claim(self, _number: int) -> None:
        """Claim the next job."""
        if job := self.stack.stores.attempts.claim("bench"):
            self.claimed.append(job)

    def forbid_starts(self) -> None:
        """Give back what was claimed; the next job of each caller brings its new limit, which forbids every start."""
        for job in self.claimed:
            self.stack.stores.attempts.release(job, WorkerStopping())
        for number in range(self.callers):
            self.create(number, AT_THEIR_LIMIT)


Costs = dict[str, float]


def measure(size: Size) -> Iterator[Row]:
    """Make the same calls on all servers, at last one for which every caller has reached its limit."""
    names = {callers: f"{callers:,} waiting" for callers in size.callers}
    with ExitStack() as stacks:
        queues = [Queue.fill(ALONE, stacks.enter_context(run_stack()), 1, 1)]
        for callers, name in names.items():
            queues.append(Queue.fill(name, stacks.enter_context(run_stack()), callers, size.jobs))
        costs = list(_measure_calls(queues, size.calls))
    for name in (ALONE, *names.values()):
        for call, ours, walk in costs:
            yield Row(f"{call}, {name}", ours[name], "µs", walk.get(name))
    fewest, most = size.callers[0], size.callers[-1]
    for call, ours, _ in costs:
        ratio = ours[names[most]] / ours[names[fewest]]
        yield Row(f"{call}, {most:,} to {fewest}", ratio, "x", max_value=MAX_RATIO)
        yield Row(f"{call}, {most:,} to {ALONE}", ours[names[most]] / ours[ALONE], "x")


def _measure_calls(queues: list[Queue], calls: int) -> Iterator[tuple[str, Costs, Costs]]:
    """Yield the names of calls, their µs by server, and those of the walk that each would need without the indexes."""
    position, refill = _measure_walk(queues, "position", calls), _measure_walk(queues, "refill", calls)
    yield "status", _time_calls(queues, calls, Queue.read), position
    yield "refill", _time_calls(queues, calls, Queue.refill), refill
    yield "create", _time_calls(queues, calls, Queue.create), position
    yield "claim", _time_calls(queues, calls, Queue.claim), {}
    for queue in queues:
        queue.forbid_starts()
    walk = _measure_walk(queues, "claim", calls)
    yield "claim, all at their limit", _time_calls(queues, calls, Queue.claim), walk


def _create(stack: Stack, owner: str, limits: CallerLimits) -> str:
    job_id = secrets.token_hex(16)
    stack.stores.jobs.create(job_id, owner, JOB, "bench", limits=limits)
    return job_id


def _measure_walk(queues: list[Queue], walk: str, calls: int) -> Costs:
    scripts = {queue.name: queue.stack.redis.register_script(WALKS) for queue in queues}

    def call(queue: Queue, _number: int) -> None:
        scripts[queue.name](args=[walk, JOB.site, "caller-0"])

    return _time_calls(queues, max(3, calls // 20), call)


def _time_calls(queues: list[Queue], calls: int, call: Callable[[Queue, int], None]) -> Costs:
    """Return the microseconds that each server spent in the script of one call, by its own account."""
    for queue in queues:
        # The first one loads the script.
        call(queue, 0)
    turns = min(TURNS, calls)
    samples: dict[str, list[float]] = {queue.name: [] for queue in queues}
    for numbers in (range(1 + turn, calls + 1, turns) for turn in range(turns)):
        for queue in queues:
            before = _script_us(queue.stack)
            for number in numbers:
                call(queue, number)
            samples[queue.name].append((_script_us(queue.stack) - before) / len(numbers))
    return {name: median(of_turns) for name, of_turns in samples.items()}


def _script_us(stack: Stack) -> float:
    return float(stack.redis.info("commandstats").get("cmdstat_evalsha", {"usec": 0})["usec"])
