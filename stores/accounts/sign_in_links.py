"""Links that sign a browser in once: Redis keeps the hash of the token for ten minutes.

A link belongs to one address of the server (host and port), and unless it is shared only browsers on the same machine
may use it. It ends with the API key that it was made for.
"""

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import asdict, dataclass
from typing import Any, Self

from redis import Redis

from schemas.errors import Forbidden, NotFound
from stores.accounts.api_keys import ApiKeys
from stores.redis.keys import sign_in_link_key

LINK_TTL_S = 600
TOKEN_BYTES = 32
TOKEN_PATTERN = re.compile(r"[A-Za-z0-9_-]{43}")
DEFAULT_PORT = re.compile(r":(?:80|443)$")
USED_UP = "This link has been used already, or is older than ten minutes. Sign in with a key instead."


@dataclass(frozen=True, slots=True)
class SignInLink:
    """A link: whom it signs in, the version of their key, and from where it may be opened."""

    caller_id: str
    key_version: str
    host: str
    is_shared: bool

    @classmethod
    def from_json(cls, text: bytes) -> Self | None:
        """Decode a link; None if it is not one."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError):
            return None


class SignInLinks:
    """The links in one Redis. Every method may raise Unavailable."""

    def __init__(self, client: Redis, keys: ApiKeys) -> None:
        self._redis = client
        self._keys = keys

    def use(self, token: str, host: str, *, is_local: bool) -> SignInLink:
        """Return a link and delete it; of several calls one succeeds, and a refusal does not use the link up.

        ``host`` is the host and port that the browser has opened, ``is_local`` whether it runs on this machine.

        Raises:
            NotFound: the link is unknown, used or too old, or its key is no longer valid.
            Forbidden: it was opened from elsewhere.
        """
        if not TOKEN_PATTERN.fullmatch(token):
            raise NotFound(USED_UP)
        self._require_usable(self._redis.get(_name(token)), host, is_local=is_local)
        return self._require_usable(self._redis.getdel(_name(token)), host, is_local=is_local)

    def _require_usable(self, text: Any, host: str, *, is_local: bool) -> SignInLink:
        link = SignInLink.from_json(text) if text else None
        owner = self._keys.get_owner(link.caller_id, refresh=True) if link else None
        if link is None or owner is None or not hmac.compare_digest(owner.version, link.key_version):
            raise NotFound(USED_UP)
        if _without_default_port(link.host) != _without_default_port(host):
            raise Forbidden(f"This link is for {link.host}; open it there.")
        if not link.is_shared and not is_local:
            raise Forbidden("This link is for browsers on Darkroom's own machine; start with --share-link for others.")
        return link


def store_sign_in_link(client: Redis, link: SignInLink) -> str:
    """Store a link and return its token; raises Unavailable."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    client.set(_name(token), json.dumps(asdict(link)), px=LINK_TTL_S * 1000)
    return token


def _without_default_port(host: str) -> str:
    """Return a host and port as browsers write them, which leave out the default port."""
    return DEFAULT_PORT.sub("", host.lower())


def _name(token: str) -> str:
    return sign_in_link_key(hashlib.sha256(token.encode()).hexdigest())
