"""HTTP client for webhook deliveries, safe against server-side request forgery (SSRF).

Callers choose the target URLs, so every address is checked against the operator's address policy: after resolving the
name, and again when the socket is opened. Between the two the name is not resolved again, which defeats DNS rebinding.
Redirects are not followed, proxies are not used, and only the beginning of a response is read (``response_limits``).
"""

import asyncio
import os
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
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
from workers.webhooks.response_limits import MAX_BODY_BYTES, LimitedResponseHandler, ResponseLimitError

CONNECT_TIMEOUT_S, TOTAL_TIMEOUT_S = 5.0, 15.0
MAX_EXCERPT_BYTES = 1024
KEEPALIVE_S = 5.0
RESOLVER_THREADS = 64
# Hosts of one owner that are looked up at once: those whose name servers hang leave threads to the other owners.
MAX_LOOKUPS_PER_OWNER = 8
IMMEDIATE_RETRY_S = 1.0
TIMEOUT = aiohttp.ClientTimeout(total=TOTAL_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
HEADERS = {
    "Content-Type": "application/json",
    # A compressed response could be a decompression bomb.
    "Accept-Encoding": "identity",
    "User-Agent": f"Darkroom/{VERSION} (webhooks)",
}
# Worth an immediate second try: a receiver that is restarting, or a kept-alive connection that it has closed.
TRANSIENT_ERRORS = (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, ConnectionError)
# Messages by error class, subclasses first. The exceptions' own texts are never shown: they quote the response, which
# may come from a host inside the operator's network.
ERROR_MESSAGES: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, f"No answer within {TOTAL_TIMEOUT_S:g} s ({CONNECT_TIMEOUT_S:g} s for the connection)."),
    (ResponseLimitError, "{limit}"),
    (aiohttp.InvalidURL, "The address is not a valid URL."),
    (aiohttp.ClientConnectorDNSError, "The host does not resolve."),
    (aiohttp.ClientConnectorCertificateError, "The certificate is not accepted: {reason}."),
    (ssl.SSLError, "The TLS connection failed."),
    (aiohttp.ClientConnectorError, "The connection failed: {reason}."),
    (aiohttp.ServerDisconnectedError, "The connection was closed before the response was complete."),
    (OSError, "The connection broke: {reason}."),
)
INVALID_HTTP = "The response is not valid HTTP."

ResolveHost = Callable[[str, int], list[str]]
# aiohttp has no argument for it; the tasks that it starts for a request inherit the context.
_owner: ContextVar[str] = ContextVar("owner", default="")
log = structlog.get_logger(__name__)


class AddressNotAllowedError(Exception):
    """The policy allows none of the host's addresses."""


class PolicyResolver(AbstractResolver):
    """An aiohttp resolver that returns only addresses allowed by the policy, for targets of one scheme."""

    def __init__(self, scheme: str, policy: AddressPolicy, resolve_host: ResolveHost) -> None:
        self._scheme = scheme
        self._policy = policy
        self._resolve_host = resolve_host
        # A hanging name server blocks its thread; the pool is large so that other hosts still resolve.
        self._executor = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolve")
        self._lookups: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
        self._lookups_by_owner: defaultdict[str, set[asyncio.Future[list[str]]]] = defaultdict(set)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the allowed addresses of a host, in aiohttp's shape. ``family`` is ignored."""
        addresses = await self._look_up(host, port)
        return [_resolve_result(host, address, port) for address in self.require_allowed(host, port, addresses)]

    async def _look_up(self, host: str, port: int) -> list[str]:
        """Return all addresses of a host. Simultaneous look-ups of one host share a thread."""
        owner = _owner.get()
        while (lookup := self._lookups.get((host, port))) is None:
            running = tuple(self._lookups_by_owner[owner])
            if len(running) < MAX_LOOKUPS_PER_OWNER:
                lookup = self._start_lookup(owner, host, port)
                break
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        # One caller's timeout must not end the look-up of the others.
        return await asyncio.shield(lookup)

    def _start_lookup(self, owner: str, host: str, port: int) -> asyncio.Future[list[str]]:
        lookup = asyncio.get_running_loop().run_in_executor(self._executor, self._resolve_host, host, port)
        self._lookups[host, port] = lookup
        self._lookups_by_owner[owner].add(lookup)

        def forget(_: asyncio.Future[list[str]]) -> None:
            del self._lookups[host, port]
            self._lookups_by_owner[owner].discard(lookup)
            if not self._lookups_by_owner[owner]:
                del self._lookups_by_owner[owner]

        lookup.add_done_callback(forget)
        return lookup

    def require_allowed(self, host: str, port: int, addresses: list[str]) -> list[str]:
        """Return those of a host's addresses that the policy allows; raise AddressNotAllowedError if there are none."""
        resolved = evaluate_addresses(addresses, port, self._policy)
        if reason := refusal_reason(WebhookUrl("", self._scheme, host, port), resolved):
            raise AddressNotAllowedError(reason)
        return resolved.allowed_addresses

    def open_socket(self, address_info: Any) -> socket.socket:
        """Create the socket for a connection, after checking its address.

        aiohttp does not resolve hosts that are IP addresses, so this is the only check for them.
        """
        family, kind, protocol, _, (address, port, *_) = address_info
        self.require_allowed(address, port, [address])
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Stop the resolver threads without waiting for pending look-ups."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class LimitedConnector(aiohttp.TCPConnector):
    """aiohttp's connector with LimitedResponseHandler as the protocol of its connections."""

    def __init__(self, **options: Any) -> None:
        """``options`` are those of aiohttp's connector."""
        super().__init__(**options)
        # aiohttp has no argument for it.
        self._factory = partial(LimitedResponseHandler, loop=asyncio.get_running_loop())  # type: ignore[assignment] # a subclass


class WebhookClient:
    """Posts deliveries. Create and use it on one event loop; connections to a host are reused for a few seconds."""

    def __init__(self, policy: AddressPolicy, resolve_host: ResolveHost = resolve) -> None:
        self._sessions = {
            scheme: _client_session(PolicyResolver(scheme, policy, resolve_host)) for scheme in DEFAULT_PORTS
        }

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, owner: str = "") -> AttemptOutcome:
        """Send a JSON body and return the outcome. Network and protocol errors are outcomes too, not exceptions.

        Call it in a task of its own for each owner.
        """
        _owner.set(owner)
        started, is_first = time.monotonic(), True
        while True:
            try:
                return await self._post(url, headers, body)
            except AddressNotAllowedError as error:
                return AttemptOutcome(error=f"Not called: {error}")
            except Invalid as error:
                return AttemptOutcome(error=f"Not called: {error.problems[0]}")
            except (aiohttp.ClientError, HttpProcessingError, OSError, TimeoutError, ValueError) as error:
                is_transient = isinstance(error, TRANSIENT_ERRORS) and time.monotonic() - started < IMMEDIATE_RETRY_S
                if not (is_first and is_transient):
                    message = str(getattr(error, "message", error))
                    log.debug("webhook.call_failed", kind=type(error).__name__, error=message)
                    return AttemptOutcome(error=_error_message(error))
            is_first = False

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptOutcome:
        target = parse_webhook_url(url)
        post = self._sessions[target.scheme].post
        async with post(url, data=body, headers=HEADERS | dict(headers), allow_redirects=False) as response:
            excerpt = await _read_excerpt(response)
        response_headers = {name.lower(): value for name, value in response.headers.items()}
        return parse_response(response.status, response_headers, excerpt, time.time())


def _client_session(resolver: PolicyResolver) -> aiohttp.ClientSession:
    connector = LimitedConnector(
        resolver=resolver,
        socket_factory=resolver.open_socket,
        use_dns_cache=False,
        ssl=ssl.create_default_context(),
        limit=0,
        keepalive_timeout=KEEPALIVE_S,
    )
    jar = aiohttp.DummyCookieJar()
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=jar, timeout=TIMEOUT, auto_decompress=False, read_bufsize=MAX_BODY_BYTES
    )


def _resolve_result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": flags}


async def _read_excerpt(response: aiohttp.ClientResponse) -> str:
    """Return the beginning of the response body.

    A short body is read to its end, so that the connection can be reused; a long one closes the connection.
    """
    read, excerpt = 0, b""
    async for chunk in response.content.iter_any():
        read += len(chunk)
        excerpt += chunk[: MAX_EXCERPT_BYTES - len(excerpt)]
        if read > MAX_BODY_BYTES:
            response.close()
            break
    return excerpt.decode(errors="replace").replace("\x00", "\ufffd")


def _error_message(error: Exception) -> str:
    template = next((template for kind, template in ERROR_MESSAGES if isinstance(error, kind)), INVALID_HTTP)
    return template.format(reason=_error_reason(error), limit=error)


def _error_reason(error: Exception) -> str:
    """Return OpenSSL's or the operating system's reason; neither contains anything from the response."""
    certificate_error = getattr(error, "certificate_error", None)
    if isinstance(certificate_error, ssl.SSLCertVerificationError):
        return certificate_error.verify_message.rstrip(".")
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else "no reason was given"
