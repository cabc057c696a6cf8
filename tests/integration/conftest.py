"""The app of one test, and a whole deployment (worker, background, clock, Redis) for tests that need images."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from api import create_app
from ops.infra.redis import connect
from ops.infra.settings import ROOT, Settings, next_database
from ops.processes.embedded_redis import SOCKET_NAME, server_command
from ops.processes.web_command import free_port
from ops.testbed.page_server import serve_in_thread
from schemas.errors import SiteRefused
from schemas.jobs.job import GeneratedImage, Job, Progress
from stores import Stores, open_stores
from tests.conftest import API_KEY, TIMEOUT_S, answers_http, answers_ping, create_tables, eventually
from tests.support.described_client import DescribedClient
from tests.support.shared_browser import shared_browser


@pytest.fixture(scope="session", autouse=True)
def _stop_shared_browser() -> Iterator[None]:
    """Stop the browser that tests have shared."""
    yield
    shared_browser.stop()


IMAGE = GeneratedImage(b"png bytes", "image/png", 640, 480)
QUICK_INPUTS = {"width": 256, "height": 256, "steps": 4}


@dataclass(frozen=True)
class AppClient:
    """The app's test client with the owner's key, and the stores behind it."""

    client: FlaskClient
    stores: Stores

    def get(self, path: str, **kwargs: Any) -> Any:
        """GET with the owner's key."""
        return self.client.get(path, headers={"x-api-key": API_KEY, **kwargs.pop("headers", {})}, **kwargs)

    def post(self, path: str, **kwargs: Any) -> Any:
        """POST with the owner's key."""
        return self.client.post(path, headers={"x-api-key": API_KEY, **kwargs.pop("headers", {})}, **kwargs)

    def delete(self, path: str) -> Any:
        """DELETE with the owner's key."""
        return self.client.delete(path, headers={"x-api-key": API_KEY})

    def submit(self, prompt: str = "a quiet lake at dawn", lora: str | None = None, **inputs: Any) -> str:
        """Submit a job that is quick; return its id."""
        body = {"prompt": prompt, "inputs": QUICK_INPUTS | inputs} | ({"lora": lora} if lora else {})
        response = self.post("/api/v1/jobs", json=body)
        assert response.status_code == 202, response.get_data(as_text=True)
        return str(response.json["id"])

    def get_job(self, job_id: str) -> dict[str, Any]:
        """The job in the native API."""
        job: dict[str, Any] = self.get(f"/api/v1/jobs/{job_id}").json
        return job

    def wait_for_end(self, job_id: str) -> dict[str, Any]:
        """Wait until the job has ended and return it."""
        deadline = time.monotonic() + TIMEOUT_S
        job = self.get_job(job_id)
        while job["status"] not in ("COMPLETED", "FAILED"):
            assert time.monotonic() < deadline, f"{job} has not ended within {TIMEOUT_S:g} s"
            job = self.get(f"/api/v1/jobs/{job_id}", query_string={"wait": 5, "since": job["seq"]}).json
        return job


def open_app(settings: Settings) -> AppClient:
    """Migrate the database and open an app."""
    create_tables(settings.database_url)
    stores = open_stores(settings)
    return AppClient(described_client(create_app(stores)), stores)


def described_client(application: Flask) -> FlaskClient:
    """Return a client that compares every response with the API's description."""
    application.test_client_class = DescribedClient
    return application.test_client()


def close_app(app: AppClient) -> None:
    """Close the app's connections."""
    app.stores.close()


@pytest.fixture
def app(settings: Settings) -> Iterator[AppClient]:
    """An app without workers, on an empty Redis."""
    client = open_app(settings)
    yield client
    close_app(client)


class FakeWorker:
    """A job, and the calls that a worker makes for it."""

    def __init__(self, app: AppClient) -> None:
        self._attempts = app.stores.attempts
        self.job_id = app.submit()
        self.job: Job

    def start(self) -> None:
        """The page has accepted the prompt."""
        job = self._attempts.claim("w1")
        assert job
        self.job = job
        self._attempts.mark_accepted(job)

    def report_progress(self, step: int) -> None:
        """The page has reached a step of 20."""
        self._attempts.record_progress(self.job, Progress(5.0 * step, step, 20))

    def report_preview(self) -> None:
        """The page shows a preview."""
        self._attempts.record_preview(self.job, b"jpeg bytes")

    def complete(self) -> None:
        """The image is there."""
        keys = self._attempts.store_images(self.job, [IMAGE], b"jpeg bytes")
        self._attempts.complete(self.job, [IMAGE], keys)

    def fail(self) -> None:
        """The page has refused the prompt."""
        self._attempts.fail(self.job, SiteRefused("Not here."))


@pytest.fixture
def worker(app: AppClient) -> FakeWorker:
    """A new job and its fake worker."""
    return FakeWorker(app)


@pytest.fixture
def app_url(app: AppClient) -> Iterator[str]:
    """The URL of the app under werkzeug, for real clients."""
    with serve_app(app.client.application) as url:
        yield url


@contextmanager
def serve_app(application: Flask) -> Iterator[str]:
    """Serve an app under werkzeug; yield its URL."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    with serve_in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"


@dataclass(frozen=True)
class Deployment:
    """An app, and the processes behind its queue, which can be killed."""

    app: AppClient
    processes: dict[str, "subprocess.Popen[bytes]"]
    environment: dict[str, str]

    def start(self, role: str) -> None:
        """Start a process behind the queue."""
        command = [sys.executable, "-m", "workers.main", role]
        log = Path(self.environment["DATA_DIR"]) / f"{role}.log"
        with log.open("ab") as out:
            self.processes[role] = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=out, stderr=out)

    def log(self, role: str) -> str:
        """What a process has logged; not the line that it is writing."""
        text = (Path(self.environment["DATA_DIR"]) / f"{role}.log").read_text()
        return text[: text.rfind("\n") + 1]


@contextmanager
def start_deployment(base: Settings, folder: Path, **changes: Any) -> Iterator[Deployment]:
    """Start a deployment in ``folder`` and wait for its worker; ``changes`` are settings."""
    socket = folder / SOCKET_NAME
    redis = subprocess.Popen(server_command(folder, socket))
    url = f"unix://{socket}?db=0"
    client = connect(url, retries=0)
    eventually(lambda: answers_ping(client))
    client.close()
    urls = {
        "redis_url": url,
        "broker_url": next_database(url),
        "database_url": f"sqlite:///{folder / 'db.sqlite3'}",
        "media_url": (folder / "media").as_uri(),
    }
    defaults = {"data_dir": folder, "api_key": API_KEY, "worker_concurrency": 2, "drain_grace_s": 1}
    settings = replace(base, **{**defaults, **urls, **changes})
    app = open_app(settings)
    running = Deployment(app, {}, process_environment(settings, changes))
    try:
        for role in ("worker", "background", "clock"):
            running.start(role)
        eventually(lambda: any(worker.ready for worker in app.stores.workers.list_alive()), timeout_s=2 * TIMEOUT_S)
        yield running
    finally:
        for process in running.processes.values():
            process.terminate()
        for process in running.processes.values():
            process.wait(60)
        close_app(app)
        redis.kill()
        redis.wait()


def process_environment(settings: Settings, changes: dict[str, Any]) -> dict[str, str]:
    """The environment of a process with these settings. ``changes`` are settings that are passed on by name."""
    variables = {
        "DATA_DIR": str(settings.data_dir),
        "REDIS_URL": settings.redis_url,
        "DATABASE_URL": settings.database_url,
        "API_KEY": API_KEY,
        "WORKER_CONCURRENCY": str(settings.worker_concurrency),
        "DRAIN_GRACE_S": str(settings.drain_grace_s),
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "json",
        **{name.upper(): str(value) for name, value in changes.items() if name != "site_urls"},
        **{f"SITE_{name.upper()}_URL": url for name, url in changes.get("site_urls", {}).items()},
    }
    return {**os.environ, **variables}


@pytest.fixture(scope="session")
def deployment(base_settings: Settings) -> Iterator[Deployment]:
    """One deployment for all tests that only use it."""
    with tempfile.TemporaryDirectory(prefix="dr-") as folder, start_deployment(base_settings, Path(folder)) as running:
        yield running


@pytest.fixture
def web_process(app: AppClient, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    """The app under gunicorn: its URL, its process and its log."""
    port, log = free_port(), tmp_path / "web.log"
    environment = process_environment(app.stores.settings, {}) | {"PORT": str(port), "LOG_LEVEL": "debug"}
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "ops", "web"], env=environment, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: answers_http(f"{url}/health"))
        yield url, process, log
    finally:
        process.terminate()
        process.wait(60)
