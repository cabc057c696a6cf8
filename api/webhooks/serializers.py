"""JSON views of webhooks and their deliveries."""

from typing import Any

from schemas.webhooks.subscriptions import Delivery, DeliveryState, Subscription


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """Return the fields of ``DeliveryView``, without attempts."""
    return {
        "id": delivery.id,
        "webhookId": delivery.subscription,
        "jobId": delivery.job_id,
        "url": delivery.url,
        "type": delivery.type,
        "state": delivery.state,
        "tries": delivery.tries,
        "createdAt": delivery.created_at,
        "nextAt": delivery.next_at if delivery.state is DeliveryState.PENDING else None,
        "finishedAt": delivery.finished_at,
        "reason": delivery.reason,
    }


def webhook_view(subscription: Subscription, *, include_secret: bool = False) -> dict[str, Any]:
    """Return the fields of ``WebhookView``."""
    view = {
        "id": subscription.id,
        "url": subscription.url,
        "types": list(subscription.types),
        "description": subscription.description,
        "createdAt": subscription.created_at,
        "disabledAt": subscription.disabled_at,
        "disabledBecause": subscription.disabled_because,
        "failingSince": subscription.failing_since,
    }
    return view | ({"secret": subscription.secrets[0]} if include_secret else {})
