"""The Procfile under a real runner, as platforms run it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from ops.client import Darkroom
from ops.infra.redis import connect
from ops.infra.settings import ROOT
from ops.processes.embedded_redis import SOCKET_NAME, server_command
from ops.processes.web_command import free_port
from tests.acceptance.conftest import environment
from tests.conftest import API_KEY, TIMEOUT_S, answers_ping, eventually

BIN = Path(sys.executable).parent
RUNNER = [str(BIN / "honcho"), "--procfile", str(ROOT / "Procfile"), "--app-root", str(ROOT)]


def test_the_processes_of_the_procfile_make_a_picture_and_stop_in_order(folder: Path) -> None:
    """``release`` prepares the database; the others share nothing but their environment."""
    socket = folder / SOCKET_NAME
    redis = subprocess.Popen(server_command(folder, socket))
    port = free_port()
    variables = environment(
        PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
        REDIS_URL=f"unix://{socket}?db=0",
        DATABASE_URL=f"sqlite:///{folder / 'darkroom.sqlite3'}",
        MEDIA_URL=(folder / "media").as_uri(),
        DATA_DIR=str(folder / "data"),
        API_KEY=API_KEY,
        SESSION_KEY="A" * 43 + "=",
        HOST="127.0.0.1",
        PUBLIC_URL=f"http://127.0.0.1:{port}",
        LIVENESS_FILE=str(folder / "alive"),
        DRAIN_GRACE_S="1",
        WORKER_CONCURRENCY="1",
        LOG_FORMAT="json",
    )
    output = folder / "output"
    try:
        eventually(lambda: answers_ping(connect(f"unix://{socket}?db=0", retries=0)))
        subprocess.run([*RUNNER, "start", "release"], env=variables, check=True, capture_output=True, timeout=60)
        command = [*RUNNER, "start", "--port", str(port), "web", "worker", "background", "clock"]
        with output.open("wb") as out:
            runner = subprocess.Popen(command, env=variables, stdout=out, stderr=out)
        with Darkroom(f"http://127.0.0.1:{port}", API_KEY) as darkroom:
            eventually(lambda: runner.poll() is not None or is_ready(port), timeout_s=100)
            assert runner.poll() is None, output.read_text()
            picture = darkroom.generate("a lighthouse at dusk", inputs={"width": 256, "height": 256, "steps": 4})
        runner.send_signal(signal.SIGTERM)
        runner.wait(60)
    finally:
        redis.kill()
        redis.wait()

    assert picture.startswith(b"\x89PNG")
    assert (folder / "alive").exists()
    log = output.read_text()
    assert "Traceback" not in log
    assert '"level": "critical"' not in log


def is_ready(port: int) -> bool:
    """Whether every part works."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=TIMEOUT_S, trust_env=False).is_success
    except httpx.TransportError:
        return False
