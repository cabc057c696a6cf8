"""Browser sessions: sign in with an API key, then authenticate by an HttpOnly cookie.

The cookie is accepted by every route that accepts a key (``api.http.auth``).
"""

from typing import Any

import structlog
from flask import Response, jsonify, request
from werkzeug.exceptions import UnsupportedMediaType

from api.accounts.responses import SessionView, SignInRequest
from api.http import session_cookie
from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.error_responses import library_body
from api.http.rate_limits import count_anonymous, count_caller, count_login_attempt
from api.http.request_bodies import read_body
from api.http.route_policy import Access
from api.openapi.paths import REQUEST_ID
from schemas.accounts.caller import Caller
from schemas.accounts.session_requests import parse_key
from schemas.errors import Forbidden, Unauthorized

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
REQUEST_BODY = {
    "required": True,
    "content": {"application/json": {"schema": SignInRequest}, FORM_TYPES[0]: {"schema": SignInRequest}},
}

blueprint = Blueprint(
    "login",
    __name__,
    access=Access.CHECKED_BY_VIEW,
    error_format=library_body,
    url_prefix="/api/session",
    description="Browser sessions.",
)
log = structlog.get_logger(__name__)


@blueprint.route("", methods=["POST"])
@blueprint.doc(security=[{}], requestBody=REQUEST_BODY, parameters=[REQUEST_ID])
@blueprint.response(200, SessionView, description="The cookie is valid for 30 days from its last use.")
@blueprint.sends(Unauthorized, Forbidden)
def sign_in() -> Response:
    """Sign in with an API key, as JSON or as a form. This ends the browser's previous session."""
    session_cookie.require_same_origin(allow_non_browser=True)
    count_login_attempt()
    key = parse_key(_request_fields())
    caller = require_valid_key(key)
    log.info("login.began", caller=caller.id, address=request.remote_addr)
    response = _session_response(caller)
    session_cookie.begin_session(response, stores().sessions.create(caller, key))
    return response


@blueprint.route("", methods=["GET"])
@blueprint.doc(security=[{"session": []}])
@blueprint.response(200, SessionView)
@blueprint.sends(Unauthorized)
def read() -> Response:
    """The caller who is signed in."""
    return _session_response(_require_session())


@blueprint.route("", methods=["DELETE"])
@blueprint.doc(security=[{}, {"session": []}])
@blueprint.response(204)
@blueprint.sends(Forbidden)
def sign_out() -> Response:
    """Sign out; signing out twice is not an error."""
    count_anonymous()
    session_cookie.require_same_origin(allow_non_browser=not session_cookie.session_token())
    read_body()
    stores().sessions.end(session_cookie.session_token())
    return _signed_out_response()


@blueprint.route("/all", methods=["DELETE"])
@blueprint.doc(security=[{"session": []}])
@blueprint.response(204)
@blueprint.sends(Unauthorized, Forbidden)
def sign_out_everywhere() -> Response:
    """End all sessions of the signed-in key, on all devices."""
    stores().sessions.end_all(_require_session().id)
    return _signed_out_response()


def require_valid_key(key: str) -> Caller:
    """Return the caller who holds a key, read afresh; raises Unauthorized."""
    caller = stores().api_keys.authenticate_uncached(key)
    if caller is None:
        log.info("login.refused", address=request.remote_addr)
        raise Unauthorized("The key is not valid: it is mistyped, revoked or replaced.")
    return caller


def _require_session() -> Caller:
    caller = session_cookie.session_caller()
    if caller is None:
        count_anonymous()
        raise Unauthorized
    count_caller(caller)
    return caller


def _request_fields() -> Any:
    read_body()
    if request.is_json:
        return request.get_json()
    if request.mimetype not in FORM_TYPES:
        raise UnsupportedMediaType("Send the key as JSON or as a form.")
    return request.form


def _session_response(caller: Caller) -> Response:
    response = jsonify({"name": caller.name, "scopes": sorted(caller.scopes)})
    response.headers["Cache-Control"] = "no-store"
    return response


def _signed_out_response() -> Response:
    response = Response(status=204, headers={"Cache-Control": "no-store"})
    session_cookie.clear_session_cookie(response)
    return response
