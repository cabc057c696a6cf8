"""The way out of a worker's browsers: a SOCKS5 proxy (RFC 1928) that leads to public addresses only.

Whatever a page starts (frames, workers, windows,
sockets, redirects) goes through it, under whatever name; only a site's own hosts are reached directly.
"""

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Collection
from typing import Any, TypedDict

import structlog

from ops.infra.dns import resolve
from schemas.http.address_policy import Zone, classify

CHUNK_BYTES = 65_536
GREETING_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 15.0
IDLE_TIMEOUT_S = 300.0
SOCKS_VERSION, NO_AUTHENTICATION, CONNECT = 5, 0, 1
ADDRESS_IPV4, ADDRESS_NAME, ADDRESS_IPV6 = 1, 3, 4
REPLY_SUCCEEDED, REPLY_NOT_ALLOWED, REPLY_HOST_UNREACHABLE, REPLY_COMMAND_NOT_SUPPORTED = 0, 2, 4, 7
REPLY_TAIL = bytes([0, ADDRESS_IPV4, 0, 0, 0, 0, 0, 0])

StreamPair = tuple[asyncio.StreamReader, asyncio.StreamWriter]

log = structlog.get_logger(__name__)


class ProxySettings(TypedDict):
    """The way out as Playwright takes it."""

    server: str
    bypass: str


class ProxyRequestError(Exception):
    """The gate does not lead there; ``args[0]`` is the reply code of RFC 1928."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet."""
    return classify(address).zone is Zone.PUBLIC


class EgressProxy:
    """A proxy on a free port of loopback."""

    def __init__(self, is_allowed: Callable[[str], bool] = is_public) -> None:
        """``allowed`` decides on each IP address."""
        self._is_allowed = is_allowed
        self._server: asyncio.Server | None = None
        self._open_writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen from now on."""
        self._server = await asyncio.start_server(self._handle_client, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Listen no more and drop every connection."""
        if self._server:
            self._server.close()
        for writer in tuple(self._open_writers):
            writer.transport.abort()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def settings_for(self, direct_hosts: Collection[str]) -> ProxySettings:
        """The way out for a context that reaches ``direct`` (HOST or HOST:PORT) past the gate."""
        # Loopback is left out of the proxy unless one says so, and the last rule that fits counts.
        return {"server": f"socks5://127.0.0.1:{self.port}", "bypass": ",".join(["<-loopback>", *direct_hosts])}

    async def _handle_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open_writers.add(writer)
        if task := asyncio.current_task():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            async with asyncio.timeout(GREETING_TIMEOUT_S):
                host, port = await _read_request(reader, writer)
            await self._tunnel(host, port, reader, writer)
        except ProxyRequestError as refused:
            log.info("gate.refused", code=refused.args[0])
            writer.write(bytes([SOCKS_VERSION, refused.args[0]]) + REPLY_TAIL)
        except (OSError, EOFError, TimeoutError, ValueError):
            log.debug("gate.broken_off")
        finally:
            self._open_writers.discard(writer)
            writer.close()

    async def _tunnel(self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._connect(host, port)
        self._open_writers.add(far_writer)
        try:
            writer.write(bytes([SOCKS_VERSION, REPLY_SUCCEEDED]) + REPLY_TAIL)
            await _relay_both_ways((reader, far_writer), (far_reader, writer))
        finally:
            self._open_writers.discard(far_writer)
            far_writer.close()

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To an address that was looked at, not to a name that may mean another one the next time."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                addresses = await asyncio.to_thread(resolve, host, port)
                if not all(self._is_allowed(address) for address in addresses):
                    raise ProxyRequestError(REPLY_NOT_ALLOWED)
                return await _open_first_reachable(addresses, port)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise ProxyRequestError(REPLY_HOST_UNREACHABLE) from error


async def _open_first_reachable(
    addresses: Collection[str], port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for address in addresses:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(address, port)
    raise OSError


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """Host and port that the client wants to be connected with."""
    version, methods = await reader.readexactly(2)
    if version != SOCKS_VERSION or NO_AUTHENTICATION not in await reader.readexactly(methods):
        raise ValueError
    writer.write(bytes([SOCKS_VERSION, NO_AUTHENTICATION]))
    _, command, _, kind = await reader.readexactly(4)
    if kind == ADDRESS_NAME:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii")
    else:
        host = str(ipaddress.ip_address(await reader.readexactly({ADDRESS_IPV4: 4, ADDRESS_IPV6: 16}.get(kind, 0))))
    port = int.from_bytes(await reader.readexactly(2))
    if command != CONNECT:
        raise ProxyRequestError(REPLY_COMMAND_NOT_SUPPORTED)
    return host, port


async def _relay_both_ways(*ways: StreamPair) -> None:
    """Until both sides have said all, or neither has said anything for IDLE_TIMEOUT_S."""
    news = asyncio.Event()
    passing = [asyncio.create_task(_relay(*way, news)) for way in ways]
    both = asyncio.gather(*passing)
    try:
        while not both.done():
            news.clear()
            waiting = asyncio.ensure_future(news.wait())
            either: set[asyncio.Future[Any]] = {both, waiting}
            await asyncio.wait(either, timeout=IDLE_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if not news.is_set() and not both.done():
                return
    finally:
        both.cancel()
        await asyncio.gather(*passing, return_exceptions=True)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, news: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            news.set()
            writer.write(data)
            await writer.drain()
        writer.write_eof()
