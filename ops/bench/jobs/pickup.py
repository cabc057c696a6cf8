"""The benchmark ``pickup``: the time from a message to an idle worker that has begun, and what idling costs Redis."""

import random
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ops.bench.baselines.stock_dramatiq import StockQueue
from ops.bench.report import Row
from ops.processes.supervisor import Program
from ops.testbed.stack import Stack, run_stack, wait_until
from ops.testbed.statistics import percentile
from schemas.jobs.job import JobRequest
from schemas.messages import BACKGROUND_QUEUES, WORKER_QUEUES

MIN_GAP_S, MAX_GAP_S = 0.2, 1.2
TIMEOUT_S = 10.0
# The first event of a job, QUEUED, has the number 1.
STARTING_SEQ = 2
SMALLEST_JOB = JobRequest("studio", "a small sketch of a boat", inputs={"width": 256, "height": 256, "steps": 1})
# The commands that clients send; commands inside a script are part of its EVALSHA.
BROKER_COMMANDS = ("evalsha", "sadd", "blpop")


@dataclass(frozen=True, slots=True)
class Size:
    """The number of jobs, and how long both workers idle."""

    jobs: int
    idle_s: float


FULL = Size(jobs=40, idle_s=20.0)
SMOKE = Size(jobs=2, idle_s=1.0)


def measure(size: Size) -> Iterator[Row]:
    """Measure our worker, then a stock one; each is idle before a message."""
    with run_stack("worker", "background") as stack, stack.stores.notifier.watch("subscribed") as subscription:
        # The first watch subscribes to Redis, which is reported as a possible change.
        subscription.wait(TIMEOUT_S)
        ours = [_after_random_gap(lambda: _pickup_ms(stack)) for _ in range(size.jobs)]
        idle = _commands_per_second(stack, size.idle_s) / len(WORKER_QUEUES | BACKGROUND_QUEUES)
    with run_stack() as stack:
        stock = _measure_stock(stack, size.jobs)
        # A stock queue is two: its delay queue is polled too.
        stock_idle = _commands_per_second(stack, size.idle_s)
    for percent, max_ms in ((50, 5.0), (95, 15.0), (100, None)):
        name = "max" if percent == 100 else f"p{percent}"
        values = percentile(ours, percent), "ms", percentile(stock, percent)
        yield Row(f"enqueue to STARTING, {name}", *values, max_value=max_ms)
    yield Row("times faster than stock, p50", percentile(stock, 50) / percentile(ours, 50), "x", 1.0, min_value=40)
    yield Row("Redis commands of an idle queue", idle, "per s", stock_idle, max_value=2)


def _after_random_gap(measure_once: Callable[[], float]) -> float:
    time.sleep(random.uniform(MIN_GAP_S, MAX_GAP_S))
    return measure_once()


def _pickup_ms(stack: Stack) -> float:
    """Return the milliseconds from enqueueing a job to its change to STARTING; wait for its end too."""
    job_id = secrets.token_hex(16)
    stack.stores.jobs.create(job_id, "bench", SMALLEST_JOB, "bench")
    with stack.stores.notifier.watch(job_id) as change:
        started_at = time.perf_counter()
        stack.stores.wakeups.publish()
        # The notification of the first event may still be on its way.
        while change.newest_seq < STARTING_SEQ:
            if not change.wait(TIMEOUT_S):
                raise TimeoutError("no worker took the job")
        duration_ms = (time.perf_counter() - started_at) * 1000
    wait_until(lambda: stack.stores.jobs.get(job_id).state.is_final)
    return duration_ms


def _measure_stock(stack: Stack, jobs: int) -> list[float]:
    url = stack.settings.redis_url
    stack.supervisor.start(Program("stock", StockQueue.worker_command(url)))
    queue = StockQueue(url, timeout_s=TIMEOUT_S)
    queue.await_worker()

    def pickup_ms() -> float:
        started_at = time.perf_counter()
        queue.send()
        if queue.await_answer() is None:
            raise TimeoutError("the stock worker did not take the message")
        return (time.perf_counter() - started_at) * 1000

    return [_after_random_gap(pickup_ms) for _ in range(jobs)]


def _commands_per_second(stack: Stack, idle_s: float) -> float:
    before = _count_calls(stack)
    time.sleep(idle_s)
    return (_count_calls(stack) - before) / idle_s


def _count_calls(stack: Stack) -> int:
    stats = stack.redis.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in BROKER_COMMANDS)
