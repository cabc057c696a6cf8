"""JSON of webhook subscriptions, deliveries and attempts."""

from typing import Any

from schemas.webhooks.subscriptions import Delivery, DeliveryAttempt, DeliveryState, Subscription


def subscription_view(subscription: Subscription, *, include_secret: bool = False) -> dict[str, Any]:
    """Return a subscription as ``WebhookView`` documents it."""
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


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery as ``DeliveryView`` documents it, without its attempts."""
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


def attempt_view(attempt: DeliveryAttempt, *, include_excerpt: bool) -> dict[str, Any]:
    """Return an attempt; ``excerpt`` is the beginning of the receiver's response."""
    view = {
        "at": attempt.at,
        "durationMs": attempt.duration_ms,
        "status": attempt.status,
        "error": attempt.error,
    }
    return view | ({"excerpt": attempt.excerpt} if include_excerpt else {})
