"""A webhook receiver for the benchmark ``webhooks``: it accepts deliveries or hangs, and records arrival times.

``python -m ops.bench.tools.webhook_receiver PORT`` runs it; ``GET`` returns the arrival times (Unix seconds) by path
and clears them.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict

HANG_S = 15.0
HANGING_PATH = "/hang"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"

_arrivals: defaultdict[str, list[float]] = defaultdict(list)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split(" ", 2)
            lines = head.lower().split("\r\n")
            length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
            await reader.readexactly(length)
            writer.write(_report_arrivals() if method == "GET" else await _receive(path))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def _receive(path: str) -> bytes:
    _arrivals[path].append(time.time())
    if path == HANGING_PATH:
        await asyncio.sleep(HANG_S)
    return NO_CONTENT


def _report_arrivals() -> bytes:
    body = json.dumps(_arrivals).encode()
    _arrivals.clear()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port, backlog=256)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
