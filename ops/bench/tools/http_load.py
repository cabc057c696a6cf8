"""A small HTTP load generator: prepared requests over kept-alive connections, bounded in number."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

SUBMISSION = json.dumps({"prompt": "a lighthouse at dusk, oil painting", "inputs": {"seed": 7}}).encode()


@dataclass(slots=True)
class LoadResult:
    """What came of a load: seconds of each request, seconds in all, statuses by number of answers."""

    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Requests answered a second."""
        return len(self.latencies_s) / self.seconds


def request_bytes(url: str, *, method: str = "GET", key: str = "", body: bytes = b"") -> bytes:
    """A request, ready to be written to a connection."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"x-api-key: {key}"] if key else []
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def run_at_full_speed(url: str, make_request: Callable[[int], bytes], *, connections: int, requests: int) -> LoadResult:
    """Send ``requests`` requests over ``connections`` connections, each as soon as the one before is answered."""
    return asyncio.run(_run(url, make_request, connections, requests, None))


def run_at_rate(
    url: str, make_request: Callable[[int], bytes], *, connections: int, requests: int, per_second: float
) -> LoadResult:
    """Send ``requests`` requests at a steady rate; a late answer delays no later request."""
    return asyncio.run(_run(url, make_request, connections, requests, per_second))


async def _run(
    url: str, make: Callable[[int], bytes], connections: int, requests: int, rate: float | None
) -> LoadResult:
    load = LoadResult()
    numbers: asyncio.Queue[tuple[int, float]] = asyncio.Queue()
    clients = [
        asyncio.create_task(_client(url, make, numbers, load, paced=rate is not None)) for _ in range(connections)
    ]
    began = time.perf_counter()
    for number in range(requests):
        if rate:
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        numbers.put_nowait((number, time.perf_counter()))
    await numbers.join()
    load.seconds = time.perf_counter() - began
    for client in clients:
        client.cancel()
    return load


async def _client(
    url: str,
    make: Callable[[int], bytes],
    numbers: "asyncio.Queue[tuple[int, float]]",
    load: LoadResult,
    *,
    paced: bool,
) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        while True:
            number, due = await numbers.get()
            began = time.perf_counter()
            writer.write(make(number))
            status, _ = await read_response(reader)
            load.statuses[status] = load.statuses.get(status, 0) + 1
            # Under a steady rate the wait for a free connection counts too.
            load.latencies_s.append(time.perf_counter() - (due if paced else began))
            numbers.task_done()
    finally:
        writer.close()


async def read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer on a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)
    return int(lines[0].split()[1]), await reader.readexactly(length)
