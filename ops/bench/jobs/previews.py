"""The benchmark ``previews``: the time from a new preview on the page to a client that has it."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from ops.bench.report import Row
from ops.bench.tools.pages.clock_page import CLOCK_SITE, read_time_ms, run_clock_page
from ops.testbed.stack import Stack, run_stack
from ops.testbed.statistics import percentile

POLL_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Size:
    """The number of previews that the page shows."""

    previews: int


FULL = Size(previews=40)
SMOKE = Size(previews=6)


def measure(size: Size) -> Iterator[Row]:
    """One client uses long polls; the baseline polls ten times a second, as clients of the original API do."""
    with (
        run_clock_page(previews=size.previews) as page,
        run_stack("web", "worker", "clock", RECIPES_DIR=page.recipes_dir) as stack,
    ):
        waiting_ms, polling_ms = _measure_delays(stack)
    for percent, max_ms in ((50, 60.0), (95, None)):
        values = percentile(waiting_ms, percent), "ms", percentile(polling_ms, percent)
        yield Row(f"shown to received, p{percent}", *values, max_value=max_ms)
    yield Row("previews received", len(waiting_ms), "", len(polling_ms))


def _measure_delays(stack: Stack) -> tuple[list[float], list[float]]:
    waiting_ms: list[float] = []
    polling_ms: list[float] = []
    with stack.client() as client, stack.client() as polling_client:
        job = {"prompt": "what time is it", "site": CLOCK_SITE}
        job_id = client.post("/api/v1/jobs", json=job).json()["id"]
        polling = threading.Thread(
            target=_follow, args=(polling_client, job_id, polling_ms), kwargs={"long_poll": False}
        )
        polling.start()
        _follow(client, job_id, waiting_ms, long_poll=True)
        polling.join()
    return waiting_ms, polling_ms


def _follow(client: httpx.Client, job_id: str, delays_ms: list[float], *, long_poll: bool) -> None:
    """Record for each preview the time from being shown on the page to being known to this client."""
    modified, seq, status = 0, 0, ""
    while status not in ("COMPLETED", "FAILED"):
        params = {"wait": 30, "since": seq} if long_poll else {}
        job = client.get(f"/status/{job_id}", params=params).json()
        now_ms = time.time() * 1000
        status, seq = job["status"], job["seq"]
        if job["lastModifiedDate"] != modified:
            modified = job["lastModifiedDate"]
            preview = client.get(f"/{job_id}.jpg")
            if status == "PENDING" and preview.is_success:
                delays_ms.append(now_ms - read_time_ms(preview.content))
        if not long_poll:
            time.sleep(POLL_INTERVAL_S)
