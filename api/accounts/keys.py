"""Regeneration of the caller's own API key."""

import structlog
from flask import Response, jsonify

from api.accounts.responses import NewKey
from api.http.auth import api_key_from_request
from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.error_responses import library_body
from api.http.route_policy import Access, RoutePolicy
from schemas.accounts.caller import Scope

REGENERATED_MESSAGE = "API key regenerated. Update your clients with the new key."

blueprint = Blueprint(
    "keys",
    __name__,
    access=Access.KEY,
    error_format=library_body,
    url_prefix="/api/v1/auth",
    description="Your key.",
)
log = structlog.get_logger(__name__)


@blueprint.route("/regenerate", methods=["POST"], policy=RoutePolicy(scope=Scope.READ))
@blueprint.response(200, NewKey)
@blueprint.alt_response(409, description="The key is set by API_KEY and cannot be regenerated.")
def regenerate() -> Response:
    """Replace the key of this request or session by a new one; the old key and its sessions end within a second."""
    keys, current_key = stores().api_keys, api_key_from_request()
    key = keys.regenerate(caller(), current_key) if current_key else keys.regenerate_of_session(caller())
    log.info("key.regenerated", caller=caller().id)
    response = jsonify({"key": key, "message": REGENERATED_MESSAGE})
    response.headers["Cache-Control"] = "no-store"
    return response
