"""Thousands of WebSocket clients in one process.

The protocol is written by hand, as small as possible, so that the server and not the clients is measured: messages are
never fragmented, and pings stay unanswered.
"""

import asyncio
import base64
import gc
import os
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

BATCH = 100
OPEN_TIMEOUT_S = 60.0
RECEIVE_TIMEOUT_S = 30.0
BUFFER_BYTES = 4096
# Values of the length byte that announce an extended length (RFC 6455, section 5.2).
LENGTH_16_BITS, LENGTH_64_BITS = 126, 127
PING = 0x89


class WebSocketClient:
    """One open WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> tuple[float, bytes]:
        """Return the next message and the time (``time.perf_counter``) of its arrival."""
        async with asyncio.timeout(RECEIVE_TIMEOUT_S):
            while True:
                first, length = await self._reader.readexactly(2)
                if length == LENGTH_16_BITS:
                    length = int.from_bytes(await self._reader.readexactly(2))
                elif length == LENGTH_64_BITS:
                    length = int.from_bytes(await self._reader.readexactly(8))
                message = await self._reader.readexactly(length)
                if first != PING:
                    return time.perf_counter(), message

    def close(self) -> None:
        """Drop the connection without a closing handshake."""
        self._writer.transport.abort()


async def connect_all(urls: Sequence[str]) -> list[WebSocketClient]:
    """Open a WebSocket to each URL and receive its first message."""
    clients: list[WebSocketClient] = []
    for start in range(0, len(urls), BATCH):
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            clients += await asyncio.gather(*(_connect(url) for url in urls[start : start + BATCH]))
    # Keeps pauses of this process's garbage collector out of the measured delays.
    gc.collect()
    gc.freeze()
    return clients


async def _connect(url: str) -> WebSocketClient:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=BUFFER_BYTES)
    lines = [
        f"GET {parts.path}?{parts.query} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 101 " not in head.partition(b"\r\n")[0]:
        raise RuntimeError(f"no upgrade: {head[:80]!r}")
    client = WebSocketClient(reader, writer)
    await client.receive()
    return client
