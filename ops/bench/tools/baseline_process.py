"""The talk with ``ops.bench.baselines.playwright_scripts``: a plain Playwright script in a process of its own."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ops.infra.settings import ROOT
from ops.processes.parent_death import set_parent_death_signal


class BaselineProcess:
    """A running baseline."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """The process has just been started."""
        self._process = process
        self.receive()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def send(self, *args: int | str) -> None:
        """Give it something to do."""
        if self._process.stdin is None:
            raise RuntimeError("the baseline has no stdin")
        self._process.stdin.write(" ".join(str(word) for word in args) + "\n")
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """What it says when that is done."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the baseline has ended before its time")
        said: dict[str, Any] = json.loads(line)
        return said


@contextmanager
def run_baseline(name: str, *arguments: str) -> Iterator[BaselineProcess]:
    """The baseline of that name, ready."""
    command = [sys.executable, "-m", "ops.bench.baselines.playwright_scripts", name, *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=set_parent_death_signal(signal.SIGKILL),  # noqa: PLW1509 - this process has one thread
    )
    try:
        yield BaselineProcess(process)
    finally:
        process.kill()
        process.communicate()
