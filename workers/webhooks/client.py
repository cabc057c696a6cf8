"""The calling of addresses that callers have named: resolved once, judged, connected with what was judged.

A caller may name anything; nothing but what the operator allows is ever connected with,
no redirect is followed, no proxy is used, and no more of an answer is read than is of use.
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http import HttpProcessingError

from ops.infra.dns import resolve
from ops.infra.version import VERSION
from schemas.errors import Invalid
from schemas.http.address_policy import Policy, look_at
from schemas.webhooks.retry_policy import Outcome, read_answer
from schemas.webhooks.target_url import PORTS, Target, objection, read_target

CONNECT_S, TOTAL_S = 5.0, 15.0
LARGEST_ANSWER_BYTES = 64 * 1024
EXCERPT_BYTES = 1024
IDLE_S = 5.0
RESOLVERS = 64
AT_ONCE_S = 1.0
TIMEOUT = aiohttp.ClientTimeout(total=TOTAL_S, sock_connect=CONNECT_S)
# An answer is not unpacked: it might be a bomb.
HEADERS = {
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": f"Darkroom/{VERSION} (webhooks)",
}
# What another attempt at once may mend: a receiver that is just being restarted, a kept connection that it has closed.
FLEETING = (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, ConnectionError)
# How a call may break, the more particular before the more general. Only these words are told: those of the errors
# themselves quote what came back, which is none of a caller's business, for it may have come from within this network.
BROKEN: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, f"It did not answer within {TOTAL_S:g} s ({CONNECT_S:g} s for the connection)."),
    (aiohttp.InvalidURL, "Its address cannot be called."),
    (aiohttp.ClientConnectorDNSError, "Its host does not resolve."),
    (aiohttp.ClientConnectorCertificateError, "Its certificate is not accepted: {why}."),
    (ssl.SSLError, "It does not speak TLS as it should."),
    (aiohttp.ClientConnectorError, "It takes no connection: {why}."),
    (aiohttp.ServerDisconnectedError, "It closed the connection without a whole answer."),
    (OSError, "The connection broke: {why}."),
)
NOT_HTTP = "It did not answer in valid HTTP."

Resolve = Callable[[str, int], list[str]]
log = structlog.get_logger(__name__)


class RefusedError(Exception):
    """The address leads to nothing that may be called."""


class JudgingResolver(AbstractResolver):
    """Finds the addresses of a host that may be called, and no others, whatever its name means a moment later."""

    def __init__(self, scheme: str, policy: Policy, resolve_host: Resolve) -> None:
        """For the targets of one scheme."""
        self._scheme = scheme
        self._policy = policy
        self._resolve = resolve_host
        # A resolver that hangs keeps a thread: enough of them that others do not wait for it.
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As aiohttp wants it; ``family`` is of no interest."""
        addresses = await asyncio.get_running_loop().run_in_executor(self._threads, self._resolve, host, port)
        return [_found(host, address, port) for address in self.allowed(host, port, addresses)]

    def allowed(self, host: str, port: int, addresses: list[str]) -> list[str]:
        """Those of a host's addresses that may be called; raises RefusedError if there is none."""
        looked = look_at(addresses, port, self._policy)
        if reason := objection(Target("", self._scheme, host, port), looked):
            raise RefusedError(reason)
        return looked.allowed

    def open_socket(self, about: Any) -> socket.socket:
        """A socket for an address that is about to be connected with: however it came here, it is judged once more."""
        family, kind, protocol, _, (address, port, *_) = about
        self.allowed(address, port, [address])
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Ask no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Caller:
    """Calls addresses; connections are kept for a while and shared by the deliveries to one host."""

    def __init__(self, policy: Policy, resolve_host: Resolve = resolve) -> None:
        """To be made and used on one event loop."""
        self._sessions = {scheme: _session(JudgingResolver(scheme, policy, resolve_host)) for scheme in PORTS}

    async def close(self) -> None:
        """Let go of every connection."""
        for session in self._sessions.values():
            await session.close()

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
            except (aiohttp.ClientError, HttpProcessingError, OSError, TimeoutError, ValueError) as error:
                if not (first and isinstance(error, FLEETING) and time.monotonic() - began < AT_ONCE_S):
                    log.debug("call.broken", kind=type(error).__name__, error=str(getattr(error, "message", error)))
                    return Outcome(error=_in_our_words(error))
            first = False

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        target = read_target(url)
        post = self._sessions[target.scheme].post
        async with post(url, data=body, headers=HEADERS | dict(headers), allow_redirects=False) as answer:
            excerpt = await _beginning(answer)
        names = {name.lower(): value for name, value in answer.headers.items()}
        return read_answer(answer.status, names, excerpt, time.time())


def _session(judge: JudgingResolver) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        resolver=judge,
        socket_factory=judge.open_socket,
        use_dns_cache=False,
        ssl=ssl.create_default_context(),
        limit=0,
        keepalive_timeout=IDLE_S,
    )
    jar = aiohttp.DummyCookieJar()
    return aiohttp.ClientSession(connector=connector, cookie_jar=jar, timeout=TIMEOUT, auto_decompress=False)


def _found(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": flags}


async def _beginning(answer: aiohttp.ClientResponse) -> str:
    """What the answer begins with. It is read to its end, for the connection to be of further use, but not for ever."""
    read, excerpt = 0, b""
    async for chunk in answer.content.iter_any():
        read += len(chunk)
        excerpt += chunk[: EXCERPT_BYTES - len(excerpt)]
        if read > LARGEST_ANSWER_BYTES:
            answer.close()
            break
    return excerpt.decode(errors="replace").replace("\x00", "\ufffd")


def _in_our_words(error: Exception) -> str:
    words = next((words for kind, words in BROKEN if isinstance(error, kind)), NOT_HTTP)
    return words.format(why=_why(error))


def _why(error: Exception) -> str:
    """What OpenSSL says of a certificate, or the system of a connection: neither repeats anything that was sent."""
    verdict = getattr(error, "certificate_error", None)
    if isinstance(verdict, ssl.SSLCertVerificationError):
        return verdict.verify_message.rstrip(".")
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else "no reason was given"
