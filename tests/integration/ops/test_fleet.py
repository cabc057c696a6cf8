"""A fleet without disks: PgBouncer, S3 and Redis hold everything, and an orderly stop logs no error."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from cryptography.fernet import Fernet

from ops.infra.database import migrate
from ops.infra.settings import ROOT, next_database
from ops.processes.web_command import free_port
from tests.conftest import API_KEY, eventually
from tests.integration.redis.test_redis_check import ready_server
from tests.support.pgbouncer import serve_pooled
from tests.support.s3_server import serve_s3

ROLES = ("web", "worker", "background", "clock")
# No folder can be made there, not even by root.
NO_FOLDER = "/proc/darkroom"
START_TIMEOUT_S, STOP_TIMEOUT_S = 90, 60
QUICK, SLOW = {"width": 256, "height": 256, "steps": 4}, {"width": 768, "height": 768, "steps": 40}


@dataclass(frozen=True)
class Deployment:
    """The environment that all processes of a fleet have, and the folder of their logs."""

    environment: dict[str, str]
    logs: Path

    @property
    def url(self) -> str:
        """The address of the web process."""
        return f"http://127.0.0.1:{self.environment['PORT']}"

    def start(self, role: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a process; ``environment`` differs from that of the others."""
        command = [sys.executable, "-m", "ops", role]
        with (self.logs / f"{role}.log").open("ab") as out:
            return subprocess.Popen(command, cwd=ROOT, env=self.environment | environment, stdout=out, stderr=out)

    def lines(self, role: str) -> list[dict[str, Any]]:
        """The log of a process, which is JSON."""
        return [json.loads(line) for line in (self.logs / f"{role}.log").read_text().splitlines()]

    def client(self) -> httpx.Client:
        """A client with the owner's key."""
        return httpx.Client(base_url=self.url, headers={"x-api-key": API_KEY}, timeout=60, trust_env=False)

    def is_ready(self) -> bool:
        """Whether a worker is ready."""
        try:
            return httpx.get(f"{self.url}/health", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="module")
def fleet(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A fleet whose processes have no data folder; not started."""
    folder = tmp_path_factory.mktemp("fleet")
    with ExitStack() as stack:
        server = stack.enter_context(ready_server())
        database_url = stack.enter_context(serve_pooled(postgresql, folder))
        media = stack.enter_context(serve_s3(folder / "s3"))
        redis_url = f"unix://{server.socket}?db=0"
        migrate(database_url)
        settings = {
            "DATA_DIR": NO_FOLDER,
            "PORT": str(free_port()),
            "API_KEY": API_KEY,
            "SESSION_KEY": Fernet.generate_key().decode(),
            "REDIS_URL": redis_url,
            "BROKER_URL": next_database(redis_url),
            "DATABASE_URL": database_url,
            "MEDIA_URL": media.media_url,
            "WORKER_CONCURRENCY": "2",
            "DRAIN_GRACE_S": "1",
            "STOP_TIMEOUT_S": "5",
            "LOG_FORMAT": "json",
        }
        environment = {**os.environ, **media.environment, **settings}
        accept = [sys.executable, "-m", "ops", "fleet", "accept", "SESSION_KEY"]
        subprocess.run(accept, cwd=ROOT, env=environment, check=True, capture_output=True)
        yield Deployment(environment, folder)


def test_a_fleet_works_without_disks_and_stops_in_order(fleet: Deployment) -> None:
    """A job ends, another one runs, and a client follows it, when all processes get SIGTERM at once, with browsers."""
    processes = {role: fleet.start(role) for role in ROLES}
    try:
        eventually(fleet.is_ready, timeout_s=START_TIMEOUT_S)
        with fleet.client() as client:
            done = _submit(client, QUICK)
            eventually(lambda: client.get(f"/api/v1/jobs/{done}").json()["status"] == "COMPLETED")
            running = _submit(client, SLOW)
            followed = threading.Thread(target=_follow, args=(client, running))
            followed.start()
            eventually(lambda: client.get(f"/api/v1/jobs/{running}").json()["progress"])
            for process in (part for each in processes.values() for part in _tree(each)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGTERM)
            codes = {role: process.wait(STOP_TIMEOUT_S) for role, process in processes.items()}
            followed.join(STOP_TIMEOUT_S)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    assert codes == dict.fromkeys(ROLES, 0)
    for role in ROLES:
        lines = fleet.lines(role)
        assert [line for line in lines if line["level"] in ("error", "critical") or "exception" in line] == []
    assert "drain.too_long" in [line["event"] for line in fleet.lines("worker")]
    assert "data_folder.not_used" in [line["event"] for line in fleet.lines("clock")]


@pytest.mark.parametrize(("role", "code"), [("web", 4), ("worker", 2), ("clock", 2)])
def test_another_session_key_is_refused(fleet: Deployment, role: str, code: int) -> None:
    """One clear line, with an exit code that no supervisor takes for a crash."""
    process = fleet.start(role, SESSION_KEY=Fernet.generate_key().decode())
    assert process.wait(STOP_TIMEOUT_S) == code
    text = (fleet.logs / f"{role}.log").read_text()
    assert f"darkroom {role}: SESSION_KEY: differs from the value of this installation." in text
    assert "Traceback" not in text


def _tree(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """Return a process and all below it, as Heroku and systemd stop them."""
    root = psutil.Process(process.pid)
    return [root, *root.children(recursive=True)]


def _submit(client: httpx.Client, inputs: dict[str, int]) -> str:
    answer = client.post("/api/v1/jobs", json={"prompt": "a castle above the sea", "inputs": inputs})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def _follow(client: httpx.Client, job_id: str) -> None:
    """Read a job's events until the server ends the stream."""
    with client.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
        for _line in stream.iter_lines():
            pass
