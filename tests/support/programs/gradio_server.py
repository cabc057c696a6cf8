"""Starts the program server of one version of Gradio, from tests and benches: ``python -m … VERSION=PORT``."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from ops.infra.settings import ROOT
from ops.processes.stopping.parent_death import set_parent_death_signal
from ops.processes.web_command import free_port
from ops.testbed.stack import wait_until
from tests.conftest import TIMEOUT_S
from tests.support.programs.environments import create_environment

# Importing a version of Gradio takes seconds, and minutes on a machine that does much else.
START_TIMEOUT_S = 240.0
GRADIO_VERSIONS = ("3.41.2", "4.40.0", "5.50.0", "6.31.0")


class GradioServer:
    """The programs of one version of Gradio at ``url``; they can be killed and started again at the same URL."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, log: Path) -> None:
        self._process = process
        self._port = port
        self._log = log
        self.url = f"http://127.0.0.1:{port}"

    def start(self) -> None:
        """Start the programs and wait until they answer."""
        self._command(f"start {self._port}")
        wait_until(lambda: self._has_ended() or self._answers(), START_TIMEOUT_S)
        assert not self._has_ended(), self._log.read_text()

    def kill(self) -> None:
        """Kill the programs, as an accident would."""
        self._command("kill")
        wait_until(lambda: not self._answers(), START_TIMEOUT_S)

    def events(self, prompt: str) -> list[str]:
        """Return what the programs did for a prompt, in order."""
        return [entry["event"] for entry in self._read_log() if entry["prompt"] == prompt]

    def hashes(self, prompt: str) -> list[str]:
        """Return the SHA-256 of the files of the finished pictures of a prompt."""
        finished = [entry for entry in self._read_log() if entry["prompt"] == prompt and entry["event"] == "finished"]
        return list(finished[-1]["hashes"]) if finished else []

    def _read_log(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = httpx.get(f"{self.url}/log", timeout=TIMEOUT_S, trust_env=False).json()
        return entries

    def _command(self, command: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def _has_ended(self) -> bool:
        return self._process.poll() is not None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/log", timeout=TIMEOUT_S, trust_env=False).is_success
        except httpx.HTTPError:
            return False


@contextmanager
def run_gradio_server(version: str, folder: Path, port: int | None = None) -> Iterator[GradioServer]:
    """Run the programs of a version, with their files in ``folder``."""
    python = create_environment(f"gradio-{version}")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "GRADIO_TEMP_DIR": str(folder),
        "MPLCONFIGDIR": str(folder),
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        # The first start keeps the bytecode of what it imports; empty means no.
        "PYTHONDONTWRITEBYTECODE": "",
    }
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(python), "-m", "tests.support.programs.matrix.serve"],
            # gr.Interface makes a folder where its process runs.
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            text=True,
            preexec_fn=set_parent_death_signal(signal.SIGTERM),  # noqa: PLW1509 - this process has one thread
        )
    server = GradioServer(process, port or free_port(), log)
    try:
        server.start()
        yield server
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait(60)


if __name__ == "__main__":
    name, _, number = sys.argv[1].partition("=")
    with tempfile.TemporaryDirectory(prefix="dr-") as files, run_gradio_server(name, Path(files), int(number)):
        signal.pause()
