"""Signing in and out with a browser: a key once, and from then on a cookie that no page can read.

The cookie counts below ``/api/models`` and here; everything under ``/api/v1`` takes keys only.
"""

from typing import Any

import structlog
from flask import Response, jsonify, request
from flask_smorest import Blueprint
from werkzeug.exceptions import UnsupportedMediaType

from api.http import session_cookie
from api.http.context import stores
from api.http.rate_limits import count_caller, count_login, count_stranger
from schemas.accounts.caller import Caller
from schemas.accounts.session_requests import read_key
from schemas.errors import Unauthorized

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"type": "object", "properties": {"key": {"type": "string"}}}}},
}

blueprint = Blueprint("login", __name__, url_prefix="/api/session", description="Signing in with a browser.")
log = structlog.get_logger(__name__)


@blueprint.route("", methods=["POST"])
@blueprint.doc(security=[{}], requestBody=BODY)
@blueprint.response(200, description="`name` and `scopes`; the cookie lasts for 30 days from its last use.")
def sign_in() -> Response:
    """Sign in with an API key, as JSON or as a form; whoever was signed in with this browser no longer is."""
    session_cookie.require_own_page(or_program=True)
    count_login()
    key = read_key(_body())
    caller = _prove(key)
    # Never the token that came along: somebody else may know that one.
    stores().logins.end(session_cookie.token_given())
    token = stores().logins.begin(caller, key)
    log.info("login.began", caller=caller.id, address=request.remote_addr)
    response = _shown(caller)
    session_cookie.put(response, token)
    return response


@blueprint.route("", methods=["GET"])
@blueprint.doc(security=[{"session": []}])
@blueprint.response(200, description="`name` and `scopes`.")
def read() -> Response:
    """Who is signed in."""
    return _shown(_who())


@blueprint.route("", methods=["DELETE"])
@blueprint.doc(security=[{"session": []}])
@blueprint.response(204)
def sign_out() -> Response:
    """Sign out; to do it twice changes nothing."""
    count_stranger()
    session_cookie.require_own_page(or_program=not session_cookie.token_given())
    stores().logins.end(session_cookie.token_given())
    return _signed_out()


@blueprint.route("/all", methods=["DELETE"])
@blueprint.doc(security=[{"session": []}])
@blueprint.response(204)
def sign_out_everywhere() -> Response:
    """Sign out here and wherever else somebody is signed in with the same key."""
    stores().logins.end_all(_who().id)
    return _signed_out()


def _prove(key: str) -> Caller:
    caller = stores().keys.prove(key)
    if caller is None:
        log.info("login.refused", address=request.remote_addr)
        raise Unauthorized("The key is not valid: it is mistyped, or it was revoked or replaced.")
    return caller


def _who() -> Caller:
    caller = session_cookie.signed_in()
    if caller is None:
        count_stranger()
        raise Unauthorized
    count_caller(caller, submits=False)
    return caller


def _body() -> Any:
    if request.is_json:
        return request.get_json()
    if request.mimetype not in FORMS:
        raise UnsupportedMediaType("Send the key as JSON or as a form.")
    return request.form


def _shown(caller: Caller) -> Response:
    response = jsonify({"name": caller.name, "scopes": sorted(caller.scopes)})
    response.headers["Cache-Control"] = "no-store"
    return response


def _signed_out() -> Response:
    response = Response(status=204, headers={"Cache-Control": "no-store"})
    session_cookie.remove(response)
    return response
