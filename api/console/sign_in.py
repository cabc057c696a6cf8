"""The ways into the console: a key, or a link that signs one browser in.

A link has its token in the fragment, which browsers do not send: opening the link shows a page whose script posts the
token. So programs that preview links do not use them up, and no log of requests has a token.
"""

import re
from urllib.parse import unquote, urlsplit

import structlog
from flask import Response, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from api.accounts.sessions import require_valid_key
from api.console.page import HOME_PATH, SIGN_IN_PATH, page_blueprint, render
from api.http import session_cookie
from api.http.context import stores
from api.http.rate_limits import count_anonymous, count_login_attempt
from api.http.request_bodies import read_body
from schemas.accounts.session_requests import parse_key
from schemas.errors import Forbidden, Invalid, NotFound, ServiceError, Unauthorized
from schemas.http.urls import url_origin

LINK_PATH = f"{SIGN_IN_PATH}/link"
# A path of this server: not "//host", and nothing that browsers read as such.
LOCAL_PATH = re.compile(r"/(?![/\\])[^\s\\]*")
# The first parts of addresses of pages, of the console and of the gallery.
PAGE_FOLDERS = ("", "console", "gallery", "c", "u")

blueprint = page_blueprint("sign_in")
blueprint.before_request(count_anonymous)
log = structlog.get_logger(__name__)


@blueprint.route(SIGN_IN_PATH)
def form() -> BaseResponse:
    """Show the form; redirect a browser that has already signed in."""
    if session_cookie.session_caller():
        return redirect(_target())
    return sign_in_page(_target())


@blueprint.route(SIGN_IN_PATH, methods=["POST"])
def sign_in() -> BaseResponse:
    """Sign in with a key and redirect to the requested page."""
    session_cookie.require_same_origin()
    count_login_attempt()
    read_body()
    try:
        session_cookie.require_storable_cookie()
        key = parse_key(request.form)
        caller = require_valid_key(key)
    except (Unauthorized, Invalid, Forbidden) as error:
        return sign_in_page(_target(), error)
    log.info("login.began", caller=caller.id, address=request.remote_addr)
    return _begin_session(stores().sessions.create(caller, key), _target())


@blueprint.route(LINK_PATH)
def open_link() -> Response:
    """Show the page that uses the link."""
    return render("follow_link.html", title="Signing in")


@blueprint.route(LINK_PATH, methods=["POST"])
def use_link() -> BaseResponse:
    """Use the link up and sign this browser in."""
    session_cookie.require_same_origin()
    count_login_attempt()
    read_body()
    try:
        session_cookie.require_storable_cookie()
        link = stores().sign_in_links.use(
            request.form.get("token", ""), _opened_host(), is_local=session_cookie.is_local_browser()
        )
    except (NotFound, Forbidden) as error:
        return sign_in_page(HOME_PATH, error)
    log.info("login.began_by_link", caller=link.caller_id, address=request.remote_addr)
    return _begin_session(stores().sessions.create_for_version(link.caller_id, link.key_version), HOME_PATH)


@blueprint.route("/console/sign-out", methods=["POST"])
def sign_out() -> BaseResponse:
    """End the session and show the form."""
    session_cookie.require_same_origin()
    stores().sessions.end(session_cookie.session_token())
    response = _see_other(SIGN_IN_PATH)
    session_cookie.clear_session_cookie(response)
    return response


def sign_in_page(target: str, error: ServiceError | None = None) -> Response:
    """Return the page with the form; ``target`` is where it leads, ``error`` why the last attempt failed."""
    return render("sign_in.html", status=error.status if error else 200, title="Sign in", target=target, error=error)


def _begin_session(token: str, target: str) -> BaseResponse:
    response = _see_other(target)
    session_cookie.begin_session(response, token)
    return response


def _see_other(path: str) -> Response:
    return Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


def _target() -> str:
    """Return where to go on: a page, for the browser is sent there with the proof of this server's own form."""
    target = request.values.get("next", HOME_PATH)
    path = target.removeprefix(urlsplit(stores().settings.public_url).path)
    if not LOCAL_PATH.fullmatch(path):
        return HOME_PATH
    parts = unquote(re.split("[?#]", path)[0]).split("/")
    return target if parts[1] in PAGE_FOLDERS and not {".", ".."} & set(parts) else HOME_PATH


def _opened_host() -> str:
    """Return host and port that the browser has opened: a proxy may replace Host, but not Origin."""
    origin = url_origin(request.headers.get("Origin", ""))
    return origin.partition("://")[2] if origin else request.host
