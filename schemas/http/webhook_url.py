"""Syntax and port rules for webhook URLs. The addresses of the host are judged by ``schemas.http.address_policy``."""

import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, validate

from schemas.errors import Invalid
from schemas.fields import MAX_URL_LENGTH, Text
from schemas.http.address_policy import ResolvedHost
from schemas.http.urls import DEFAULT_PORTS

MAX_HOST_LENGTH = 253
MIN_UNPRIVILEGED_PORT = 1024
# Databases, caches and admin interfaces: servers that may execute what an HTTP request happens to contain.
BLOCKED_PORTS = frozenset({2049, 2375, 2376, 2379, 3306, 5432, 6000, 6379, 6443, 8500, 9042, 9200, 10250, 11211, 27017})


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """A parsed webhook URL: ``host`` in the form for resolvers, ``url`` as the caller wrote it."""

    url: str
    scheme: str
    host: str
    port: int


class WebhookUrlField(Text):
    """A webhook URL, checked by syntax and port; ``allow_empty`` accepts an empty text for none."""

    # The rules of ``_parse`` that a pattern can express.
    pattern = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\x00-\x20\x7f\\/?#@]+([/?#][^\x00-\x20\x7f\\]*)?$"

    def __init__(self, *, allow_empty: bool = False, **kwargs: Any) -> None:
        bounds = validate.Length(0 if allow_empty else 1, MAX_URL_LENGTH)
        super().__init__(validate=bounds, **kwargs)
        self._allows_empty = allow_empty
        if allow_empty:
            self.metadata = {"pattern": f"^({self.pattern[1:-1]})?$", **self.metadata}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        url = super()._deserialize(value, attr, data, **kwargs)
        if url or not self._allows_empty:
            try:
                _parse(url)
            except ValueError as error:
                raise ValidationError(str(error)) from error
        return url


def parse_webhook_url(url: str) -> WebhookUrl:
    """Parse a webhook URL.

    Raises:
        Invalid: it is malformed, or its scheme or port is not allowed whatever the host resolves to.
    """
    try:
        return _parse(url)
    except ValueError as error:
        raise Invalid(problems=[f"url: {error}"]) from error


def refusal_reason(target: WebhookUrl, resolved: ResolvedHost) -> str:
    """Return why a webhook must not be sent to a host with these addresses, as a sentence; empty if it may."""
    if not resolved.allowed_addresses:
        return f"{target.host} resolves to no address that may be called."
    if target.scheme == "http" and not resolved.is_opened_by_operator:
        return "Public hosts require https."
    return ""


def _parse(url: str) -> WebhookUrl:
    """Raise ValueError with a sentence for the caller."""
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"Longer than {MAX_URL_LENGTH} characters.")
    if any(ord(character) <= 32 or ord(character) == 127 for character in url) or "\\" in url:
        raise ValueError("Contains white space, control characters or a backslash.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"Not a valid URL: {error}.") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("Must begin with https:// (or http:// for hosts that the operator has allowed).")
    if parts.username is not None or parts.password is not None:
        raise ValueError("Contains a user or a password; put a secret into the path, or verify the signature.")
    port = DEFAULT_PORTS[parts.scheme] if port is None else port
    if port in BLOCKED_PORTS or (port < MIN_UNPRIVILEGED_PORT and port not in DEFAULT_PORTS.values()):
        raise ValueError(
            f"Port {port} is not allowed: use 80, 443 or {MIN_UNPRIVILEGED_PORT} to 65535, except database and "
            f"admin ports."
        )
    return WebhookUrl(url, parts.scheme, _normalize_host(parts.hostname or ""), port)


def _normalize_host(name: str) -> str:
    """Return the host as resolvers take it: without a zone or a trailing dot, IDNA-encoded."""
    if ":" in name:
        try:
            return str(ipaddress.ip_address(name.partition("%")[0]))
        except ValueError as error:
            raise ValueError("The host is not a valid IPv6 address.") from error
    # Resolvers do not decode percent escapes, but HTTP clients may: the two would disagree about the host.
    if "%" in name:
        raise ValueError("The host contains '%'.")
    try:
        host = name.rstrip(".").encode("idna").decode()
    except UnicodeError as error:
        raise ValueError("The host is not a valid name.") from error
    if not host:
        raise ValueError("Has no host.")
    if len(host) > MAX_HOST_LENGTH:
        raise ValueError("The host is too long.")
    return host
