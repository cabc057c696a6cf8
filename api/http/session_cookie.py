"""The cookie by which a browser is signed in: what it looks like, whom it stands for, when it counts.

A request that only a cookie vouches for may change things if a page of ours
made it: other pages can make a browser send the cookie, but not the header fields that say so.
"""

from flask import Flask, Response, g, request

from api.http.context import stores
from schemas.accounts.caller import Caller
from schemas.errors import Forbidden
from schemas.http.request_origin import Sender, sender_of
from stores.accounts.sessions import LASTING_S

COOKIE = "darkroom_session"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
WORDS = {
    Sender.ANOTHERS: "This request comes from a page of another site, and such pages may change nothing here.",
    Sender.UNKNOWN: "A request that is signed in by a cookie may change something only if it says that a page of this "
    "server made it: it has neither Sec-Fetch-Site nor Origin. Programs use an API key instead.",
}


def signed_in() -> Caller | None:
    """Whoever the cookie stands for, if it may do what the request asks for; None if nobody is signed in.

    Raises:
        Forbidden: it would change something, and no page of ours has made it.
    """
    token = token_given()
    login = stores().logins.find(token) if token else None
    if login is None:
        return None
    if request.method not in SAFE_METHODS:
        require_own_page()
    if login.renewed:
        g.renewed_token = token
    return login.caller


def require_own_page(*, or_program: bool = False) -> None:
    """Let only requests pass that a page of this server has made; ``or_program``: or that say nothing of any page.

    Raises:
        Forbidden: another page has made it, or it does not say.
    """
    ours = [stores().settings.public_url, f"{request.scheme}://{request.host}"]
    sender = sender_of(request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin"), ours)
    if sender is not Sender.OURS and not (or_program and sender is Sender.UNKNOWN):
        raise Forbidden(WORDS[sender])


def token_given() -> str:
    """The cookie's value; nothing if there is none, or several, one of which somebody else must have set."""
    tokens = request.cookies.getlist(COOKIE)
    return tokens[0] if len(tokens) == 1 else ""


def put(response: Response, token: str) -> None:
    """Have the browser keep the token."""
    secure = stores().settings.public_url.startswith("https:")
    response.set_cookie(COOKIE, token, LASTING_S, path="/", secure=secure, httponly=True, samesite="Lax")


def remove(response: Response) -> None:
    """Have the browser forget its token."""
    g.pop("renewed_token", None)
    secure = stores().settings.public_url.startswith("https:")
    response.delete_cookie(COOKIE, path="/", secure=secure, httponly=True, samesite="Lax")


def renew_cookies(app: Flask) -> None:
    """Let the browser's copy last as long as the login, whatever view answers."""
    app.after_request(_renew)


def _renew(response: Response) -> Response:
    # What proxies may keep for everybody must not have somebody's cookie.
    if "renewed_token" in g and not response.cache_control.public:
        put(response, g.renewed_token)
    return response
