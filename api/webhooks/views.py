"""The webhooks of callers: which events are sent where, and the key that checks what was sent."""

import json
import secrets
from typing import Any

from flask import Response, jsonify

from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.route_policy import Access
from api.webhooks.serializers import delivery_view, webhook_view
from api.webhooks.target_check import require_allowed_url
from schemas.jobs.event_payloads import webhook_payload
from schemas.webhooks.subscriptions import (
    WEBHOOK_TEST_EVENT,
    DeliveryView,
    NewDelivery,
    WebhookChange,
    WebhookRequest,
    WebhookView,
)

GIVE_UP_REASON = "The webhook was {}."

blueprint = Blueprint(
    "webhooks", __name__, access=Access.KEY, url_prefix="/api/v1/webhooks", description="Webhook subscriptions."
)
public = Blueprint("webhook_keys", __name__, access=Access.ANONYMOUS, description="Public keys of webhooks.")


@blueprint.route("", methods=["POST"])
@blueprint.arguments(WebhookRequest())
@blueprint.response(201, WebhookView, description="The webhook with its `secret`, which is not shown again.")
@blueprint.alt_response(409, description="You have as many as one may have.")
def create(body: dict[str, Any]) -> Response:
    """Have events sent to an address."""
    require_allowed_url(body["url"], stores().address_policy)
    response = jsonify(webhook_view(stores().subscriptions.create(caller().id, body["url"], body), include_secret=True))
    response.status_code = 201
    return response


@blueprint.route("", methods=["GET"])
@blueprint.response(200, description="`webhooks`: all of them, the oldest first.")
def listing() -> Response:
    """Your webhooks."""
    return jsonify({"webhooks": [webhook_view(one) for one in stores().subscriptions.list_by_owner(caller().id)]})


@blueprint.route("/secret")
@blueprint.response(200, description="`secret`.")
def own_secret() -> Response:
    """What signs deliveries to addresses that your jobs name themselves (`webhook`)."""
    return jsonify({"secret": stores().subscriptions.owner_secret(caller().id)})


@blueprint.route("/<webhook_id>")
@blueprint.response(200, WebhookView)
def read(webhook_id: str) -> Response:
    """A webhook of yours."""
    return jsonify(webhook_view(stores().subscriptions.get(caller().id, webhook_id)))


@blueprint.route("/<webhook_id>", methods=["PATCH"])
@blueprint.arguments(WebhookChange())
@blueprint.response(200, WebhookView)
def change(body: dict[str, Any], webhook_id: str) -> Response:
    """Change a webhook; what is on its way goes to the new address."""
    owner = caller().id
    if "url" in body:
        require_allowed_url(body["url"], stores().address_policy)
    changed = stores().subscriptions.update(owner, webhook_id, body)
    stores().deliveries.redirect_pending(webhook_id, owner, changed.url)
    return jsonify(webhook_view(changed))


@blueprint.route("/<webhook_id>", methods=["DELETE"])
@blueprint.response(204)
def remove(webhook_id: str) -> Response:
    """Remove a webhook; what is on its way to it is given up."""
    stores().subscriptions.delete(caller().id, webhook_id)
    stores().deliveries.fail_pending(webhook_id, GIVE_UP_REASON.format("removed"))
    return Response(status=204)


@blueprint.route("/<webhook_id>/rotate", methods=["POST"])
@blueprint.response(200, WebhookView, description="The webhook with its new `secret`.")
def rotate(webhook_id: str) -> Response:
    """Draw a new secret; the old one signs along for a day."""
    return jsonify(webhook_view(stores().subscriptions.rotate_secret(caller().id, webhook_id), include_secret=True))


@blueprint.route("/<webhook_id>/disable", methods=["POST"])
@blueprint.response(200, WebhookView)
def disable(webhook_id: str) -> Response:
    """Send nothing to a webhook from now on; what is on its way is given up."""
    disabled = stores().subscriptions.disable(caller().id, webhook_id, "you")
    stores().deliveries.fail_pending(webhook_id, GIVE_UP_REASON.format("disabled"))
    return jsonify(webhook_view(disabled))


@blueprint.route("/<webhook_id>/enable", methods=["POST"])
@blueprint.response(200, WebhookView)
def enable(webhook_id: str) -> Response:
    """Send to a webhook again what happens from now on."""
    return jsonify(webhook_view(stores().subscriptions.enable(caller().id, webhook_id)))


@blueprint.route("/<webhook_id>/test", methods=["POST"])
@blueprint.response(202, DeliveryView)
def test(webhook_id: str) -> Response:
    """Send a `webhook.test` to a webhook."""
    webhook = stores().subscriptions.get(caller().id, webhook_id)
    body = json.dumps(webhook_payload(WEBHOOK_TEST_EVENT, stores().clock.now_ms(), {"webhookId": webhook.id}))
    ident = f"msg_{secrets.token_hex(16)}"
    stores().deliveries.add([NewDelivery(ident, webhook.owner, webhook.url, WEBHOOK_TEST_EVENT, body, webhook.id)])
    stores().outbox.wake_dispatchers()
    response = jsonify(delivery_view(stores().deliveries.get(webhook.owner, ident)))
    response.status_code = 202
    return response


@public.route("/.well-known/webhooks.json")
@public.doc(security=[{}])
@public.response(200, description="`keys`: each with its `algorithm` and `publicKey`.")
def keys() -> Response:
    """The public key with which anybody can check the signatures `v1a`."""
    key = {"algorithm": "ed25519", "signature": "v1a", "publicKey": stores().subscriptions.signer.public_key}
    response = jsonify({"keys": [key]})
    response.headers["Cache-Control"] = "public, max-age=300"
    return response
