"""Authentication and authorization of requests: API keys, session cookies, scopes and rate limits.

A session may call every route that its key may call. What changes something needs proof of the same origin in addition
(``api.http.session_cookie``).
"""

from flask import Flask, g, request

from api.http.context import stores
from api.http.rate_limits import count_anonymous, count_caller
from api.http.route_policy import SAFE_METHODS, Access, changes_something, current_policy
from api.http.session_cookie import require_same_origin, session_caller, session_token
from schemas.accounts.caller import Caller, Scope
from schemas.accounts.session_requests import MAX_KEY_LENGTH
from schemas.errors import Forbidden, Unauthorized
from stores.accounts.key_revocation import Credential

READ_METHODS = ("GET", "HEAD")
BASIC = "basic"
BASIC_CHANGES_NOTHING = (
    "GET requests with basic authentication may not change anything (CSRF protection); send "
    "the key as 'x-api-key' or 'Authorization: Bearer', or use POST."
)


def init_authorization(app: Flask) -> None:
    """Check every request against the policy of its route."""
    app.before_request(_authorize)


def _authorize() -> None:
    """Identify the caller, count the request, and check the scope.

    A key takes precedence over a session cookie.

    Raises:
        Unauthorized: no valid key and no session where one is needed.
        Forbidden: the caller lacks the scope, or a cross-site request is authenticated by a cookie only (CSRF).
        LimitReached: the caller or the address has reached a rate limit.
    """
    policy = current_policy()
    if policy.access is Access.ANONYMOUS:
        count_anonymous()
    # CORS preflights carry no credentials.
    if policy.access is not Access.KEY or request.method == "OPTIONS":
        return
    admit(policy.scope or (Scope.READ if request.method in READ_METHODS else Scope.GENERATE))


def admit(scope: Scope) -> None:
    """Identify the caller of the current request, count the request, and require a scope; raises as ``_authorize``."""
    caller = authenticate() or session_caller()
    if caller is None:
        count_anonymous()
        is_public = current_policy().reads_gallery and stores().settings.gallery_public
        if is_public and request.method in READ_METHODS:
            return
        raise Unauthorized
    g.caller = caller
    count_caller(caller)
    if not caller.has_scope(scope):
        raise Forbidden(f"This key lacks the scope '{scope}'.")


def current_credential() -> Credential:
    """Return the credential of the current request."""
    key = api_key_from_request()
    return Credential(key=key) if key else Credential(session=session_token())


def authenticate() -> Caller | None:
    """Return the caller of the request's API key; None if the request has no key.

    Raises:
        Unauthorized: the key is not valid.
        LimitReached: too many requests from this address.
    """
    key = api_key_from_request()
    if not key:
        return None
    caller: Caller | None = stores().api_keys.authenticate(key) if len(key) <= MAX_KEY_LENGTH else None
    if caller is None:
        count_anonymous()
        raise Unauthorized
    _require_intent()
    return caller


def api_key_from_request() -> str:
    """Return the key of the request, or ``""``.

    It is in ``x-api-key: KEY``, ``Authorization: Bearer KEY`` or ``Authorization: KEY``, or it is the password (the
    name, if there is no password) of ``Authorization: Basic``.
    """
    if key := request.headers.get("x-api-key"):
        return key.strip()
    scheme, _, credentials = request.headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == BASIC:
        login = request.authorization
        return (login.password or login.username or "").strip() if login else scheme
    return credentials.strip() if scheme.lower() == "bearer" else scheme


def _require_intent() -> None:
    """Refuse a key that a browser has stored as a password and sends along with requests of other sites' pages (CSRF).

    No answer asks browsers for a password, so this concerns addresses that contain one. Safe methods change nothing
    with it: neither addresses that a browser opens nor, without TLS, pictures in pages of other sites can be told from
    requests of programs.
    """
    headers = request.headers
    is_stored = "x-api-key" not in headers and headers.get("Authorization", "").lower().startswith(f"{BASIC} ")
    if is_stored and changes_something() and headers.get("Origin") not in stores().settings.cors_origins:
        if request.method in SAFE_METHODS:
            raise Forbidden(BASIC_CHANGES_NOTHING)
        require_same_origin(allow_non_browser=True)
