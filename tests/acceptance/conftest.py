"""A Darkroom that is started as its user starts it, in a folder of its own."""

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

from ops.infra.settings import ROOT
from stores.accounts.owner_key import OwnerKey
from tests.conftest import eventually, free_port
from workers.browsers.os_processes import cmdline

SCRIPT = ROOT / "darkroom"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10


def environment(**more: str) -> dict[str, str]:
    """A user's plain environment."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "BROWSER", "LANG") if name in os.environ}
    return {**kept, **more}


@dataclass
class DarkroomUp:
    """A running ``./darkroom up``."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """Everything that it and its processes have printed."""
        return (self.folder / "output").read_text()

    def client(self) -> httpx.Client:
        """A client with the owner's key."""
        key = OwnerKey(self.folder / "data").read()
        return httpx.Client(base_url=self.url, headers={"x-api-key": key}, timeout=40, trust_env=False)

    def descendants(self) -> list[psutil.Process]:
        """All processes below the supervisor."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def find_role(self, role: str) -> psutil.Process:
        """The process of a role, such as ``worker``."""
        found = [
            one for one in self.descendants() if cmdline(one)[-2:] == ["workers.main", role] and "python" in one.name()
        ]
        assert found, f"no process is a {role}"
        return found[0]


@contextmanager
def darkroom_up(folder: Path, *arguments: str, **more: str) -> Iterator[DarkroomUp]:
    """``./darkroom up`` from an empty folder, ready; stopped in any case at the end."""
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
            process.wait(30)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="dr-") as name:
        yield Path(name)


def submit(client: httpx.Client, prompt: str, **inputs: Any) -> str:
    """The id of a new job."""
    answer = client.post("/api/v1/jobs", json={"prompt": prompt, "inputs": inputs})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def await_end(client: httpx.Client, ident: str) -> dict[str, Any]:
    """The job once it has ended."""
    job: dict[str, Any] = {"status": "", "seq": 0}

    def look() -> bool:
        nonlocal job
        job = client.get(f"/api/v1/jobs/{ident}", params={"wait": 10, "since": job["seq"]}).json()
        return job["status"] in ("COMPLETED", "FAILED")

    eventually(look, timeout_s=60)
    return job
