"""A Darkroom that is started with ``./darkroom up`` in an empty folder."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from xdist.scheduler import LoadFileScheduling

from ops.infra.settings import ROOT
from ops.processes.web_command import free_port
from stores.accounts.owner_key import OwnerKey
from tests.conftest import eventually
from workers.browsers.os_processes import cmdline

SCRIPT = ROOT / "darkroom"
START_TIMEOUT_S = 100
STOP_TIMEOUT_S = 60
# Each of these files starts Darkrooms for several tests; all other tests are distributed one by one.
SHARING_FILES = ("test_deaths.py", "test_deliveries.py")


class AcceptanceScheduling(LoadFileScheduling):
    """Distributes tests over processes: files whose tests share a Darkroom as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return file if file.endswith(SHARING_FILES) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> AcceptanceScheduling:
    """Use it for runs of these tests alone."""
    return AcceptanceScheduling(config, log)


def environment(**more: str) -> dict[str, str]:
    """Return a minimal environment, with ``more`` variables."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "BROWSER", "LANG") if name in os.environ}
    return {**inherited, **more}


@dataclass
class DarkroomUp:
    """A running ``./darkroom up``."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    port: int

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """The output of the supervisor and its processes."""
        return (self.folder / "output").read_text()

    def client(self) -> httpx.Client:
        """Return an HTTP client with the owner's key."""
        key = OwnerKey(self.folder / "data").read()
        return httpx.Client(base_url=self.url, headers={"x-api-key": key}, timeout=60, trust_env=False)

    def descendants(self) -> list[psutil.Process]:
        """Return all processes below the supervisor."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def find_role(self, role: str) -> psutil.Process:
        """Return the process of a role, such as ``worker``; the command of the Procfile keeps its process id."""
        processes = [
            process
            for process in self.descendants()
            if cmdline(process)[-2:] == ["ops", role] and "python" in process.name()
        ]
        assert processes, f"no process has the role {role}"
        return processes[0]


@contextmanager
def darkroom_up(folder: Path, *arguments: str, **more: str) -> Iterator[DarkroomUp]:
    """Run ``./darkroom up`` in ``folder``; yield it once it is ready, and stop it at the end."""
    port = free_port()
    command = [str(SCRIPT), "up", "--port", str(port), "--data", str(folder / "data"), *arguments]
    with (folder / "output").open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment(**more), stdout=out, stderr=out)
    up = DarkroomUp(process, folder, port)
    try:
        ready = f"Darkroom is ready at {up.url}"
        eventually(lambda: ready in up.output or process.poll() is not None, timeout_s=START_TIMEOUT_S)
        assert ready in up.output, up.output
        yield up
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_TIMEOUT_S)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="dr-") as name:
        yield Path(name)


def submit(client: httpx.Client, prompt: str, **inputs: Any) -> str:
    """Submit a job and return its id."""
    response = client.post("/api/v1/jobs", json={"prompt": prompt, "inputs": inputs})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def await_end(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """Wait until a job is completed or failed, and return it."""
    job: dict[str, Any] = {"status": "", "seq": 0}

    def is_final() -> bool:
        nonlocal job
        job = client.get(f"/api/v1/jobs/{job_id}", params={"wait": 10, "since": job["seq"]}).json()
        return job["status"] in ("COMPLETED", "FAILED")

    eventually(is_final, timeout_s=100)
    return job
