"""SOCKS5 proxy (RFC 1928) through which the worker's browsers reach public addresses only (SSRF protection).

All connections of a page use it: frames, workers, windows, WebSockets and redirects. Only the site's own hosts are
reached directly. The proxy resolves a host name once, checks every address and connects to a checked address, so that
DNS rebinding has no effect. See docs/decisions/0008.
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
# Values of RFC 1928; replies in section 6.
SOCKS_VERSION, NO_AUTHENTICATION, CONNECT = 5, 0, 1
ADDRESS_IPV4, ADDRESS_NAME, ADDRESS_IPV6 = 1, 3, 4
REPLY_SUCCEEDED, REPLY_NOT_ALLOWED, REPLY_HOST_UNREACHABLE, REPLY_COMMAND_NOT_SUPPORTED = 0, 2, 4, 7
# Reserved byte, then the bound address and port, which clients ignore for CONNECT.
REPLY_TAIL = bytes([0, ADDRESS_IPV4, 0, 0, 0, 0, 0, 0])

StreamPair = tuple[asyncio.StreamReader, asyncio.StreamWriter]

log = structlog.get_logger(__name__)


class ProxySettings(TypedDict):
    """Proxy settings of a browser context, in Playwright's format."""

    server: str
    bypass: str


class ProxyRequestError(Exception):
    """The request cannot be granted; ``args[0]`` is the reply code of RFC 1928."""


def is_public(address: str) -> bool:
    """Whether an IP address is globally routable."""
    return classify(address).zone is Zone.PUBLIC


class EgressProxy:
    """A proxy on a free port of 127.0.0.1 that connects to the addresses for which ``is_allowed`` is true."""

    def __init__(self, is_allowed: Callable[[str], bool] = is_public) -> None:
        self._is_allowed = is_allowed
        self._server: asyncio.Server | None = None
        self._open_writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self.port = 0

    async def start(self) -> None:
        """Start listening."""
        self._server = await asyncio.start_server(self._handle_client, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and abort all connections."""
        if self._server:
            self._server.close()
        for writer in tuple(self._open_writers):
            writer.transport.abort()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def settings_for(self, direct_hosts: Collection[str]) -> ProxySettings:
        """Return the settings of a context that reaches ``direct_hosts`` (HOST or HOST:PORT) without the proxy."""
        # Chromium never proxies loopback addresses unless "<-loopback>" is listed; the last matching rule applies.
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
        except ProxyRequestError as error:
            log.info("egress_proxy.refused", code=error.args[0])
            writer.write(bytes([SOCKS_VERSION, error.args[0]]) + REPLY_TAIL)
        except (OSError, EOFError, TimeoutError, ValueError):
            log.debug("egress_proxy.aborted")
        finally:
            self._open_writers.discard(writer)
            writer.close()

    async def _tunnel(self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await self._connect(host, port)
        self._open_writers.add(target_writer)
        try:
            writer.write(bytes([SOCKS_VERSION, REPLY_SUCCEEDED]) + REPLY_TAIL)
            await _relay_both_ways((reader, target_writer), (target_reader, writer))
        finally:
            self._open_writers.discard(target_writer)
            target_writer.close()

    async def _connect(self, host: str, port: int) -> StreamPair:
        """Connect to a checked address: a second resolution of the name could yield another address."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                addresses = await asyncio.to_thread(resolve, host, port)
                if not all(self._is_allowed(address) for address in addresses):
                    raise ProxyRequestError(REPLY_NOT_ALLOWED)
                for address in addresses:
                    with contextlib.suppress(OSError):
                        return await asyncio.open_connection(address, port)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise ProxyRequestError(REPLY_HOST_UNREACHABLE) from error
        raise ProxyRequestError(REPLY_HOST_UNREACHABLE)


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """Read the greeting and the request; return the requested host and port."""
    version, methods = await reader.readexactly(2)
    if version != SOCKS_VERSION or NO_AUTHENTICATION not in await reader.readexactly(methods):
        raise ValueError
    writer.write(bytes([SOCKS_VERSION, NO_AUTHENTICATION]))
    _, command, _, address_type = await reader.readexactly(4)
    if address_type == ADDRESS_NAME:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii")
    else:
        length = {ADDRESS_IPV4: 4, ADDRESS_IPV6: 16}.get(address_type, 0)
        host = str(ipaddress.ip_address(await reader.readexactly(length)))
    port = int.from_bytes(await reader.readexactly(2))
    if command != CONNECT:
        raise ProxyRequestError(REPLY_COMMAND_NOT_SUPPORTED)
    return host, port


async def _relay_both_ways(*directions: StreamPair) -> None:
    """Relay until both sides have closed, or neither has sent anything for IDLE_TIMEOUT_S."""
    activity = asyncio.Event()
    relays = [asyncio.create_task(_relay(*direction, activity)) for direction in directions]
    both = asyncio.gather(*relays)
    try:
        while not both.done():
            activity.clear()
            waiting = asyncio.ensure_future(activity.wait())
            either: set[asyncio.Future[Any]] = {both, waiting}
            await asyncio.wait(either, timeout=IDLE_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if not activity.is_set() and not both.done():
                return
    finally:
        both.cancel()
        await asyncio.gather(*relays, return_exceptions=True)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, activity: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            activity.set()
            writer.write(data)
            # Backpressure: read no faster than the other side accepts.
            await writer.drain()
        # Half-close: the other direction may still have data.
        writer.write_eof()
