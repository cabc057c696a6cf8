"""The benchmark ``fleet``: the CPU time that one Redis, and then two, need for many workers and many callers.

The workers are simulated (``ops.bench.tools.fleet_workers``): real claims, heartbeats, events and pictures, no browser.
A clock process sweeps, and a subscriber reads every change, as a web process does. The CPU time is the server's own
account: user and system, of all that it does meanwhile. What it spends while the workers only wait is measured first.
Redis has a processor core of its own where there are two; if other programs use it, the server finds its caches cold at
every call, and a job costs twice as much. The pictures go to a media store in memory, because writing them to disk
takes most of the other core.

A server that sleeps before each call needs more CPU time for it, so two servers are compared with one that gets as many
jobs a second as each of the two.
"""

import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ops.bench.report import Row
from ops.processes.supervisor import Program
from ops.testbed.stack import Stack, run_stack, wait_until
from schemas.jobs.job import JobRequest
from stores.redis.client import StoreClient
from stores.redis.keys import ENDED_COUNTS

PROCESSES = 2
JOB = JobRequest("studio", "a lighthouse at dusk, oil painting", inputs={"seed": 7, "width": 512, "height": 512})
# Half a core, of which the workers' own commands leave the rest to jobs.
BUDGET = 0.5
MAX_JOB_MS, MIN_JOBS_PER_S = 2.0, 250
MIN_RATIO = 1.8
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - folders in it are made by tempfile
# A run stores about 10,000 jobs of 80 kB.
MIN_MEMORY_BYTES = 2 * 1024**3
# One command of each call of a client; the others run inside a script, or are sent with it.
CLIENT_COMMANDS = ("evalsha", "blpop")


@dataclass(frozen=True, slots=True)
class Size:
    """Workers, seconds of a run, waiting callers, jobs a second, and for how long is measured (s).

    ``server_rate`` are the jobs a second of each server while two are compared with one.
    """

    workers: int
    run_s: float
    callers: tuple[int, ...]
    rate: float
    server_rate: float
    idle_s: float
    load_s: float


FULL = Size(workers=1000, run_s=3.5, callers=(1, 20_000), rate=200.0, server_rate=50.0, idle_s=10.0, load_s=20.0)
SMOKE = Size(workers=4, run_s=0.2, callers=(1, 20), rate=5.0, server_rate=2.0, idle_s=1.0, load_s=2.0)


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of the server at one moment: CPU seconds, calls, all commands, bytes in, ended jobs."""

    at_s: float
    cpu_s: float
    calls: int
    commands: int
    bytes_in: int
    ended: int

    @classmethod
    def take(cls, stack: Stack) -> "Reading":
        """Read the counters: the sums of all servers."""
        each = [_values(cls._take(client)) for client in stack.stores.servers.clients]
        _, cpu_s, calls, commands, bytes_in, ended = map(sum, zip(*each, strict=True))
        return cls(time.monotonic(), cpu_s, int(calls), int(commands), int(bytes_in), int(ended))

    @classmethod
    def _take(cls, client: StoreClient) -> "Reading":
        cpu, stats = client.info("cpu"), client.info("stats")
        by_command = client.info("commandstats")
        calls = sum(int(by_command.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in CLIENT_COMMANDS)
        ended = sum(map(int, client.hvals(ENDED_COUNTS)))
        return cls(
            time.monotonic(),
            float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"]),
            calls,
            int(sum(row["calls"] for row in by_command.values())),
            int(stats["total_net_input_bytes"]),
            ended,
        )


def measure(size: Size) -> Iterator[Row]:
    """Measure the workers idle, then with jobs, once for each number of waiting callers; then with two servers."""
    capacities = list[float]()
    for servers in (1, 2):
        of = "" if servers == 1 else "2 servers, "
        with _run_fleet(size, servers) as stack:
            before = Reading.take(stack)
            time.sleep(size.idle_s)
            idle = _difference(before, Reading.take(stack))
            yield Row(f"{of}Redis core of {size.workers:,} idle workers", 100 * idle.cpu_s / idle.at_s, "%")
            yield Row(f"{of}commands of an idle worker", idle.commands / idle.at_s / size.workers, "per s")
            load = _Load.take(stack, size, size.callers[-1], size.server_rate * servers, are_waiting=False)
            yield from _job_rows(load, idle, f"{of}{size.server_rate:g} jobs a second each", has_targets=False)
            capacities.append(load.capacity(idle))
            # With one caller all jobs are on one server.
            for callers in size.callers if servers == 1 else ():
                load = _Load.take(stack, size, callers, size.rate)
                yield from _job_rows(load, idle, f"{callers:,} caller{'s' if callers > 1 else ''}")
    one, two = capacities
    yield Row("jobs with two servers, beside one", two / one, "x", min_value=MIN_RATIO)


@contextmanager
def _run_fleet(size: Size, servers: int) -> Iterator[Stack]:
    has_memory = MEMORY_FOLDER.is_dir() and shutil.disk_usage(MEMORY_FOLDER).free >= MIN_MEMORY_BYTES
    memory = MEMORY_FOLDER if has_memory else None
    with (
        tempfile.TemporaryDirectory(prefix="dr-fleet-", dir=memory) as media,
        run_stack("clock", redis_servers=servers, MEDIA_URL=Path(media).as_uri()) as stack,
        _give_core(_server_pids(stack), os.getpid(), stack.supervisor.pid("clock")),
        stack.stores.notifier.watch("everything"),
    ):
        _start_workers(stack, size)
        yield stack


def _server_pids(stack: Stack) -> list[int]:
    return [stack.supervisor.pid(name) for name in ("redis", "redis.1")[: len(stack.stores.servers)]]


@contextmanager
def _give_core(servers: Sequence[int], *others: int) -> Iterator[None]:
    """Let servers have a core that the others, with what they start, do not use."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set[int]()
    if len(cores) < 2:
        yield
        return
    own = max(cores)
    for process in servers:
        _use_cores(process, {own})
    for process in others:
        _use_cores(process, cores - {own})
    try:
        yield
    finally:
        _use_cores(os.getpid(), cores)


def _use_cores(process: int, cores: set[int]) -> None:
    for thread in Path(f"/proc/{process}/task").iterdir():
        # It may have ended.
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)


def _start_workers(stack: Stack, size: Size) -> None:
    each = size.workers // PROCESSES
    for number in range(PROCESSES):
        module = ["--module", "ops.bench.tools.fleet_workers", str(number * each), str(each), str(size.run_s)]
        stack.supervisor.start(Program(f"fleet.{number}", [sys.executable, "-m", "gevent.monkey", *module]))
    wait_until(lambda: len(stack.stores.workers.list_alive()) >= PROCESSES * each)


@dataclass(frozen=True, slots=True)
class _Load:
    """What a number of servers spent while jobs came, and the bytes that they have kept of these."""

    servers: int
    spent: Reading
    kept: int

    @classmethod
    def take(cls, stack: Stack, size: Size, callers: int, rate: float, *, are_waiting: bool = True) -> "_Load":
        """Measure with ``rate`` new jobs a second of so many callers, each of whom has a waiting job before."""
        names = [f"caller-{number}" for number in range(callers)]
        # The clock has given each server its part of MAX_QUEUE_SIZE.
        if len(stack.stores.servers) > 1:
            wait_until(lambda: all(client.exists("dr:room") for client in stack.stores.servers.clients))
        # They wait all the time: the queue shrinks by little while it is measured. The clock sends the wakeups.
        for name in names if are_waiting else ():
            _create(stack, name)
        with _submit_all_the_time(stack, rate, names):
            ended = Reading.take(stack).ended
            wait_until(lambda: Reading.take(stack).ended >= ended + rate)
            memory = _memory_bytes(stack)
            before = Reading.take(stack)
            time.sleep(size.load_s)
            spent = _difference(before, Reading.take(stack))
            return cls(len(stack.stores.servers), spent, _memory_bytes(stack) - memory)

    @property
    def jobs(self) -> int:
        """How many have ended."""
        return max(1, self.spent.ended)

    def job_ms(self, idle: Reading) -> float:
        """Return the CPU time of a job, without what idle workers take."""
        return 1000 * (self.spent.cpu_s - idle.cpu_s / idle.at_s * self.spent.at_s) / self.jobs

    def capacity(self, idle: Reading) -> float:
        """Return how many jobs a second half a core of each server carries, besides the workers."""
        return 1000 * (BUDGET * self.servers - idle.cpu_s / idle.at_s) / self.job_ms(idle)


def _job_rows(load: _Load, idle: Reading, of: str, *, has_targets: bool = True) -> Iterator[Row]:
    spent, jobs = load.spent, load.jobs
    max_ms, min_jobs = (MAX_JOB_MS, MIN_JOBS_PER_S) if has_targets else (None, None)
    yield Row(f"{of}: jobs ended", jobs / spent.at_s, "per s")
    yield Row(f"{of}: Redis core meanwhile", 100 * spent.cpu_s / spent.at_s, "%")
    yield Row(f"{of}: Redis CPU of a job", load.job_ms(idle), "ms", max_value=max_ms)
    yield Row(f"{of}: jobs in half a core of each Redis", load.capacity(idle), "per s", min_value=min_jobs)
    # Not less those of idle workers, because a worker with a job waits for no other.
    yield Row(f"{of}: commands of a job, workers included", spent.commands / jobs, "")
    yield Row(f"{of}: calls of a job, workers included", spent.calls / jobs, "")
    yield Row(f"{of}: sent to Redis for a job", spent.bytes_in / jobs / 1000, "kB")
    yield Row(f"{of}: kept in Redis of a job", load.kept / jobs / 1000, "kB", max_value=60)


def _create(stack: Stack, owner: str, *, with_wakeup: bool = False) -> None:
    stores = stack.stores.servers.of(owner)
    ticket = stores.wakeups.ticket() if with_wakeup else None
    stores.jobs.create(secrets.token_hex(16), owner, JOB, "bench", ticket=ticket)


def _submit(stack: Stack, owner: str) -> None:
    _create(stack, owner, with_wakeup=True)


@contextmanager
def _submit_all_the_time(stack: Stack, rate: float, names: list[str]) -> Iterator[None]:
    """Submit ``rate`` jobs a second."""
    stop = threading.Event()

    def run() -> None:
        number, started_at = 0, time.monotonic()
        while not stop.is_set():
            _submit(stack, names[number % len(names)])
            number += 1
            stop.wait(max(0.0, started_at + number / rate - time.monotonic()))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _difference(before: Reading, after: Reading) -> Reading:
    values = zip(_values(before), _values(after), strict=True)
    at_s, cpu_s, calls, commands, bytes_in, ended = (later - earlier for earlier, later in values)
    return Reading(at_s, cpu_s, int(calls), int(commands), int(bytes_in), int(ended))


def _values(reading: Reading) -> tuple[float, ...]:
    return reading.at_s, reading.cpu_s, reading.calls, reading.commands, reading.bytes_in, reading.ended


def _memory_bytes(stack: Stack) -> int:
    return sum(int(client.info("memory")["used_memory"]) for client in stack.stores.servers.clients)
