"""Verification of webhook deliveries (Standard Webhooks)."""

from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from .models import DarkroomError


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes | str) -> dict[str, Any]:
    """Return the parsed body of a delivery that is genuine and at most five minutes old; pass ``body`` as received.

    Raises:
        DarkroomError: the delivery is not genuine (respond with 400), or ``secret`` is invalid.
    """
    lower_case_headers = {name.lower(): value for name, value in headers.items()}
    try:
        webhook = Webhook(secret)
    except (EmptyWebhookSecretError, RuntimeError, ValueError) as error:
        raise DarkroomError("Invalid secret: expected 'whsec_' followed by base64.") from error
    try:
        payload: dict[str, Any] = webhook.verify(body, lower_case_headers)
    except (WebhookVerificationError, ValueError) as error:
        raise DarkroomError(f"This delivery is not genuine: {error}") from error
    return payload
