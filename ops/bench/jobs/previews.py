"""The bench ``previews``: from a new preview on the page to a client that has heard of it."""

import threading
import time
from collections.abc import Iterator

import httpx

from ops.bench.report import Row
from ops.bench.tools.clock_page import CLOCK_SITE, read_time_ms, run_clock_page
from ops.testbed.stack import Stack, run_stack
from ops.testbed.statistics import percentile

POLL_INTERVAL_S = 0.1


def measure() -> Iterator[Row]:
    """One client waits for changes; beside it another polls ten times a second, as clients of the original do."""
    with run_clock_page() as page, run_stack("web", "worker", "clock", RECIPES_DIR=page.recipes_dir) as darkroom:
        waited, polled = _measure_delays(darkroom)
    for percent, most in ((50, 60.0), (95, None)):
        yield Row(
            f"shown to known, p{percent}",
            percentile(waited, percent),
            "ms",
            percentile(polled, percent),
            max_value=most,
        )
    yield Row("previews heard of", len(waited), "", len(polled))


def _measure_delays(darkroom: Stack) -> tuple[list[float], list[float]]:
    waited: list[float] = []
    polled: list[float] = []
    with darkroom.client() as client, darkroom.client() as other:
        ident = client.post("/api/v1/jobs", json={"prompt": "what time is it", "site": CLOCK_SITE}).json()["id"]
        polling = threading.Thread(target=_follow, args=(other, ident, polled), kwargs={"wait": False})
        polling.start()
        _follow(client, ident, waited, wait=True)
        polling.join()
    return waited, polled


def _follow(client: httpx.Client, job_id: str, delays_ms: list[float], *, wait: bool) -> None:
    """Note for each preview how long after being shown on the page this client knew of it."""
    modified, seq, status = 0, 0, ""
    while status not in ("COMPLETED", "FAILED"):
        params = {"wait": 30, "since": seq} if wait else {}
        shown = client.get(f"/status/{job_id}", params=params).json()
        now_ms = time.time() * 1000
        status, seq = shown["status"], shown["seq"]
        if shown["lastModifiedDate"] != modified:
            modified = shown["lastModifiedDate"]
            picture = client.get(f"/{job_id}.jpg")
            if status == "PENDING" and picture.is_success:
                delays_ms.append(now_ms - read_time_ms(picture.content))
        if not wait:
            time.sleep(POLL_INTERVAL_S)
