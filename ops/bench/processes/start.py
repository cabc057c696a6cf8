"""The benchmark ``start``: from ``./darkroom up`` to the line that says it is ready, and to the first picture.

Only warm starts are measured: what is installed and read from disk for the first time depends on the machine. The
baseline is another checkout with an installed environment, which BENCH_CHECKOUT names.
"""

import os
import re
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ops.bench.report import Row
from ops.infra.settings import ROOT
from ops.processes.web_command import free_port
from ops.testbed.stack import KEY, wait_until

CHECKOUT_VARIABLE = "BENCH_CHECKOUT"
READY = re.compile(r"Darkroom is ready")
STOP_TIMEOUT_S = 30
PICTURE = {"prompt": "a lighthouse at dusk", "inputs": {"width": 256, "height": 256, "steps": 1}}


@dataclass(frozen=True, slots=True)
class Size:
    """Starts of each checkout; the first ones are not measured, because they create the data folder."""

    starts: int
    first: int


FULL = Size(starts=6, first=1)
SMOKE = Size(starts=1, first=0)


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the start of the command."""

    ready_s: float
    picture_s: float


def measure(size: Size) -> Iterator[Row]:
    """Start both checkouts by turns."""
    other = os.environ.get(CHECKOUT_VARIABLE)
    checkouts = [ROOT, *([Path(other)] if other else [])]
    starts: dict[Path, list[Start]] = {checkout: [] for checkout in checkouts}
    with tempfile.TemporaryDirectory(prefix="dr-start-") as folder:
        for number in range(size.starts):
            for index, checkout in enumerate(checkouts):
                start = _start(checkout, Path(folder) / str(index))
                starts[checkout] += [start] if number >= size.first else []
    ours, theirs = starts[ROOT], starts[checkouts[-1]] if other else None
    for name, attribute, max_s in (("ready", "ready_s", 2.5), ("first picture", "picture_s", None)):
        values = [
            statistics.median(getattr(start, attribute) for start in each) if each else None for each in (ours, theirs)
        ]
        yield Row(f"./darkroom up, {name}", values[0] or 0.0, "s", values[1], max_value=max_s)


def _start(checkout: Path, folder: Path) -> Start:
    """Start a checkout on a data folder, make one picture, and stop it."""
    port, began = free_port(), time.monotonic()
    with _run_up(checkout, folder, port) as process:
        for line in process.stdout or ():
            if READY.search(line):
                break
        else:
            raise RuntimeError(f"{checkout} did not become ready")
        ready_s = time.monotonic() - began
        headers = {"x-api-key": KEY}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60, trust_env=False) as client:
            job_id = client.post("/api/v1/jobs", json=PICTURE).json()["id"]
            wait_until(lambda: client.get(f"/status/{job_id}").json()["status"] == "COMPLETED")
        return Start(ready_s, time.monotonic() - began)


@contextmanager
def _run_up(checkout: Path, folder: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    command = [str(checkout / "darkroom"), "up", "--port", str(port), "--data", str(folder)]
    environment = {**os.environ, "API_KEY": KEY, "LOG_LEVEL": "error", "PYTHONPATH": ""}
    process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=STOP_TIMEOUT_S)
