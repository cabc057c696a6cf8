"""The bench ``pickup``: from a message to an idle worker that has begun, and what idling costs Redis."""

import random
import secrets
import sys
import time
from collections.abc import Callable, Iterator

from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker
from redis import Redis

from ops.bench.baselines.stock_dramatiq import QUEUE
from ops.bench.report import Row
from ops.processes.supervisor import Program
from ops.testbed.stack import Stack, run_stack
from ops.testbed.statistics import percentile
from schemas.jobs.job import JobRequest
from schemas.messages import BACKGROUND_QUEUES, WORKER_QUEUES

JOBS = 40
MIN_GAP_S, MAX_GAP_S = 0.2, 1.2
IDLE_S = 20.0
SMALLEST_JOB = JobRequest("studio", "a small sketch of a boat", inputs={"width": 256, "height": 256, "steps": 1})
# What clients send; commands inside a script are part of its one.
BROKER_COMMANDS = ("evalsha", "blpop")


def measure() -> Iterator[Row]:
    """Our worker first, then a stock one on the same server; both idle before each message."""
    with run_stack("worker", "courier") as darkroom:
        ours = [_after_random_gap(lambda: _pickup_ms(darkroom)) for _ in range(JOBS)]
        idle = _commands_per_second(darkroom.redis, BROKER_COMMANDS) / len(WORKER_QUEUES | BACKGROUND_QUEUES)
    with run_stack() as plain:
        stock, stock_idle = _measure_stock(plain)
    for percent, most in ((50, 5.0), (95, 15.0), (100, None)):
        name = "max" if percent == 100 else f"p{percent}"
        yield Row(
            f"enqueue to STARTING, {name}", percentile(ours, percent), "ms", percentile(stock, percent), max_value=most
        )
    faster = percentile(stock, 50) / percentile(ours, 50)
    yield Row("times faster than stock, p50", faster, "x", 1.0, min_value=40)
    yield Row("Redis commands of an idle queue", idle, "a second", stock_idle, max_value=2)


def _after_random_gap(once: Callable[[], float]) -> float:
    time.sleep(random.uniform(MIN_GAP_S, MAX_GAP_S))
    return once()


def _pickup_ms(darkroom: Stack) -> float:
    """Milliseconds from enqueueing a job to its first change, which is STARTING; waits for its end besides."""
    job_id = secrets.token_hex(16)
    darkroom.stores.jobs.create(job_id, "bench", SMALLEST_JOB, "bench")
    with darkroom.redis.pubsub() as changes:
        changes.subscribe("dr:changes")
        changes.get_message(timeout=5)
        began = time.perf_counter()
        darkroom.stores.wakeups.publish()
        while not (message := changes.get_message(ignore_subscribe_messages=True, timeout=5)):
            pass
        taken_ms = (time.perf_counter() - began) * 1000
        if message["data"] != f"{job_id} 2".encode():
            raise RuntimeError(f"the first change was {message['data']!r}")
        while not darkroom.stores.jobs.get(job_id).state.is_final:
            changes.get_message(timeout=1)
    return taken_ms


def _measure_stock(plain: Stack) -> tuple[list[float], float]:
    url = plain.settings.redis_url
    plain.supervisor.start(Program("stock", [sys.executable, "-m", "ops.bench.baselines.stock_dramatiq", url, "0"]))
    plain.redis.blpop(["stock:answers"], timeout=5)
    broker = RedisBroker(url=url)
    broker.declare_queue(QUEUE)

    def ping() -> float:
        message: Message[None] = Message(QUEUE, "ping", (1,), {}, {})
        began = time.perf_counter()
        broker.enqueue(message)
        plain.redis.blpop(["stock:answers"], timeout=5)
        return (time.perf_counter() - began) * 1000

    taken = [_after_random_gap(ping) for _ in range(JOBS)]
    # A stock queue is two: the delay queue beside it is polled too.
    return taken, _commands_per_second(plain.redis, BROKER_COMMANDS)


def _commands_per_second(client: Redis, names: tuple[str, ...]) -> float:
    before = _count_calls(client, names)
    time.sleep(IDLE_S)
    return (_count_calls(client, names) - before) / IDLE_S


def _count_calls(client: Redis, names: tuple[str, ...]) -> int:
    stats = client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in names)
