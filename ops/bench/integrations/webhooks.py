"""The benchmark ``webhooks``: deliveries per second, and the effect of a destination that hangs on another one."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Size:
    """Deliveries for the throughput, and deliveries at once for the latencies."""

    deliveries: int
    at_once: int


FULL = Size(deliveries=3_000, at_once=1_000)
SMOKE = Size(deliveries=20, at_once=10)


def measure(size: Size) -> Iterator[Row]:
    """Send the same bodies to the same receiver, first by a plain loop of POST requests, which is the baseline."""
    with (
        run_stack("background", EGRESS_ALLOW="127.0.0.0/8") as stack,
        run_receiver() as good,
        run_receiver() as hanging,
    ):
        plain = _plain_loop_per_second(good, size.deliveries)
        subscribe(stack, f"{good}/hook")
        _fetch_arrivals(good)
        ours = _deliveries_per_second(stack, good, size.deliveries)
        alone_s = _delays_s(stack, good, size.at_once)
        subscribe(stack, f"{hanging}{HANGING_PATH}")
        beside_s = _delays_s(stack, good, size.at_once)
        hanging_requests = len(_fetch_arrivals(hanging).get(HANGING_PATH, []))
    yield Row("deliveries", ours, "per s", plain, min_value=0.5, judge_ratio=True)
    yield Row(f"{size.at_once:,} at once, p99", percentile(alone_s, 99), "s")
    yield Row(
        f"{size.at_once:,} beside {size.at_once:,} to a hanging one, p99",
        percentile(beside_s, 99),
        "s",
        percentile(alone_s, 99),
        max_value=2.0,
    )
    yield Row("requests to the hanging one meanwhile", hanging_requests, "")


def _plain_loop_per_second(url: str, count: int) -> float:
    with httpx.Client(trust_env=False) as client:
        started_at = time.perf_counter()
        for number in range(count):
            headers = {"Content-Type": "application/json"}
            client.post(f"{url}/plain", content=_event_data(number), headers=headers)
        return count / (time.perf_counter() - started_at)


def _deliveries_per_second(stack: Stack, url: str, count: int) -> float:
    started_at = time.time()
    add_events(stack, count)
    return count / (max(await_arrivals(url, count)) - started_at)


def _delays_s(stack: Stack, url: str, count: int) -> list[float]:
    started_at = time.time()
    add_events(stack, count)
    return [arrived_at - started_at for arrived_at in await_arrivals(url, count)]


def await_arrivals(url: str, count: int) -> list[float]:
    """Return the arrival times (Unix seconds) of ``count`` deliveries at ``/hook`` of the receiver at ``url``."""
    arrivals: list[float] = []

    def are_complete() -> bool:
        arrivals.extend(_fetch_arrivals(url).get("/hook", []))
        return len(arrivals) >= count

    wait_until(are_complete, timeout_s=TIMEOUT_S)
    return arrivals


def add_events(stack: Stack, count: int) -> None:
    """Put the final events of ``count`` jobs into the outbox."""
    with stack.redis.pipeline(transaction=False) as pipe:
        for number in range(count):
            event: dict[Any, Any] = {
                "job": f"{time.time_ns():x}{number:x}".zfill(32),
                "owner": OWNER,
                "type": "completed",
                "webhook": "",
                "data": _event_data(number),
                "seq": 5,
                "time": 1_700_000_000_000,
            }
            pipe.xadd(OUTBOX, event)
        pipe.execute()


def _event_data(number: int) -> str:
    result = {"type": "image/png", "size_bytes": number, "width": 512, "height": 512, "lossy": False}
    return json.dumps({"results": [result]})


def subscribe(stack: Stack, url: str) -> str:
    """Create a webhook of the owner and return its id."""
    return stack.stores.subscriptions.create(OWNER, url, {}).id


def _fetch_arrivals(url: str) -> dict[str, list[float]]:
    arrivals: dict[str, list[float]] = httpx.get(f"{url}/arrivals", trust_env=False).json()
    return arrivals


@contextmanager
def run_receiver() -> Iterator[str]:
    """Run ``ops.bench.tools.webhook_receiver`` and yield its URL."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "ops.bench.tools.webhook_receiver", str(port)], cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _is_listening(url))
        yield url
    finally:
        process.kill()
        process.wait()


def _is_listening(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False
