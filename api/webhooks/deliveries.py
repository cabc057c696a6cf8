"""What callers see of deliveries to their webhooks: each with its attempts, and the sending of one once more."""

from typing import Any

from flask import Response, jsonify
from marshmallow import Schema, fields, validate

from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.route_policy import Access
from api.webhooks.serializers import delivery_view
from schemas.accounts.caller import Scope
from schemas.fields import Text
from schemas.paging import Cursor
from schemas.webhooks.subscriptions import (
    DeliveryAttempt,
    DeliveryPage,
    DeliveryState,
    DeliveryView,
    RedeliveryRequest,
)

blueprint = Blueprint(
    "deliveries", __name__, access=Access.KEY, url_prefix="/api/v1/deliveries", description="Webhook deliveries."
)


class DeliveriesQuery(Schema):
    """Which deliveries, and which page of them."""

    cursor = fields.String()
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100))
    webhookId = Text()
    jobId = Text()
    state = fields.Enum(DeliveryState, by_value=True)


@blueprint.route("")
@blueprint.arguments(DeliveriesQuery, location="query")
@blueprint.response(200, DeliveryPage)
def listing(query: dict[str, Any]) -> Response:
    """Your deliveries, newest first; delivered ones are kept for a week, failed ones for a month."""
    names = {"webhookId": "webhook", "jobId": "job_id", "state": "state"}
    wanted = {column: query[name] for name, column in names.items() if name in query}
    cursor = Cursor.decode(query["cursor"]) if "cursor" in query else None
    found, following = stores().deliveries.page(caller().id, wanted, cursor, query["limit"])
    shown = [delivery_view(one) for one in found]
    return jsonify({"deliveries": shown, "nextCursor": following.encode() if following else None})


@blueprint.route("/<delivery_id>")
@blueprint.response(200, DeliveryView)
def read(delivery_id: str) -> Response:
    """A delivery of yours, with its attempts."""
    delivery = stores().deliveries.get(caller().id, delivery_id)
    attempts = [_attempt_view(one) for one in stores().deliveries.list_attempts(delivery.id)]
    return jsonify(delivery_view(delivery) | {"attempts": attempts})


@blueprint.route("/<delivery_id>/redeliver", methods=["POST"])
@blueprint.response(202, DeliveryView)
def redeliver(delivery_id: str) -> Response:
    """Send a delivery once more, under the same id."""
    again = stores().deliveries.redeliver(caller().id, delivery_id)
    stores().outbox.wake_dispatchers()
    response = jsonify(delivery_view(again))
    response.status_code = 202
    return response


@blueprint.route("/redeliver", methods=["POST"])
@blueprint.arguments(RedeliveryRequest())
@blueprint.response(202, description="`redelivered`: how many.")
def redeliver_failed(body: dict[str, Any]) -> Response:
    """Send once more all that failed for good since a time."""
    count = stores().deliveries.redeliver_failed(caller().id, body["since"], body.get("webhookId"))
    stores().outbox.wake_dispatchers()
    response = jsonify({"redelivered": count})
    response.status_code = 202
    return response


def _attempt_view(attempt: DeliveryAttempt) -> dict[str, Any]:
    shown = {
        "at": attempt.at,
        "durationMs": attempt.duration_ms,
        "status": attempt.status,
        "error": attempt.error,
    }
    # What an address answers is none of a caller's business, who might have named one within this network.
    return shown | ({"excerpt": attempt.excerpt} if caller().has_scope(Scope.ADMIN) else {})
