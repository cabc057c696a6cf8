"""Views for webhook deliveries: list, read, send again."""

from typing import Any

from flask import Response, jsonify
from marshmallow import fields

from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.route_policy import Access
from api.webhooks.serializers import attempt_view, delivery_view
from schemas.accounts.caller import Scope
from schemas.errors import Conflict
from schemas.fields import Text
from schemas.paging import Cursor, PageQuery
from schemas.webhooks.subscriptions import DeliveryPage, DeliveryState, DeliveryView, Redelivered, RedeliveryRequest

blueprint = Blueprint(
    "deliveries", __name__, access=Access.KEY, url_prefix="/api/v1/deliveries", description="Webhook deliveries."
)


class DeliveriesQuery(PageQuery):
    """Filters and page of a list of deliveries."""

    webhookId = Text(metadata={"description": "Only deliveries to this webhook."})
    jobId = Text(metadata={"description": "Only deliveries about this job."})
    state = fields.Enum(DeliveryState, by_value=True)


@blueprint.route("")
@blueprint.arguments(DeliveriesQuery, location="query")
@blueprint.response(200, DeliveryPage)
def listing(query: dict[str, Any]) -> Response:
    """Your deliveries, newest first. Delivered ones are kept for a week, failed ones for a month."""
    columns = {"webhookId": "webhook", "jobId": "job_id", "state": "state"}
    filters = {column: query[name] for name, column in columns.items() if name in query}
    cursor = Cursor.decode(query["cursor"]) if "cursor" in query else None
    deliveries, next_cursor = stores().deliveries.page(caller().id, filters, cursor, query["limit"])
    views = [delivery_view(delivery) for delivery in deliveries]
    return jsonify({"deliveries": views, "nextCursor": next_cursor.encode() if next_cursor else None})


@blueprint.route("/<delivery_id>")
@blueprint.response(200, DeliveryView)
def read(delivery_id: str) -> Response:
    """One of your deliveries, with its attempts."""
    delivery = stores().deliveries.get(caller().id, delivery_id)
    # A caller may have named an address inside the operator's network, so only admins see what it responded.
    is_admin = caller().has_scope(Scope.ADMIN)
    attempts = stores().deliveries.list_attempts(delivery.id)
    views = [attempt_view(attempt, include_excerpt=is_admin) for attempt in attempts]
    return jsonify(delivery_view(delivery) | {"attempts": views})


@blueprint.route("/<delivery_id>/redeliver", methods=["POST"])
@blueprint.response(202, DeliveryView)
@blueprint.sends(Conflict)
def redeliver(delivery_id: str) -> Response:
    """Send a delivery again, with the same id."""
    delivery = stores().deliveries.redeliver(caller().id, delivery_id)
    stores().outbox.wake_dispatchers()
    response = jsonify(delivery_view(delivery))
    response.status_code = 202
    return response


@blueprint.route("/redeliver", methods=["POST"])
@blueprint.arguments(RedeliveryRequest())
@blueprint.response(202, Redelivered)
def redeliver_failed(body: dict[str, Any]) -> Response:
    """Send again all deliveries that have failed since a time."""
    count = stores().deliveries.redeliver_failed(caller().id, body["since"], body.get("webhookId"))
    stores().outbox.wake_dispatchers()
    response = jsonify({"redelivered": count})
    response.status_code = 202
    return response
