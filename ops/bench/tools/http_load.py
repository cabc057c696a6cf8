"""A small HTTP load generator: prepared requests over a fixed number of keep-alive connections."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

JOB_BODY = json.dumps({"prompt": "a lighthouse at dusk, oil painting", "inputs": {"seed": 7}}).encode()


@dataclass(slots=True)
class LoadResult:
    """Latency of each request, total duration, and number of responses by status."""

    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Responses per second."""
        return len(self.latencies_s) / self.seconds


def request_bytes(url: str, *, method: str = "GET", key: str = "", body: bytes = b"") -> bytes:
    """Return an HTTP/1.1 request, ready to be sent."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"x-api-key: {key}"] if key else []
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def run_at_full_speed(url: str, make_request: Callable[[int], bytes], *, connections: int, requests: int) -> LoadResult:
    """Send ``requests`` requests; each connection sends the next one as soon as it has a response."""
    return asyncio.run(_run(url, make_request, connections, requests, None))


def run_at_rate(
    url: str, make_request: Callable[[int], bytes], *, connections: int, requests: int, per_second: float
) -> LoadResult:
    """Send ``requests`` requests at a steady rate; slow responses do not delay later requests."""
    return asyncio.run(_run(url, make_request, connections, requests, per_second))


async def _run(
    url: str, make_request: Callable[[int], bytes], connections: int, requests: int, rate: float | None
) -> LoadResult:
    result = LoadResult()
    queue: asyncio.Queue[tuple[int, float]] = asyncio.Queue()
    clients = [
        asyncio.create_task(_run_client(url, make_request, queue, result, paced=rate is not None))
        for _ in range(connections)
    ]
    started_at = time.perf_counter()
    for number in range(requests):
        if rate:
            await asyncio.sleep(max(0.0, started_at + number / rate - time.perf_counter()))
        queue.put_nowait((number, time.perf_counter()))
    await queue.join()
    result.seconds = time.perf_counter() - started_at
    for client in clients:
        client.cancel()
    return result


async def _run_client(
    url: str,
    make_request: Callable[[int], bytes],
    queue: "asyncio.Queue[tuple[int, float]]",
    result: LoadResult,
    *,
    paced: bool,
) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        while True:
            number, due_at = await queue.get()
            sent_at = time.perf_counter()
            writer.write(make_request(number))
            status, _ = await read_response(reader)
            result.statuses[status] = result.statuses.get(status, 0) + 1
            # At a steady rate the wait for a free connection is part of the latency.
            result.latencies_s.append(time.perf_counter() - (due_at if paced else sent_at))
            queue.task_done()
    finally:
        writer.close()


async def read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the status and the body of the next response on a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)
    return int(lines[0].split()[1]), await reader.readexactly(length)
