"""The bench ``webhooks``: deliveries a second beside a plain loop of posts, and what hangs beside."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from ops.bench.report import Row
from ops.bench.tools.webhook_receiver import HANGING_PATH
from ops.infra.settings import ROOT
from ops.processes.web_command import free_port
from ops.testbed.stack import Stack, run_stack, wait_until
from ops.testbed.statistics import percentile
from schemas.accounts.caller import OWNER
from stores.redis.keys import OUTBOX

DELIVERIES = 3_000
CONCURRENT_DELIVERIES = 1_000
TIMEOUT_S = 120


def measure() -> Iterator[Row]:
    """Both sides send the same bodies to the same receiver, one after the other."""
    with (
        run_stack("courier", EGRESS_ALLOW="127.0.0.0/8") as darkroom,
        _receiver() as good,
        _receiver() as slow,
    ):
        plain = _plain_loop(good)
        _subscribe(darkroom, f"{good}/hook")
        _arrivals(good)
        ours = _deliveries_per_second(darkroom, good)
        alone = _delays_s(darkroom, good, CONCURRENT_DELIVERIES)
        _subscribe(darkroom, f"{slow}{HANGING_PATH}")
        beside = _delays_s(darkroom, good, CONCURRENT_DELIVERIES)
        hanging = len(_arrivals(slow).get(HANGING_PATH, []))
    yield Row("deliveries", ours, "a second", plain, min_value=0.5, judge_ratio=True)
    yield Row("1,000 at once, p99", percentile(alone, 99), "s")
    yield Row(
        "1,000 beside 1,000 to one that hangs, p99", percentile(beside, 99), "s", percentile(alone, 99), max_value=2.0
    )
    yield Row("calls of the one that hangs meanwhile", hanging, "")


def _plain_loop(url: str) -> float:
    with httpx.Client(trust_env=False) as client:
        began = time.perf_counter()
        for number in range(DELIVERIES):
            client.post(f"{url}/plain", content=_event_data(number), headers={"Content-Type": "application/json"})
        return DELIVERIES / (time.perf_counter() - began)


def _deliveries_per_second(darkroom: Stack, url: str) -> float:
    began = time.time()
    _end_jobs(darkroom, DELIVERIES)
    return DELIVERIES / (max(_await_arrivals(url, DELIVERIES)) - began)


def _delays_s(darkroom: Stack, url: str, count: int) -> list[float]:
    began = time.time()
    _end_jobs(darkroom, count)
    return [arrival - began for arrival in _await_arrivals(url, count)]


def _await_arrivals(url: str, count: int) -> list[float]:
    seen: list[float] = []

    def all_there() -> bool:
        seen.extend(_arrivals(url).get("/hook", []))
        return len(seen) >= count

    wait_until(all_there, timeout_s=TIMEOUT_S)
    return seen


def _end_jobs(darkroom: Stack, count: int) -> None:
    """What the ends of so many jobs put into the outbox."""
    with darkroom.redis.pipeline(transaction=False) as pipe:
        for number in range(count):
            job = f"{time.time_ns():x}{number:x}".zfill(32)
            about: dict[Any, Any] = {
                "job": job,
                "owner": OWNER,
                "type": "completed",
                "webhook": "",
                "data": _event_data(number),
            }
            pipe.xadd(OUTBOX, {**about, "seq": 5, "time": 1_700_000_000_000})
        pipe.execute()


def _event_data(number: int) -> str:
    result = {"type": "image/png", "size_bytes": number, "width": 512, "height": 512, "lossy": False}
    return json.dumps({"results": [result]})


def _subscribe(darkroom: Stack, url: str) -> None:
    darkroom.stores.subscriptions.create(OWNER, url, {})


def _arrivals(url: str) -> dict[str, list[float]]:
    arrivals: dict[str, list[float]] = httpx.get(f"{url}/arrivals", trust_env=False).json()
    return arrivals


@contextmanager
def _receiver() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "ops.bench.tools.webhook_receiver", str(port)], cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url))
        yield url
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False
