"""A plain Playwright script in a process of its own, driven over stdin and stdout.

The scripts are in ``ops.bench.baselines.playwright_scripts``; each command is a line of words, each response a line of
JSON.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ops.infra.settings import ROOT
from ops.processes.stopping.parent_death import set_parent_death_signal


class BaselineProcess:
    """A running script."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Wait until the script is ready."""
        self._process = process
        self.receive()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, *args: int | str) -> None:
        """Send a command."""
        if self._process.stdin is None:
            raise RuntimeError("the baseline has no stdin")
        self._process.stdin.write(" ".join(str(arg) for arg in args) + "\n")
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for the response to a command; raises RuntimeError if the script has ended."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the baseline script has ended")
        message: dict[str, Any] = json.loads(line)
        return message


@contextmanager
def run_baseline(name: str, *args: str) -> Iterator[BaselineProcess]:
    """Yield the script of that name, ready; kill it at the end."""
    command = [sys.executable, "-m", "ops.bench.baselines.playwright_scripts", name, *args]
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
