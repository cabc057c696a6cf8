"""Owns the bench ``density``: memory for each further job at once, against a browser for each job."""

import statistics
import time
from collections.abc import Callable, Iterator

from ops.bench.report import Row
from ops.bench.script import script
from ops.bench.stack import Stack, stack, tree_memory_bytes, wait_until

FEW, MANY = 1, 8
STEPS = 60
SAMPLES = 7
BYTES_PER_MB = 1024 * 1024


def measure() -> Iterator[Row]:
    """The memory of few and of many jobs at work; the difference belongs to the further ones."""
    with stack("web", "worker", "clock", WORKER_CONCURRENCY=str(MANY)) as darkroom:
        ours = {number: _working(darkroom, number) for number in (FEW, MANY)}
    with script("density") as plain:
        baseline = {}
        for number in (FEW, MANY):
            plain.ask(number, STEPS)
            time.sleep(number)
            baseline[number] = _sample(lambda: tree_memory_bytes(plain.pid))
            plain.answer()
    for number in (FEW, MANY):
        yield Row(f"{number} at work", ours[number], "MB", baseline[number])
    further = [(one[MANY] - one[FEW]) / (MANY - FEW) for one in (ours, baseline)]
    yield Row("each further job", further[0], "MB", further[1], most=40)
    yield Row("times less than a browser each", further[1] / further[0], "x", 1.0, least=4)


def _working(darkroom: Stack, number: int) -> float:
    with darkroom.client() as client:
        body = {"prompt": "a lighthouse at dusk", "inputs": {"steps": STEPS}}
        ids = [client.post("/api/v1/jobs", json=body).json()["id"] for _ in range(number)]

        def states() -> set[str]:
            return {client.get(f"/status/{ident}").json()["status"] for ident in ids}

        wait_until(lambda: states() == {"PENDING"})
        memory = _sample(lambda: darkroom.memory_bytes("worker"))
        if states() != {"PENDING"}:
            raise RuntimeError("the jobs ended before their memory was read")
        wait_until(lambda: states() == {"COMPLETED"})
    return memory


def _sample(read: Callable[[], int]) -> float:
    """The median of a few readings, in megabytes."""
    readings = []
    for _ in range(SAMPLES):
        readings.append(read() / BYTES_PER_MB)
        time.sleep(0.1)
    return statistics.median(readings)
