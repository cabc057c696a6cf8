"""Owns the calling of addresses that callers have named: resolved once, judged, connected with what was judged.

Used by ``workers.courier``. A caller may name anything; nothing but what the operator allows is ever connected with,
no redirect is followed, no proxy is used, and no more of an answer is read than is of use.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore
import httpx

from ops.resolving import resolve
from ops.version import VERSION
from schemas.callbacks import PORTS, Target, objection, read_target
from schemas.egress import Policy, look_at
from schemas.errors import Invalid
from schemas.redelivery import Outcome, read_answer

CONNECT_S, TOTAL_S = 5.0, 15.0
LARGEST_ANSWER_BYTES = 64 * 1024
EXCERPT_BYTES = 1024
IDLE_CONNECTIONS, IDLE_S = 100, 5.0
RESOLVERS = 64
AT_ONCE_S = 1.0
TIMEOUTS = {"connect": CONNECT_S, "read": TOTAL_S, "write": TOTAL_S, "pool": TOTAL_S}
USER_AGENT = f"Darkroom/{VERSION} (webhooks)"

Resolve = Callable[[str, int], list[str]]


class RefusedError(httpcore.ConnectError):
    """The address leads to nothing that may be called."""


class JudgingBackend(httpcore.AsyncNetworkBackend):
    """Connects with addresses that the policy allows, and with no others, whatever their name means a moment later."""

    def __init__(self, scheme: str, policy: Policy, resolve_host: Resolve) -> None:
        """For the targets of one scheme."""
        self._scheme = scheme
        self._policy = policy
        self._resolve = resolve_host
        self._sockets = httpcore.AnyIOBackend()
        # A resolver that hangs keeps a thread: enough of them that others do not wait for it.
        self._resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection with the first allowed address of ``host`` that answers."""
        failed: Exception = httpcore.ConnectError(f"{host} does not answer.")
        for address in await self._allowed(host, port):
            try:
                stream = await self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
                continue
            self._check_peer(stream, port)
            return stream
        raise failed

    async def connect_unix_socket(self, *_args: Any, **_kwargs: Any) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise RefusedError("Sockets of this machine are not called.")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _allowed(self, host: str, port: int) -> list[str]:
        try:
            addresses = await asyncio.get_running_loop().run_in_executor(self._resolvers, self._resolve, host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} does not resolve.") from error
        looked = look_at(addresses, port, self._policy)
        if reason := objection(Target("", self._scheme, host, port), looked):
            raise RefusedError(reason)
        return looked.allowed

    def _check_peer(self, stream: httpcore.AsyncNetworkStream, port: int) -> None:
        """Believe the socket and not what it was made from."""
        peer = stream.get_extra_info("server_addr")
        if not peer or not self._policy.judge(str(peer[0]), port).allowed:
            raise RefusedError("It led to an address that may not be called.")


class Caller:
    """Calls addresses; connections are kept for a while and shared by the deliveries to one host."""

    def __init__(self, policy: Policy, resolve_host: Resolve = resolve) -> None:
        """To be made and used on one event loop."""
        trust = ssl.create_default_context()
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=trust,
                max_connections=None,
                max_keepalive_connections=IDLE_CONNECTIONS,
                keepalive_expiry=IDLE_S,
                network_backend=JudgingBackend(scheme, policy, resolve_host),
            )
            for scheme in ("http", "https")
        }

    async def close(self) -> None:
        """Let go of every connection."""
        for pool in self._pools.values():
            await pool.aclose()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """What has come of sending ``body``, a JSON text, to ``url``; never raises."""
        began, first = time.monotonic(), True
        while True:
            try:
                return await self._post(url, headers, body)
            except RefusedError as error:
                return Outcome(error=f"Not called: {error}")
            except Invalid as error:
                return Outcome(error=f"Not called: {error.problems[0]}")
            except _FAILURES as error:
                # A receiver that is just being restarted refuses for an instant.
                at_once = isinstance(error, httpcore.ConnectError) and time.monotonic() - began < AT_ONCE_S
                if not (first and at_once):
                    return _failed(error)
            first = False

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        target = read_target(url)
        known = httpx.URL(url)
        address = httpcore.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=known.raw_path.decode("ascii")
        )
        own = {"Host": _host_header(target), "Content-Type": "application/json", "User-Agent": USER_AGENT}
        sent = [*own.items(), *headers.items()]
        async with (
            asyncio.timeout(TOTAL_S),
            self._pools[target.scheme].stream(
                "POST", address, headers=sent, content=body, extensions={"timeout": TIMEOUTS}
            ) as answer,
        ):
            excerpt = await _beginning(answer)
        names = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
        return read_answer(answer.status, names, excerpt, time.time())


def _host_header(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == PORTS[target.scheme] else f"{host}:{target.port}"


async def _beginning(answer: httpcore.Response) -> str:
    """What the answer begins with. It is read to its end, for the connection to be of further use, but not for ever."""
    read, excerpt = 0, b""
    async for chunk in answer.aiter_stream():
        read += len(chunk)
        excerpt += chunk[: EXCERPT_BYTES - len(excerpt)]
        if read > LARGEST_ANSWER_BYTES:
            break
    return excerpt.decode(errors="replace").replace("\x00", "\ufffd")


_FAILURES = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpx.InvalidURL,
    OSError,
    TimeoutError,
    UnicodeError,
)


def _failed(error: Exception) -> Outcome:
    if isinstance(error, TimeoutError | httpcore.TimeoutException):
        return Outcome(error=f"It did not answer within {TOTAL_S:g} s ({CONNECT_S:g} s for the connection).")
    return Outcome(error=f"The connection failed: {error or type(error).__name__}"[:300])
