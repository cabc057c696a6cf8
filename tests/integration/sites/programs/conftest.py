"""Fixtures for tests of recipes with the real pages of programs, each on a server that a test process starts."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from playwright.async_api import BrowserContext

from ops.infra.settings import ROOT
from ops.processes.stopping.parent_death import set_parent_death_signal
from ops.processes.web_command import free_port
from schemas.jobs.job import JobRequest
from schemas.sites.recipe import Recipe
from tests.conftest import TIMEOUT_S, eventually
from tests.integration.sites.conftest import AttemptResult, drive
from tests.support.programs.gradio_server import GRADIO_VERSIONS, GradioServer, run_gradio_server
from tests.support.shared_browser import shared_browser
from workers.sites.driver.generation import generation, page_errors, program_stop

T = TypeVar("T")

# Making the folders of the packages for the first time is included.
START_TIMEOUT_S = 110.0
COMFYUI_FRONTENDS = ("1.16.9", "1.27.10", "1.58.1")


@dataclass(frozen=True, slots=True)
class ProgramServer:
    """A server of the test programs at ``url``, which tests can look into and disturb."""

    url: str

    @property
    def log(self) -> list[dict[str, Any]]:
        """The server's own log since the last reset."""
        return list(self.get("test/log").json())

    def events(self) -> list[str]:
        """Return the names of the logged events."""
        return [line["event"] for line in self.log]

    def get(self, path: str) -> httpx.Response:
        """Send a GET request."""
        return httpx.get(f"{self.url}{path}", timeout=TIMEOUT_S, trust_env=False)

    def post(self, path: str, **body: Any) -> None:
        """Send a POST request."""
        httpx.post(f"{self.url}{path}", json=body, timeout=TIMEOUT_S, trust_env=False).raise_for_status()


@contextmanager
def run_server(module: str, log: Path, names: tuple[str, ...], ports: tuple[int, ...] = ()) -> Iterator[dict[str, str]]:
    """Run a module that serves each of ``names`` on a port of its own; yields their URLs."""
    ports_by_name = dict(zip(names, ports or [free_port() for _ in names], strict=True))
    pairs = [f"{name}={port}" for name, port in ports_by_name.items()]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *pairs],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=out,
            preexec_fn=set_parent_death_signal(signal.SIGKILL),  # noqa: PLW1509 - tests start servers in one thread
        )
    urls = {name: f"http://127.0.0.1:{port}/" for name, port in ports_by_name.items()}
    try:
        eventually(lambda: process.poll() is not None or all(map(_answers, urls.values())), timeout_s=START_TIMEOUT_S)
        assert process.poll() is None, log.read_text()
        yield urls
    finally:
        process.kill()
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=TIMEOUT_S, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def comfyui_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run ComfyUI with each frontend; yields the URLs by version of the frontend."""
    log = tmp_path_factory.mktemp("comfyui") / "log"
    with run_server("tests.support.programs.comfyui", log, COMFYUI_FRONTENDS) as urls:
        yield urls


@pytest.fixture
def comfyui(comfyui_urls: dict[str, str]) -> Callable[[str], ProgramServer]:
    """Return the server of a frontend, as new: no jobs, no files, and the page was never visited."""

    def get_server(frontend: str = COMFYUI_FRONTENDS[-1]) -> ProgramServer:
        server = ProgramServer(comfyui_urls[frontend])
        server.post("test/reset")
        return server

    return get_server


class RealBrowser:
    """Runs attempts, each in a new context."""

    def run(self, work: Callable[[BrowserContext], Awaitable[T]]) -> T:
        """Run ``work`` with a new context and a timeout."""
        return shared_browser.run(work, timeout_s=TIMEOUT_S)

    def attempt(self, recipe: Recipe, prompt: str, *, lora: str = "", **inputs: object) -> AttemptResult:
        """Run one attempt, with inputs as the API receives them."""
        request = JobRequest(recipe.name, prompt, lora or None, recipe.validate_inputs(inputs))
        return self.run(lambda context: drive(context, recipe, request))


@pytest.fixture(scope="session")
def browser() -> RealBrowser:
    """The browser of all tests."""
    return RealBrowser()


@pytest.fixture(scope="session")
def gradio_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], GradioServer]]:
    """Return the programs of a version of Gradio, which are started when they are first asked for."""
    with ExitStack() as running:

        @cache
        def start(version: str) -> GradioServer:
            return running.enter_context(run_gradio_server(version, tmp_path_factory.mktemp("gradio")))

        yield start


@pytest.fixture(scope="module", params=GRADIO_VERSIONS)
def gradio(request: pytest.FixtureRequest, gradio_servers: Callable[[str], GradioServer]) -> GradioServer:
    """The programs of each version of Gradio, one after another."""
    return gradio_servers(request.param)


def picture_hashes(result: AttemptResult) -> list[str]:
    """Return the SHA-256 of each picture of an attempt."""
    return [hashlib.sha256(image.data).hexdigest() for image in result.images]


@pytest.fixture(autouse=True)
def patient_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give programs and pages of a busy machine more time to stop a job."""
    monkeypatch.setattr(program_stop, "STOP_TIMEOUT_S", 15.0)
    monkeypatch.setattr(program_stop, "TURN_TIMEOUT_S", 5.0)


@pytest.fixture
def short_reconnection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give pages that have lost their connection three seconds to come back."""
    for module in (generation, page_errors):
        monkeypatch.setattr(module, "RECONNECT_WAIT_S", 3.0)
