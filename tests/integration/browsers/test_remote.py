"""Remote browsers: a real Playwright server and a real Chromium with remote debugging."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ops.infra.browser_install import find_browser
from ops.infra.settings import Settings
from ops.processes.web_command import free_port
from ops.testbed.page_server import serve_in_thread
from tests.conftest import answers_http, eventually
from tests.integration.conftest import start_deployment
from workers.browsers.launchers import RemoteBrowser
from workers.browsers.pool import BrowserPool, BrowserPoolConfig

START_TIMEOUT_S = 60.0
Endpoint = Callable[[int], AbstractContextManager[str]]


def _program() -> str:
    browser = find_browser(os.environ.get("BROWSER"))
    assert browser
    return str(browser.path)


@contextmanager
def playwright_server(port: int) -> Iterator[str]:
    """Run a Playwright server with a browser; yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps({"executablePath": _program(), "port": port, "wsPath": "/browser"}))
        command = [
            sys.executable,
            "-m",
            "playwright",
            "launch-server",
            "--browser",
            "chromium",
            "--config",
            str(config),
        ]
        with started(command, port):
            yield f"ws://127.0.0.1:{port}/browser"


@contextmanager
def debugged_chromium(port: int) -> Iterator[str]:
    """Run a Chromium with remote debugging; yields its address."""
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", f"--remote-debugging-port={port}", f"--user-data-dir={profile}"]
        with started([_program(), *options, "about:blank"], port):
            yield f"cdp+http://127.0.0.1:{port}"


@contextmanager
def started(command: list[str], port: int) -> Iterator[None]:
    """Run a process until it listens on ``port``; kill its process group at the end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        eventually(lambda: answers_http(f"http://127.0.0.1:{port}/json/version"), timeout_s=START_TIMEOUT_S)
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait()


@pytest.mark.parametrize("endpoint", [playwright_server, debugged_chromium])
def test_jobs_run_in_a_remote_browser(base_settings: Settings, endpoint: Endpoint) -> None:
    """While the endpoint is down, health reports it and jobs stay queued."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="dr-") as folder, ExitStack() as remote:
        url = remote.enter_context(endpoint(port))
        with start_deployment(base_settings, Path(folder), browser_endpoint=url) as deployment:
            app = deployment.app
            job = app.wait_for_end(app.submit("a quiet lake at dawn", lora="Ukiyo-e"))
            assert job["status"] == "COMPLETED", job

            remote.close()
            eventually(lambda: app.get("/health").status_code == 503)
            workers = eventually(lambda: _with_problem(app.get("/health").json["workers"]))
            assert "127.0.0.1" in workers[0]["problem"]
            queued = app.submit()
            with endpoint(port):
                assert app.wait_for_end(queued)["status"] == "COMPLETED"


def _with_problem(workers: dict[str, object]) -> list[dict[str, str]]:
    listed = workers["workers"]
    assert isinstance(listed, list)
    return [worker for worker in listed if worker["problem"]]


def test_a_pool_starts_before_its_endpoint_is_available(base_settings: Settings) -> None:
    """It reports the problem and becomes ready once the endpoint is up."""
    port = free_port()

    async def run() -> None:
        source = RemoteBrowser(f"cdp+http://127.0.0.1:{port}")
        pool = BrowserPool(BrowserPoolConfig.from_settings(base_settings, source, slots=1))
        await pool.start()
        try:
            assert not pool.is_ready
            assert "127.0.0.1" in pool.problem
            with debugged_chromium(port):
                await pool.ensure_browser()
                assert pool.is_ready
        finally:
            await pool.stop()

    asyncio.run(run())


class _Pressure(BaseHTTPRequestHandler):
    """The ``/pressure`` route of browserless."""

    def do_GET(self) -> None:
        """Send the pressure if the token is right."""
        is_authorized = self.path == "/pressure?token=abc"
        answer = {"pressure": {"maxConcurrent": 3, "running": 1}} if is_authorized else {"error": "no"}
        body = json.dumps(answer).encode()
        self.send_response(200 if is_authorized else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Suppress request logs."""


def test_capacity_is_read_from_the_endpoint() -> None:
    """It is None where the endpoint does not report it or cannot be reached."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pressure)
    with serve_in_thread(server):
        address = f"ws://127.0.0.1:{server.server_port}"
        assert RemoteBrowser(f"cdp+{address}?token=abc").read_capacity() == 3
        assert RemoteBrowser(f"{address}/playwright").read_capacity() is None
    assert RemoteBrowser("ws://127.0.0.1:9/").read_capacity() is None


def test_an_endpoint_is_logged_without_secrets() -> None:
    """Neither password nor token appear in ``str`` and ``repr``."""
    assert str(RemoteBrowser("wss://me:secret@browsers.example/chromium?token=abc")) == "wss://browsers.example"
    assert "abc" not in repr(RemoteBrowser("wss://browsers.example/?token=abc"))
