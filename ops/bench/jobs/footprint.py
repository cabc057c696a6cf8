"""The benchmark ``footprint``: memory and CPU of each process of a deployment that has nothing to do."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from ops.bench.report import Row
from ops.testbed.stack import Stack, run_stack

ROLES = ("web", "worker", "background", "clock")
BYTES_PER_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Size:
    """Seconds until the processes have settled, and seconds over which their CPU is measured."""

    settle_s: float
    watch_s: float


FULL = Size(settle_s=10, watch_s=30)
SMOKE = Size(settle_s=0, watch_s=1)


def measure(size: Size) -> Iterator[Row]:
    """Measure every process with its children: that of a worker is a browser without pages."""
    with run_stack(*ROLES, WORKER_CONCURRENCY="4") as stack:
        time.sleep(size.settle_s)
        names = ("redis", *ROLES)
        before = {name: _cpu_s(stack, name) for name in names}
        time.sleep(size.watch_s)
        for name in names:
            yield Row(f"{name}: memory", stack.memory_bytes(name) / BYTES_PER_MB, "MB")
            yield Row(f"{name}: idle", 100 * (_cpu_s(stack, name) - before[name]) / size.watch_s, "% of a core")


def _cpu_s(stack: Stack, name: str) -> float:
    """Return the CPU time of a process and of its children."""
    root = psutil.Process(stack.supervisor.pid(name))
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total
