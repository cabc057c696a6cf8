"""The session cookie: setting, renewing and checking it.

Browsers send cookies with cross-site requests, so a cookie does not prove intent. Requests that change something need
a same-origin ``Sec-Fetch-Site`` or ``Origin`` header in addition (CSRF protection).
"""

import ipaddress

from flask import Flask, Response, g, request

from api.http.context import stores
from api.http.route_policy import SAFE_METHODS, changes_something
from ops.infra.dns import local_addresses
from schemas.accounts.caller import Caller
from schemas.errors import Forbidden
from schemas.http.request_origin import RequestOrigin, classify_origin
from stores.accounts.sessions import SESSION_TTL_S

COOKIE_NAME = "darkroom_session"
# Each is sent by a proxy, which could stand for a browser on any machine.
PROXY_HEADERS = ("Forwarded", "Via", "X-Real-IP", "X-Forwarded-For")
MESSAGES = {
    RequestOrigin.CROSS_ORIGIN: "A page of another site sent this request (CSRF protection).",
    RequestOrigin.UNKNOWN: "The request has neither Sec-Fetch-Site nor Origin, so it cannot be checked against CSRF. "
    "Use an API key instead of the session cookie.",
}


def session_caller() -> Caller | None:
    """Return the caller of the request's session; None without a valid session.

    Raises:
        Forbidden: the request may change something and is not from a page of this server.
    """
    token = session_token()
    session = stores().sessions.get(token) if token else None
    if session is None:
        return None
    if changes_something():
        _refuse_navigation()
        require_same_origin()
    if session.is_renewed:
        g.renewed_token = token
    return session.caller


def _refuse_navigation() -> None:
    """Refuse a safe method that changes something unless a script sent it: links and redirects come from anywhere."""
    if request.method not in SAFE_METHODS:
        return
    if request.headers.get("Sec-Fetch-Site") == "none" or request.headers.get("Sec-Fetch-Mode") == "navigate":
        raise Forbidden("Opening a URL in a browser may not change anything (CSRF protection); use the console.")


def require_same_origin(*, allow_non_browser: bool = False) -> None:
    """Raise Forbidden unless a page of this server sent the request.

    ``allow_non_browser`` also accepts requests with neither ``Sec-Fetch-Site`` nor ``Origin``, as programs send them.
    """
    own_urls = [stores().settings.public_url, f"{request.scheme}://{request.host}"]
    origin = classify_origin(request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin"), own_urls)
    if origin is not RequestOrigin.SAME_ORIGIN and not (allow_non_browser and origin is RequestOrigin.UNKNOWN):
        raise Forbidden(MESSAGES[origin])


def session_token() -> str:
    """Return the token of the cookie, or ``""``."""
    tokens = request.cookies.getlist(COOKIE_NAME)
    # A neighbouring host can plant a second cookie for the parent domain; which of the two is ours cannot be told.
    return tokens[0] if len(tokens) == 1 else ""


def set_session_cookie(response: Response, token: str) -> None:
    """Store the token in the browser."""
    secure = _is_secure()
    response.set_cookie(COOKIE_NAME, token, SESSION_TTL_S, path="/", secure=secure, httponly=True, samesite="Lax")


def is_local_browser() -> bool:
    """Whether the browser runs on this machine."""
    is_proxied = any(name in request.headers for name in PROXY_HEADERS)
    # A trusted proxy states the browser's own address.
    if is_proxied and not (stores().settings.trusted_proxies and "X-Forwarded-For" in request.headers):
        return False
    try:
        address = ipaddress.ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return False
    # Servers that listen for IPv6 see IPv4 clients in this form.
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or str(address) in local_addresses()


def require_storable_cookie() -> None:
    """Raise Forbidden if the browser would drop the cookie without a word: it takes a Secure one over TLS only."""
    if _is_secure() and _has_plain_page():
        raise Forbidden(
            f"This page was opened without TLS, so the browser would not keep the session: open "
            f"{stores().settings.public_url} instead."
        )


def _is_secure() -> bool:
    """Whether the browser may send the cookie over TLS only, as it should where PUBLIC_URL is https.

    Not for a browser on this machine that has opened a page without TLS, as by the link of ``./darkroom up``: what it
    sends does not leave the machine.
    """
    return stores().settings.public_url.startswith("https:") and not (_has_plain_page() and is_local_browser())


def _has_plain_page() -> bool:
    return request.headers.get("Origin", "").startswith("http:")


def begin_session(response: Response, token: str) -> None:
    """Give the browser a new session in place of its present one, which ends.

    The token is always new: the present one may be known to an attacker (session fixation).
    """
    stores().sessions.end(session_token())
    # The present one must not be renewed after this.
    g.pop("renewed_token", None)
    set_session_cookie(response, token)


def clear_session_cookie(response: Response) -> None:
    """Delete the token from the browser."""
    g.pop("renewed_token", None)
    secure = _is_secure()
    response.delete_cookie(COOKIE_NAME, path="/", secure=secure, httponly=True, samesite="Lax")


def init_cookie_renewal(app: Flask) -> None:
    """Extend the cookie's lifetime in the browser whenever a request has extended the session."""
    app.after_request(_renew_cookie)


def _renew_cookie(response: Response) -> Response:
    # A shared cache may store public responses, so they must not carry a cookie.
    if "renewed_token" in g and not response.cache_control.public:
        set_session_cookie(response, g.renewed_token)
    return response
