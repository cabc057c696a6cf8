"""Fixtures for tests of recipes with the real pages of programs, each on a server that a test process starts."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.infra.settings import ROOT
from tests.conftest import eventually, free_port

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
        return httpx.get(f"{self.url}{path}", trust_env=False)

    def post(self, path: str, **body: Any) -> None:
        """Send a POST request."""
        httpx.post(f"{self.url}{path}", json=body, trust_env=False).raise_for_status()


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
        )
    urls = {name: f"http://127.0.0.1:{port}/" for name, port in ports_by_name.items()}
    try:
        eventually(lambda: process.poll() is not None or all(map(_answers, urls.values())), timeout_s=START_TIMEOUT_S)
        assert process.poll() is None, log.read_text()
        yield urls
    finally:
        process.kill()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
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
