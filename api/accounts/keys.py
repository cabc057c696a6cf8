"""What callers may do to the key that they hold: put a new one in its place."""

import structlog
from flask import Response, jsonify
from flask_smorest import Blueprint

from api.http.auth import api_key_from_request, require_key, require_scope
from api.http.context import caller, stores
from schemas.accounts.caller import Scope

REGENERATED_MESSAGE = "API key regenerated. Update your clients with the new key."

blueprint = Blueprint("keys", __name__, url_prefix="/api/v1/auth", description="Your key.")
blueprint.before_request(require_key)
log = structlog.get_logger(__name__)


@blueprint.route("/regenerate", methods=["POST"])
@blueprint.response(200, description="`key`, which is not shown again, and `message`.")
@blueprint.alt_response(409, description="It is the owner's key, and API_KEY sets it.")
@require_scope(Scope.READ)
def regenerate() -> Response:
    """A new key in place of the one that this request carries, which is over within a second."""
    key = stores().api_keys.regenerate(caller(), api_key_from_request())
    log.info("key.regenerated", caller=caller().id)
    response = jsonify({"key": key, "message": REGENERATED_MESSAGE})
    response.headers["Cache-Control"] = "no-store"
    return response
