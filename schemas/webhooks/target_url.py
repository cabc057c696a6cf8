"""Which addresses callers may have called, as far as that shows before anything is resolved. Pure.

What a host's name leads to is judged by
``schemas.http.address_policy``.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from schemas.errors import Invalid
from schemas.fields import MAX_URL_LENGTH
from schemas.http.address_policy import ResolvedHost

MAX_HOST_LENGTH = 253
DEFAULT_PORTS = {"http": 80, "https": 443}
MIN_UNPRIVILEGED_PORT = 1024
# Servers that speak something else and do as they are told by whoever reaches them.
BLOCKED_PORTS = frozenset({2049, 2375, 2376, 2379, 3306, 5432, 6000, 6379, 6443, 8500, 9042, 9200, 10250, 11211, 27017})


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """Where a callback goes: ``host`` as it is resolved, ``url`` as it is asked for."""

    url: str
    scheme: str
    host: str
    port: int


def parse_webhook_url(url: str) -> WebhookUrl:
    """The target that an address means.

    Raises:
        Invalid: nobody may have it called, whatever it leads to; the sentence says why.
    """
    if len(url) > MAX_URL_LENGTH:
        raise _wrong(f"is longer than {MAX_URL_LENGTH} characters")
    if any(ord(sign) <= 32 or ord(sign) == 127 for sign in url) or "\\" in url:
        raise _wrong("contains blanks, control characters or a backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _wrong(f"is no address: {error}") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise _wrong("must begin with https:// (or http:// for hosts that the operator has opened)")
    if parts.username is not None or parts.password is not None:
        raise _wrong("contains a user or a password; put secrets into the path, or check the signature")
    port = DEFAULT_PORTS[parts.scheme] if port is None else port
    if port in BLOCKED_PORTS or (port < MIN_UNPRIVILEGED_PORT and port not in DEFAULT_PORTS.values()):
        raise _wrong(f"has port {port}; allowed are 80, 443 and those from {MIN_UNPRIVILEGED_PORT} on, but for some")
    return WebhookUrl(url, parts.scheme, _host(parts.hostname or ""), port)


def refusal_reason(target: WebhookUrl, resolved: ResolvedHost) -> str:
    """Why a target that leads to these addresses may not be called, in a sentence; nothing if it may."""
    if not resolved.allowed_addresses:
        return f"{target.host} leads to no address that may be called."
    if target.scheme == "http" and not resolved.is_opened_by_operator:
        return "Public hosts are called by https only."
    return ""


def _host(name: str) -> str:
    """The name as resolvers take it: without a zone or a dot at its end, and in ASCII."""
    if ":" in name:
        try:
            return str(ipaddress.ip_address(name.partition("%")[0]))
        except ValueError as error:
            raise _wrong("has a host that is no address") from error
    if "%" in name:
        raise _wrong("has a '%' in its host")
    plain = name.rstrip(".")
    try:
        ascii_name = plain.encode("idna").decode()
    except UnicodeError as error:
        raise _wrong("has a host that is no name") from error
    if not 0 < len(ascii_name) <= MAX_HOST_LENGTH:
        raise _wrong("has no host" if not ascii_name else "has a host that is too long")
    return ascii_name


def _wrong(words: str) -> Invalid:
    return Invalid(problems=[f"url: {words}."])
