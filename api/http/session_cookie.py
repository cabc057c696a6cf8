"""The cookie by which a browser is signed in: what it looks like, whom it stands for, when it counts.

A request that only a cookie vouches for may change things if a page of ours
made it: other pages can make a browser send the cookie, but not the header fields that say so.
"""

from flask import Flask, Response, g, request

from api.http.context import stores
from schemas.accounts.caller import Caller
from schemas.errors import Forbidden
from schemas.http.request_origin import RequestOrigin, classify_origin
from stores.accounts.sessions import SESSION_TTL_S

COOKIE_NAME = "darkroom_session"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
MESSAGES = {
    RequestOrigin.CROSS_ORIGIN: "A page of another site sent this request (CSRF protection).",
    RequestOrigin.UNKNOWN: "The request has neither Sec-Fetch-Site nor Origin, so it cannot be checked against CSRF. "
    "Use an API key instead of the session cookie.",
}


def session_caller() -> Caller | None:
    """Whoever the cookie stands for, if it may do what the request asks for; None if nobody is signed in.

    Raises:
        Forbidden: it would change something, and no page of ours has made it.
    """
    token = session_token()
    login = stores().sessions.get(token) if token else None
    if login is None:
        return None
    if request.method not in SAFE_METHODS:
        require_same_origin()
    if login.is_renewed:
        g.renewed_token = token
    return login.caller


def require_same_origin(*, allow_non_browser: bool = False) -> None:
    """Let only requests pass that a page of this server has made; ``or_program``: or that say nothing of any page.

    Raises:
        Forbidden: another page has made it, or it does not say.
    """
    ours = [stores().settings.public_url, f"{request.scheme}://{request.host}"]
    sender = classify_origin(request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin"), ours)
    if sender is not RequestOrigin.SAME_ORIGIN and not (allow_non_browser and sender is RequestOrigin.UNKNOWN):
        raise Forbidden(MESSAGES[sender])


def session_token() -> str:
    """The cookie's value; nothing if there is none, or several, one of which somebody else must have set."""
    tokens = request.cookies.getlist(COOKIE_NAME)
    return tokens[0] if len(tokens) == 1 else ""


def set_session_cookie(response: Response, token: str) -> None:
    """Have the browser keep the token."""
    secure = stores().settings.public_url.startswith("https:")
    response.set_cookie(COOKIE_NAME, token, SESSION_TTL_S, path="/", secure=secure, httponly=True, samesite="Lax")


def clear_session_cookie(response: Response) -> None:
    """Have the browser forget its token."""
    g.pop("renewed_token", None)
    secure = stores().settings.public_url.startswith("https:")
    response.delete_cookie(COOKIE_NAME, path="/", secure=secure, httponly=True, samesite="Lax")


def init_cookie_renewal(app: Flask) -> None:
    """Let the browser's copy last as long as the login, whatever view answers."""
    app.after_request(_renew_cookie)


def _renew_cookie(response: Response) -> Response:
    # What proxies may keep for everybody must not have somebody's cookie.
    if "renewed_token" in g and not response.cache_control.public:
        set_session_cookie(response, g.renewed_token)
    return response
