"""Many WebSockets in one process, by hand and as small as can be, and the moments at which they hear something."""

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
LENGTH_16_BITS, LENGTH_64_BITS = 126, 127
PING = 0x89


class WebSocketClient:
    """One WebSocket; ``heard_at`` is when the newest message had come whole (time.time)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Made by ``listen``."""
        self._reader = reader
        self._writer = writer

    async def receive(self) -> tuple[float, bytes]:
        """The next message and the moment of its arrival; pings are left unanswered."""
        async with asyncio.timeout(RECEIVE_TIMEOUT_S):
            while True:
                first, length = await self._reader.readexactly(2)
                if length == LENGTH_16_BITS:
                    length = int.from_bytes(await self._reader.readexactly(2))
                elif length == LENGTH_64_BITS:
                    length = int.from_bytes(await self._reader.readexactly(8))
                message = await self._reader.readexactly(length)
                if first != PING:
                    return time.time(), message

    def close(self) -> None:
        """Go without a word."""
        self._writer.transport.abort()


async def connect_all(urls: Sequence[str]) -> list[WebSocketClient]:
    """A WebSocket at each address, each having heard its first message."""
    listeners: list[WebSocketClient] = []
    for start in range(0, len(urls), BATCH):
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            listeners += await asyncio.gather(*(_open(url) for url in urls[start : start + BATCH]))
    # What is measured is the other side's pauses, not those of this one's collector.
    gc.collect()
    gc.freeze()
    return listeners


async def _open(url: str) -> WebSocketClient:
    parts = urlsplit(url)
    # The smallest buffer: what is measured is the other side.
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=4096)
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
    listener = WebSocketClient(reader, writer)
    await listener.receive()
    return listener
