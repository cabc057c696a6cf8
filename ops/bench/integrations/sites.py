"""The benchmark ``sites``: one job of each shipped recipe over HTTP, compared with a plain script on the same page.

The pages are the bundled studio, the test programs, and the real pages of ``real_pages``; they need the development
lock.
"""

import itertools
import json
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ops.bench.integrations.real_pages import NEWEST_COMFYUI, NEWEST_GRADIO, REAL_PAGES, RealPage, RealPages
from ops.bench.jobs.pipeline import await_end
from ops.bench.report import Row
from ops.bench.tools.baseline_process import BaselineProcess, run_baseline
from ops.infra.settings import ROOT
from ops.processes.stopping.parent_death import set_parent_death_signal
from ops.processes.web_command import free_port
from ops.testbed.stack import Stack, run_stack, wait_until

PROGRAMS = ("weights",)
SITES = ("studio", *PROGRAMS)
START_TIMEOUT_S = 90.0
MAX_RATIO = 1.15
# The cookie that the test page of "weights" accepts as a valid login.
SESSION_COOKIE = "a-valid-session"


@dataclass(frozen=True, slots=True)
class Size:
    """Rounds for each site: some to warm up, and some whose median counts."""

    warm_up_rounds: int
    rounds: int
    pages: tuple[RealPage, ...]


FULL = Size(warm_up_rounds=1, rounds=7, pages=REAL_PAGES)
# One page that tells its results by WebSocket, and one that shows them.
SMOKE = Size(warm_up_rounds=0, rounds=1, pages=(NEWEST_COMFYUI, NEWEST_GRADIO))


def measure(size: Size) -> Iterator[Row]:
    """Alternate rounds of the script and of Darkroom."""
    with tempfile.TemporaryDirectory(prefix="dr-") as recipes, _test_programs() as url:
        pages = RealPages(size.pages, Path(recipes))
        site_urls = {site: f"{url}/{site}/" for site in PROGRAMS}
        settings: dict[str, Any] = {f"SITE_{site.upper()}_URL": site_url for site, site_url in site_urls.items()}
        with (
            run_stack("web", "worker", "clock", WORKER_CONCURRENCY="2", RECIPES_DIR=recipes, **settings) as stack,
            run_baseline("sites", json.dumps(site_urls | pages.urls), SESSION_COOKIE) as baseline,
        ):
            _sign_in(stack)
            for site in itertools.chain(SITES, pages.serve_each()):
                yield _measure_site(stack, baseline, site, size)


def _measure_site(stack: Stack, baseline: BaselineProcess, site: str, size: Size) -> Row:
    ours, script = [], []
    for _ in range(size.warm_up_rounds + size.rounds):
        baseline.send(site)
        script.append(baseline.receive()["seconds"])
        ours.append(_run_job_s(stack, site))
    values = (statistics.median(seconds[size.warm_up_rounds :]) for seconds in (ours, script))
    return Row(site, next(values), "s", next(values), max_value=MAX_RATIO, judge_ratio=True)


def _run_job_s(stack: Stack, site: str) -> float:
    with stack.client() as client:
        started_at = time.perf_counter()
        job = client.post("/api/v1/jobs", json={"prompt": "a lighthouse at dusk", "site": site}).json()
        await_end(client, job)
        return time.perf_counter() - started_at


def _sign_in(stack: Stack) -> None:
    recipe = stack.stores.recipes.get("weights")
    stack.stores.accepted_terms.accept(recipe)
    cookie = {"name": "session", "value": SESSION_COOKIE, "domain": "127.0.0.1", "path": "/", "expires": -1}
    state = {"cookies": [{**cookie, "httpOnly": False, "secure": False, "sameSite": "Lax"}], "origins": []}
    stack.stores.credentials.store("weights", state)


@contextmanager
def _test_programs() -> Iterator[str]:
    """Run the test programs and yield their URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix=f"dr-{secrets.token_hex(2)}") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.programs.serve", str(port)],
            cwd=ROOT,
            env={**os.environ, "GRADIO_TEMP_DIR": folder},
            stdout=subprocess.DEVNULL,
            preexec_fn=set_parent_death_signal(signal.SIGKILL),  # noqa: PLW1509 - this process has one thread
        )
        try:
            wait_until(lambda: _is_listening(url), START_TIMEOUT_S)
            yield url
        finally:
            process.kill()
            process.wait()


def _is_listening(url: str) -> bool:
    try:
        return httpx.get(f"{url}/weights/", trust_env=False).is_success
    except httpx.HTTPError:
        return False
