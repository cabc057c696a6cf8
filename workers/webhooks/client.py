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
from schemas.http.address_policy import AddressPolicy, evaluate_addresses
from schemas.http.urls import DEFAULT_PORTS
from schemas.http.webhook_url import WebhookUrl, parse_webhook_url, refusal_reason
from schemas.webhooks.retry_policy import AttemptOutcome, parse_response

CONNECT_TIMEOUT_S, TOTAL_TIMEOUT_S = 5.0, 15.0
MAX_RESPONSE_BYTES = 64 * 1024
MAX_EXCERPT_BYTES = 1024
KEEPALIVE_S = 5.0
RESOLVER_THREADS = 64
IMMEDIATE_RETRY_S = 1.0
TIMEOUT = aiohttp.ClientTimeout(total=TOTAL_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
# An answer is not unpacked: it might be a bomb.
HEADERS = {
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": f"Darkroom/{VERSION} (webhooks)",
}
# What another attempt at once may mend: a receiver that is just being restarted, a kept connection that it has closed.
TRANSIENT_ERRORS = (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, ConnectionError)
# How a call may break, the more particular before the more general. Only these words are told: those of the errors
# themselves quote what came back, which is none of a caller's business, for it may have come from within this network.
ERROR_MESSAGES: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, f"It did not answer within {TOTAL_TIMEOUT_S:g} s ({CONNECT_TIMEOUT_S:g} s for the connection)."),
    (aiohttp.InvalidURL, "Its address cannot be called."),
    (aiohttp.ClientConnectorDNSError, "Its host does not resolve."),
    (aiohttp.ClientConnectorCertificateError, "Its certificate is not accepted: {why}."),
    (ssl.SSLError, "It does not speak TLS as it should."),
    (aiohttp.ClientConnectorError, "It takes no connection: {why}."),
    (aiohttp.ServerDisconnectedError, "It closed the connection without a whole answer."),
    (OSError, "The connection broke: {why}."),
)
INVALID_HTTP = "It did not answer in valid HTTP."

ResolveHost = Callable[[str, int], list[str]]
log = structlog.get_logger(__name__)


class AddressNotAllowedError(Exception):
    """The address leads to nothing that may be called."""


class PolicyResolver(AbstractResolver):
    """Finds the addresses of a host that may be called, and no others, whatever its name means a moment later."""

    def __init__(self, scheme: str, policy: AddressPolicy, resolve_host: ResolveHost) -> None:
        """For the targets of one scheme."""
        self._scheme = scheme
        self._policy = policy
        self._resolve_host = resolve_host
        # A resolver that hangs keeps a thread: enough of them that others do not wait for it.
        self._executor = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As aiohttp wants it; ``family`` is of no interest."""
        addresses = await asyncio.get_running_loop().run_in_executor(self._executor, self._resolve_host, host, port)
        return [_resolve_result(host, address, port) for address in self.require_allowed(host, port, addresses)]

    def require_allowed(self, host: str, port: int, addresses: list[str]) -> list[str]:
        """Those of a host's addresses that may be called; raises RefusedError if there is none."""
        looked = evaluate_addresses(addresses, port, self._policy)
        if reason := refusal_reason(WebhookUrl("", self._scheme, host, port), looked):
            raise AddressNotAllowedError(reason)
        return looked.allowed_addresses

    def open_socket(self, address_info: Any) -> socket.socket:
        """A socket for an address that is about to be connected with: however it came here, it is judged once more."""
        family, kind, protocol, _, (address, port, *_) = address_info
        self.require_allowed(address, port, [address])
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Ask no more."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class WebhookClient:
    """Calls addresses; connections are kept for a while and shared by the deliveries to one host."""

    def __init__(self, policy: AddressPolicy, resolve_host: ResolveHost = resolve) -> None:
        """To be made and used on one event loop."""
        self._sessions = {
            scheme: _client_session(PolicyResolver(scheme, policy, resolve_host)) for scheme in DEFAULT_PORTS
        }

    async def close(self) -> None:
        """Let go of every connection."""
        for session in self._sessions.values():
            await session.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptOutcome:
        """What has come of sending ``body``, a JSON text, to ``url``; never raises."""
        began, first = time.monotonic(), True
        while True:
            try:
                return await self._post(url, headers, body)
            except AddressNotAllowedError as error:
                return AttemptOutcome(error=f"Not called: {error}")
            except Invalid as error:
                return AttemptOutcome(error=f"Not called: {error.problems[0]}")
            except (aiohttp.ClientError, HttpProcessingError, OSError, TimeoutError, ValueError) as error:
                if not (first and isinstance(error, TRANSIENT_ERRORS) and time.monotonic() - began < IMMEDIATE_RETRY_S):
                    log.debug("call.broken", kind=type(error).__name__, error=str(getattr(error, "message", error)))
                    return AttemptOutcome(error=_error_message(error))
            first = False

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptOutcome:
        target = parse_webhook_url(url)
        post = self._sessions[target.scheme].post
        async with post(url, data=body, headers=HEADERS | dict(headers), allow_redirects=False) as answer:
            excerpt = await _read_excerpt(answer)
        names = {name.lower(): value for name, value in answer.headers.items()}
        return parse_response(answer.status, names, excerpt, time.time())


def _client_session(judge: PolicyResolver) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        resolver=judge,
        socket_factory=judge.open_socket,
        use_dns_cache=False,
        ssl=ssl.create_default_context(),
        limit=0,
        keepalive_timeout=KEEPALIVE_S,
    )
    jar = aiohttp.DummyCookieJar()
    return aiohttp.ClientSession(connector=connector, cookie_jar=jar, timeout=TIMEOUT, auto_decompress=False)


def _resolve_result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": flags}


async def _read_excerpt(response: aiohttp.ClientResponse) -> str:
    """What the answer begins with. It is read to its end, for the connection to be of further use, but not for ever."""
    read, excerpt = 0, b""
    async for chunk in response.content.iter_any():
        read += len(chunk)
        excerpt += chunk[: MAX_EXCERPT_BYTES - len(excerpt)]
        if read > MAX_RESPONSE_BYTES:
            response.close()
            break
    return excerpt.decode(errors="replace").replace("\x00", "\ufffd")


def _error_message(error: Exception) -> str:
    words = next((words for kind, words in ERROR_MESSAGES if isinstance(error, kind)), INVALID_HTTP)
    return words.format(why=_error_reason(error))


def _error_reason(error: Exception) -> str:
    """What OpenSSL says of a certificate, or the system of a connection: neither repeats anything that was sent."""
    verdict = getattr(error, "certificate_error", None)
    if isinstance(verdict, ssl.SSLCertVerificationError):
        return verdict.verify_message.rstrip(".")
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else "no reason was given"
