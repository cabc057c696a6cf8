"""Views for webhook subscriptions, their secrets, and the public signing key."""

import json
import secrets
from typing import Any

from flask import Response, jsonify

from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.route_policy import Access
from api.webhooks.serializers import delivery_view, subscription_view
from api.webhooks.target_check import require_allowed_url
from schemas.errors import Conflict
from schemas.jobs.event_payloads import webhook_payload
from schemas.webhooks.subscriptions import (
    WEBHOOK_TEST_EVENT,
    DeliveryView,
    NewDelivery,
    SecretView,
    SigningKeys,
    WebhookChange,
    WebhookList,
    WebhookRequest,
    WebhookView,
)

blueprint = Blueprint(
    "webhooks", __name__, access=Access.KEY, url_prefix="/api/v1/webhooks", description="Webhook subscriptions."
)
public = Blueprint("webhook_keys", __name__, access=Access.ANONYMOUS, description="Public keys of webhooks.")


@blueprint.route("", methods=["POST"])
@blueprint.arguments(WebhookRequest())
@blueprint.response(201, WebhookView, description="The webhook with its `secret`, which is shown only here.")
@blueprint.alt_response(409, description="You have the maximum number of webhooks.")
def create(body: dict[str, Any]) -> Response:
    """Subscribe a URL to events."""
    require_allowed_url(caller().id, body["url"], stores().address_policy)
    subscription = stores().subscriptions.create(caller().id, body["url"], body)
    response = jsonify(subscription_view(subscription, include_secret=True))
    response.status_code = 201
    return response


@blueprint.route("", methods=["GET"])
@blueprint.response(200, WebhookList)
def listing() -> Response:
    """Your webhooks."""
    subscriptions = stores().subscriptions.list_by_owner(caller().id)
    return jsonify({"webhooks": [subscription_view(subscription) for subscription in subscriptions]})


@blueprint.route("/secret")
@blueprint.response(200, SecretView)
def own_secret() -> Response:
    """The secret that signs deliveries to the URLs in your jobs (`webhook`)."""
    return jsonify({"secret": stores().subscriptions.owner_secret(caller().id)})


@blueprint.route("/<webhook_id>")
@blueprint.response(200, WebhookView)
def read(webhook_id: str) -> Response:
    """One of your webhooks."""
    return jsonify(subscription_view(stores().subscriptions.get(caller().id, webhook_id)))


@blueprint.route("/<webhook_id>", methods=["PATCH"])
@blueprint.arguments(WebhookChange(), required=False)
@blueprint.response(200, WebhookView)
def change(body: dict[str, Any], webhook_id: str) -> Response:
    """Change a webhook; pending deliveries go to the new URL."""
    owner = caller().id
    if "url" in body:
        require_allowed_url(owner, body["url"], stores().address_policy)
    subscription = stores().subscriptions.update(owner, webhook_id, body)
    stores().deliveries.redirect_pending(webhook_id, owner, subscription.url)
    return jsonify(subscription_view(subscription))


@blueprint.route("/<webhook_id>", methods=["DELETE"])
@blueprint.response(204)
def remove(webhook_id: str) -> Response:
    """Delete a webhook; its pending deliveries fail."""
    stores().subscriptions.delete(caller().id, webhook_id)
    stores().deliveries.fail_pending(webhook_id, "The webhook was removed.")
    return Response(status=204)


@blueprint.route("/<webhook_id>/rotate", methods=["POST"])
@blueprint.response(200, WebhookView, description="The webhook with its new `secret`.")
def rotate(webhook_id: str) -> Response:
    """Generate a new secret; deliveries are signed with the old one too for a day."""
    subscription = stores().subscriptions.rotate_secret(caller().id, webhook_id)
    return jsonify(subscription_view(subscription, include_secret=True))


@blueprint.route("/<webhook_id>/disable", methods=["POST"])
@blueprint.response(200, WebhookView)
@blueprint.sends(Conflict)
def disable(webhook_id: str) -> Response:
    """Send nothing to a webhook from now on; its pending deliveries fail."""
    subscription = stores().subscriptions.disable(caller().id, webhook_id, "you")
    stores().deliveries.fail_pending(webhook_id, "The webhook was disabled.")
    return jsonify(subscription_view(subscription))


@blueprint.route("/<webhook_id>/enable", methods=["POST"])
@blueprint.response(200, WebhookView)
@blueprint.sends(Conflict)
def enable(webhook_id: str) -> Response:
    """Send events to a webhook again, from now on."""
    return jsonify(subscription_view(stores().subscriptions.enable(caller().id, webhook_id)))


@blueprint.route("/<webhook_id>/test", methods=["POST"])
@blueprint.response(202, DeliveryView)
def test(webhook_id: str) -> Response:
    """Send a `webhook.test` event to a webhook."""
    subscription = stores().subscriptions.get(caller().id, webhook_id)
    body = json.dumps(webhook_payload(WEBHOOK_TEST_EVENT, stores().clock.now_ms(), {"webhookId": subscription.id}))
    delivery = NewDelivery(
        f"msg_{secrets.token_hex(16)}", subscription.owner, subscription.url, WEBHOOK_TEST_EVENT, body, subscription.id
    )
    stores().deliveries.add([delivery])
    stores().outbox.wake_dispatchers()
    response = jsonify(delivery_view(stores().deliveries.get(subscription.owner, delivery.id)))
    response.status_code = 202
    return response


@public.route("/.well-known/webhooks.json")
@public.doc(operationId="webhooksSigningKeys")
@public.response(200, SigningKeys)
def keys() -> Response:
    """The public key that verifies the signatures with the prefix `v1a`."""
    key = {"algorithm": "ed25519", "signature": "v1a", "publicKey": stores().subscriptions.signer.public_key}
    response = jsonify({"keys": [key]})
    response.headers["Cache-Control"] = "public, max-age=300"
    return response
