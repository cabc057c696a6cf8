"""The bench ``sites``: one job of each shipped recipe over HTTP, against a plain script that drives the same page.

The pages are the bundled one and the test programs, so this needs the development lock.
"""

import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from ops.bench.jobs.pipeline import await_end
from ops.bench.report import Row
from ops.bench.tools.baseline_process import BaselineProcess, run_baseline
from ops.infra.settings import ROOT
from ops.processes.parent_death import set_parent_death_signal
from ops.processes.web_command import free_port
from ops.testbed.stack import Stack, run_stack, wait_until

PROGRAMS = ("gradio", "automatic1111", "fooocus", "comfyui", "weights")
SITES = ("studio", *PROGRAMS)
ROUNDS = 5
START_TIMEOUT_S = 90.0
MAX_RATIO = 1.2
# What the test page takes for a valid login.
SESSION_COOKIE = "a-valid-session"


def measure() -> Iterator[Row]:
    """Rounds of the script and of ours take turns; medians count."""
    with _test_programs() as address:
        urls: dict[str, Any] = {f"SITE_{site.upper()}_URL": f"{address}/{site}/" for site in PROGRAMS}
        with (
            run_stack("web", "worker", "clock", WORKER_CONCURRENCY="2", **urls) as darkroom,
            run_baseline("sites", address, SESSION_COOKIE) as plain,
        ):
            _sign_in(darkroom)
            for site in SITES:
                yield _row(darkroom, plain, site)


def _row(darkroom: Stack, plain: BaselineProcess, site: str) -> Row:
    ours, baseline = [], []
    for _ in range(ROUNDS + 1):
        plain.send(site)
        baseline.append(plain.receive()["seconds"])
        ours.append(_seconds(darkroom, site))
    # The first of each has warmed everything up.
    figures = statistics.median(ours[1:]), statistics.median(baseline[1:])
    return Row(site, figures[0], "s", figures[1], max_value=MAX_RATIO, judge_ratio=True)


def _seconds(darkroom: Stack, site: str) -> float:
    with darkroom.client() as client:
        began = time.perf_counter()
        job = client.post("/api/v1/jobs", json={"prompt": "a lighthouse at dusk", "site": site}).json()
        await_end(client, job)
        return time.perf_counter() - began


def _sign_in(darkroom: Stack) -> None:
    recipe = darkroom.stores.recipes.get("weights")
    darkroom.stores.accepted_terms.accept(recipe)
    cookie = {"name": "session", "value": SESSION_COOKIE, "domain": "127.0.0.1", "path": "/", "expires": -1}
    state = {"cookies": [{**cookie, "httpOnly": False, "secure": False, "sameSite": "Lax"}], "origins": []}
    darkroom.stores.credentials.store("weights", state)


@contextmanager
def _test_programs() -> Iterator[str]:
    """The test programs, running; their address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix=f"dr-{secrets.token_hex(2)}") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.programs.serve", str(port)],
            cwd=ROOT,
            env={**os.environ, "GRADIO_TEMP_DIR": folder},
            stdout=subprocess.DEVNULL,
            preexec_fn=set_parent_death_signal(signal.SIGKILL),  # noqa: PLW1509 - this process has one thread
        )
        try:
            wait_until(lambda: _answers(address), START_TIMEOUT_S)
            yield address
        finally:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/comfyui/", trust_env=False).is_success
    except httpx.HTTPError:
        return False
