"""Owns the checking of keys: where a request may carry one, and what happens without.

Put before every request of the blueprints that need a key.
"""

from flask import g, request

from api.context import stores
from schemas.errors import Unauthorized
from schemas.keys import Caller

LONGEST_KEY = 512


def require_key() -> None:
    """Let only callers with a valid key pass.

    Raises:
        Unauthorized: there is no key, or it is nobody's.
    """
    if request.method != "OPTIONS":
        caller = identify()
        if caller is None:
            raise Unauthorized
        g.caller = caller


def identify() -> Caller | None:
    """Whose key the request carries; None if it carries none.

    Raises:
        Unauthorized: it carries one that is nobody's.
    """
    key = _key()
    if not key:
        return None
    caller = stores().keys.caller(key) if len(key) <= LONGEST_KEY else None
    if caller is None:
        raise Unauthorized
    return caller


def _key() -> str:
    """``x-api-key: KEY``, ``Authorization: Bearer KEY``, or ``Authorization: KEY``."""
    if key := request.headers.get("x-api-key"):
        return key.strip()
    word, _, rest = request.headers.get("Authorization", "").strip().partition(" ")
    return rest.strip() if word.lower() == "bearer" else word
