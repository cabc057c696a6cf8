"""The benchmark ``console``: the Make section in a real browser; the baseline of its first view is a page of Gradio."""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page

from ops.bench.report import Row
from ops.bench.tools.console_browser import READY, FirstView, measure_first_view, measure_tab, open_browser, open_page
from ops.bench.tools.job_driver import claim
from ops.bench.tools.model_grid import measure_grid
from ops.processes.web_command import free_port
from ops.testbed.stack import Stack, run_stack, wait_until

MAX_KB, MAX_READY_MS, MAX_PREVIEW_MS, MAX_TAB_PERCENT = 120.0, 500.0, 60.0, 5.0
PREVIEW_TIMEOUT_S = 20.0
GRADIO = """import sys, gradio
gradio.Interface(lambda prompt: None, "text", "image").launch(server_port=int(sys.argv[1]), quiet=True)
"""
# Records when each preview has been drawn, in Unix milliseconds, by its address.
RECORD_PREVIEWS = """() => {
  window.drawn = {};
  new MutationObserver(() => {
    const image = document.querySelector("#frame img.is-preview");
    if (!image) return;
    const url = image.getAttribute("src");
    requestAnimationFrame(() => { window.drawn[url] ??= performance.timeOrigin + performance.now(); });
  }).observe(document.getElementById("frame"), { childList: true });
}"""


@dataclass(frozen=True, slots=True)
class Size:
    """First views, previews, jobs on the board, how long the tab is watched, and models and frames of the grid."""

    views: int
    previews: int
    jobs: int
    idle_s: float
    models: int
    frames: int


FULL = Size(views=5, previews=40, jobs=200, idle_s=15.0, models=50_000, frames=1200)
SMOKE = Size(views=1, previews=3, jobs=10, idle_s=1.0, models=300, frames=60)


def measure(size: Size) -> Iterator[Row]:
    """The first view after the sign-in, previews, a board on which nothing changes, and the grid of models."""
    with run_stack("web") as stack, open_browser() as browser:
        ours = _median_view(browser, stack, size.views)
        peer = _measure_gradio(browser, size.views)
        yield Row("first view", ours.bytes / 1000, "kB", peer.bytes / 1000 if peer else None, max_value=MAX_KB)
        yield Row("requests of the first view", ours.requests, "", peer.requests if peer else None)
        yield Row("until it can be used", ours.ready_ms, "ms", peer.ready_ms if peer else None, max_value=MAX_READY_MS)
        delays = _measure_previews(browser, stack, size.previews)
        yield Row("preview on the screen, median", statistics.median(delays), "ms", max_value=MAX_PREVIEW_MS)
        yield Row("preview on the screen, largest", max(delays), "ms")
        share = _measure_board(browser, stack, size)
        yield Row(f"tab with {size.jobs} waiting jobs", share, "% of a core", max_value=MAX_TAB_PERCENT)
    with open_browser() as browser:
        yield from measure_grid(browser, size.models, size.frames)


def _median_view(browser: Browser, stack: Stack, views: int) -> FirstView:
    found = []
    for _ in range(views):
        page = open_page(browser, stack)
        found.append(measure_first_view(page, f"{stack.settings.public_url}/"))
        page.context.close()
    return sorted(found, key=lambda view: view.ready_ms)[len(found) // 2]


def _measure_gradio(browser: Browser, views: int) -> FirstView | None:
    """Return the first view of the smallest page of Gradio with a prompt and a picture; None if it is not installed."""
    if find_spec("gradio") is None:
        return None
    port = free_port()
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", GRADIO, str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    try:
        wait_until(lambda: _answers(url))
        found = []
        for _ in range(views):
            context = browser.new_context()
            found.append(measure_first_view(context.new_page(), url, ready="textarea"))
            context.close()
        return sorted(found, key=lambda view: view.ready_ms)[len(found) // 2]
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=2, trust_env=False).is_success
    return False


def _measure_previews(browser: Browser, stack: Stack, count: int) -> list[float]:
    """Return for each preview the milliseconds from its storage to the frame that shows it."""
    with stack.client() as http:
        job_id = http.post("/api/v1/jobs", json={"prompt": "watched in the console"}).json()["id"]
    job = claim(stack, job_id)
    page = _open_section(browser, stack, f"?job={job_id}")
    page.evaluate(RECORD_PREVIEWS)
    delays = []
    for number in range(count):
        preview = _draw_preview(number)
        began_ms = 1000 * time.time()
        stack.stores.attempts.record_preview(job, preview)
        delays.append(_await_drawing(page, number + 1) - began_ms)
        # The pace at which previews come; the worker reports at most four a second.
        page.wait_for_timeout(250)
    page.context.close()
    return delays


def _await_drawing(page: Page, count: int) -> float:
    """Return when the last of ``count`` previews was drawn, in Unix milliseconds."""
    # ``wait_for_function`` would need 'unsafe-eval' in the page's policy.
    wait_until(lambda: bool(page.evaluate(f"Object.keys(window.drawn).length >= {count}")), PREVIEW_TIMEOUT_S)
    return float(page.evaluate("Math.max(...Object.values(window.drawn))"))


def _measure_board(browser: Browser, stack: Stack, size: Size) -> float:
    with stack.client() as http:
        for number in range(size.jobs):
            http.post("/api/v1/jobs", json={"prompt": f"waiting number {number}"}).raise_for_status()
    page = _open_section(browser, stack, "")
    page.wait_for_timeout(1000)
    return measure_tab(page, size.idle_s)


def _open_section(browser: Browser, stack: Stack, query: str) -> Page:
    page = open_page(browser, stack)
    page.goto(f"{stack.settings.public_url}/console/make{query}")
    page.wait_for_selector(READY, state="attached")
    # Until the stream is open; the page polls nothing meanwhile.
    page.wait_for_timeout(500)
    return page


def _draw_preview(number: int) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((256, 256), 20 + number).save(out, "JPEG", quality=80)
    return out.getvalue()
