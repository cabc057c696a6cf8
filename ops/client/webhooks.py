"""The checking of what webhooks bring."""

from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from .models import DarkroomError


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes | str) -> dict[str, Any]:
    """What a delivery says, if it is genuine and no older than five minutes; ``body`` as it came, not parsed.

    Raises:
        DarkroomError: it is not; answer 400 and forget it. Or ``secret`` is none, and no delivery will ever be.
    """
    known = {name.lower(): value for name, value in headers.items()}
    try:
        webhook = Webhook(secret)
    except (EmptyWebhookSecretError, RuntimeError, ValueError) as error:
        raise DarkroomError(
            "The secret is none: it is 'whsec_' and base64, as the webhook's creation told it."
        ) from error
    try:
        said: dict[str, Any] = webhook.verify(body, known)
    except (WebhookVerificationError, ValueError) as error:
        raise DarkroomError(f"This delivery is not genuine: {error}") from error
    return said
