"""Runs a page of the tests on one of the real versions of Gradio, in a process of its own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from ops.infra.settings import ROOT
from ops.processes.web_command import free_port
from tests.conftest import TIMEOUT_S, eventually
from tests.support.programs.environments import create_environment

START_TIMEOUT_S = 90.0


@contextmanager
def run_gradio_module(version: str, module: str, folder: Path, *args: str) -> Iterator[str]:
    """Run ``module PORT ARGS`` with Gradio of this version, in ``folder``; yields the page's address."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_TEMP_DIR": str(folder)}
    command = [create_environment(f"gradio-{version}"), "-m", module, str(port), *args]
    with (folder / "log").open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
    address = f"http://127.0.0.1:{port}/"
    try:
        eventually(lambda: process.poll() is not None or _answers(address), timeout_s=START_TIMEOUT_S)
        assert process.poll() is None, (folder / "log").read_text()
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}config", timeout=TIMEOUT_S, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
