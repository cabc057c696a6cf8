"""The benchmark ``recovery``: the time from SIGKILL of a worker until its job runs again on another one."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ops.bench.baselines.stock_dramatiq import StockQueue
from ops.bench.report import Row
from ops.processes.supervisor import Program
from ops.testbed.hostile_stack import SITE, run_hostile_stack
from ops.testbed.stack import Stack, kill_tree, run_stack, wait_until
from ops.testbed.statistics import percentile
from schemas.jobs.job import JobRequest
from schemas.jobs.lifecycle import JobState

WORKERS = ("worker.1", "worker.2")
DURATION_S = (3.0, 4.0)
HOLD_S = 600.0
START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Size:
    """The number of kills, and how long to wait for the stock worker.

    A stock broker declares a worker dead after 60 s and requeues its messages at a random later time.
    """

    rounds: int
    stock_timeout_s: float


FULL = Size(rounds=10, stock_timeout_s=180.0)
SMOKE = Size(rounds=1, stock_timeout_s=1.0)


def measure(size: Size) -> Iterator[Row]:
    """Kill one of two workers several times, and one of two stock workers once."""
    with run_hostile_stack("clock", *WORKERS, duration_s=DURATION_S, contexts=2) as stack:
        ours = [_recovery_s(stack) for _ in range(size.rounds)]
    with run_stack() as stack:
        stock = _stock_recovery_s(stack, size.stock_timeout_s)
    print(f"stock: {'not within ' if stock >= size.stock_timeout_s else ''}{stock:.0f} s")
    yield Row("kill -9 to running again, p50", percentile(ours, 50), "s", stock)
    yield Row(f"kill -9 to running again, max of {size.rounds}", max(ours), "s", stock, max_value=15.0)


def _recovery_s(stack: Stack) -> float:
    jobs, job_id = stack.stores.jobs, secrets.token_hex(16)
    wait_until(lambda: sum(worker.ready for worker in stack.stores.workers.list_alive()) == len(WORKERS))
    jobs.create(job_id, "bench", JobRequest(SITE, "a boat", inputs={"seed": 1}), "bench")
    stack.stores.wakeups.publish()
    wait_until(lambda: jobs.get(job_id).state is JobState.PENDING)
    lease_owner = stack.stores.maintenance.get_lease_owner(job_id) or ""
    started_at = time.perf_counter()
    # A worker id is HOST:PID:TOKEN.
    kill_tree(int(lease_owner.split(":")[-2]))
    wait_until(lambda: jobs.get(job_id).attempt == 2)
    duration_s = time.perf_counter() - started_at

    def is_restored() -> bool:
        stack.supervisor.restart_dead()
        return jobs.get(job_id).state.is_final and not stack.supervisor.exit_codes()

    wait_until(is_restored)
    return duration_s


def _stock_recovery_s(stack: Stack, timeout_s: float) -> float:
    url = stack.settings.redis_url
    queue = StockQueue(url, timeout_s=max(timeout_s, START_TIMEOUT_S))
    for number in (1, 2):
        stack.supervisor.start(Program(f"stock.{number}", StockQueue.worker_command(url, hold_s=HOLD_S)))
        queue.await_worker()
    queue.send()
    pid = queue.await_answer()
    if pid is None:
        raise TimeoutError("no stock worker took the message")
    started_at = time.perf_counter()
    kill_tree(pid)
    queue.await_answer(timeout_s)
    return min(time.perf_counter() - started_at, timeout_s)
