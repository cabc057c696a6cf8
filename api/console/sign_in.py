"""The ways into the console: a key, or a link that signs one browser in.

A link is followed in two steps. Opening it shows a page that sends a form at once, and only the form uses the link up,
so a program that previews links does not.
"""

import ipaddress
import re

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

# A path of this server: not "//host", and nothing that browsers read as such.
LOCAL_PATH = re.compile(r"/(?![/\\])[^\s\\]*")

blueprint = page_blueprint("sign_in")
blueprint.before_request(count_anonymous)
log = structlog.get_logger(__name__)


@blueprint.route(SIGN_IN_PATH)
def form() -> BaseResponse:
    """Show the form; a browser that has signed in already goes on."""
    if session_cookie.session_caller():
        return redirect(_target())
    return sign_in_page(_target())


@blueprint.route(SIGN_IN_PATH, methods=["POST"])
def sign_in() -> BaseResponse:
    """Sign in with a key and go on to the page that was asked for."""
    session_cookie.require_same_origin()
    count_login_attempt()
    read_body()
    try:
        key = parse_key(request.form)
        caller = require_valid_key(key)
    except (Unauthorized, Invalid) as error:
        return sign_in_page(_target(), error)
    log.info("login.began", caller=caller.id, address=request.remote_addr)
    return _begin_session(stores().sessions.create(caller, key), _target())


@blueprint.route(f"{SIGN_IN_PATH}/<token>")
def open_link(token: str) -> Response:
    """Show the page that uses the link."""
    try:
        stores().sign_in_links.check(token, request.host, is_local=_is_local())
    except (NotFound, Forbidden) as error:
        return sign_in_page(HOME_PATH, error)
    return render("follow_link.html", title="Signing in")


@blueprint.route(f"{SIGN_IN_PATH}/<token>", methods=["POST"])
def use_link(token: str) -> BaseResponse:
    """Use the link up and sign this browser in."""
    session_cookie.require_same_origin()
    count_login_attempt()
    try:
        link = stores().sign_in_links.use(token, request.host, is_local=_is_local())
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
    # Always a new token: the old one may be known to an attacker (session fixation).
    stores().sessions.end(session_cookie.session_token())
    response = _see_other(target)
    session_cookie.set_session_cookie(response, token)
    return response


def _see_other(path: str) -> Response:
    return Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


def _target() -> str:
    target = request.values.get("next", HOME_PATH)
    return target if LOCAL_PATH.fullmatch(target) else HOME_PATH


def _is_local() -> bool:
    """Whether the browser runs on this machine: a proxy that is not trusted could stand for any other one."""
    if "X-Forwarded-For" in request.headers and not stores().settings.trusted_proxies:
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False
