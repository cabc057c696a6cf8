"""Owns the bench ``previews``: from a new preview on the page to a client that has heard of it."""

import io
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from PIL import Image

from ops.bench.report import Row, percentile
from ops.bench.stack import Stack, stack

BITS, SIDE, COLUMNS = 48, 40, 8
POLL_INTERVAL_S = 0.1
RECIPE = """
title = "Clock"
description = "Shows the time in its previews."
url = "{url}"
consent = {{ownership = "own"}}
limits = {{concurrency = 0, min_interval_s = 0, daily = 0}}
steps = [
  {{type = "navigate", url = "{{{{url}}}}"}},
  {{type = "change", selectors = ["#prompt"], value = "{{{{prompt}}}}"}},
  {{type = "click", selectors = ["#go"], submits = true}},
]
observe = {{preview = {{selectors = ["#preview"]}}, done = {{selectors = ["#result"]}}}}
"""


def measure() -> Iterator[Row]:
    """One client waits for changes; beside it another polls ten times a second, as clients of the original do."""
    with tempfile.TemporaryDirectory() as recipes, _page() as url:
        (Path(recipes) / "clock.toml").write_text(RECIPE.format(url=url))
        with stack("web", "worker", "clock", RECIPES_DIR=recipes, WORKER_CONCURRENCY="1") as darkroom:
            waited, polled = _watch(darkroom)
    for percent, most in ((50, 60.0), (95, None)):
        yield Row(
            f"shown to known, p{percent}", percentile(waited, percent), "ms", percentile(polled, percent), most=most
        )
    yield Row("previews heard of", len(waited), "", len(polled))


@contextmanager
def _page() -> Iterator[str]:
    handler = partial(_Quiet, directory=str(Path(__file__).parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/previews.html"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _watch(darkroom: Stack) -> tuple[list[float], list[float]]:
    waited: list[float] = []
    polled: list[float] = []
    with darkroom.client() as client, darkroom.client() as other:
        ident = client.post("/api/v1/jobs", json={"prompt": "what time is it", "site": "clock"}).json()["id"]
        polling = threading.Thread(target=_follow, args=(other, ident, polled), kwargs={"wait": False})
        polling.start()
        _follow(client, ident, waited, wait=True)
        polling.join()
    return waited, polled


def _follow(client: httpx.Client, ident: str, delays_ms: list[float], *, wait: bool) -> None:
    """Note for each preview how long after being shown on the page this client knew of it."""
    modified, seq, status = 0, 0, ""
    while status not in ("COMPLETED", "FAILED"):
        params = {"wait": 30, "since": seq} if wait else {}
        shown = client.get(f"/status/{ident}", params=params).json()
        now_ms = time.time() * 1000
        status, seq = shown["status"], shown["seq"]
        if shown["lastModifiedDate"] != modified:
            modified = shown["lastModifiedDate"]
            picture = client.get(f"/{ident}.jpg")
            if status == "PENDING" and picture.is_success:
                delays_ms.append(now_ms - _time_shown(picture.content))
        if not wait:
            time.sleep(POLL_INTERVAL_S)


def _time_shown(jpeg: bytes) -> int:
    with Image.open(io.BytesIO(jpeg)) as image:
        grey = image.convert("L")
        bits = [
            grey.getpixel((SIDE * (bit % COLUMNS) + SIDE // 2, SIDE * (bit // COLUMNS) + SIDE // 2))
            for bit in range(BITS)
        ]
    return int("".join("1" if isinstance(value, int) and value > 127 else "0" for value in bits), 2)
