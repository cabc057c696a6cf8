"""Webhook signatures as defined by Standard Webhooks 1.0: HMAC-SHA256 (v1) and ed25519 (v1a).

A receiver verifies either one. The library ``standardwebhooks`` signs v1; it does not offer v1a.
"""

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from standardwebhooks import Webhook

from schemas.errors import Invalid

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of secrets
PUBLIC_PREFIX = "whpk_"
SECRET_BYTES = 32
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
_CHARACTER = "[A-Za-z0-9+/]"
# Base64 of 24 to 63 bytes, or of 64.
SECRET_PATTERN = (
    rf"^{SECRET_PREFIX}(({_CHARACTER}{{4}}){{8,20}}({_CHARACTER}{{4}}|{_CHARACTER}{{3}}=|{_CHARACTER}{{2}}==)?"
    rf"|({_CHARACTER}{{4}}){{21}}{_CHARACTER}{{2}}==)$"
)


def generate_secret() -> str:
    """Return a new random secret."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def validate_secret(secret: str) -> str:
    """Return ``secret`` unchanged.

    Raises:
        Invalid: it is malformed, too short or too long.
    """
    try:
        size = len(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
    except ValueError:
        size = 0
    if not secret.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= size <= MAX_SECRET_BYTES:
        expected = f"{SECRET_PREFIX} and base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes"
        raise Invalid(problems=[f"secret: must be {expected}, or omitted."])
    return secret


class Signer:
    """Signs deliveries with the secrets of a webhook and with the ed25519 key of this installation."""

    def __init__(self, seed: bytes) -> None:
        """Derive the ed25519 key from a seed of 32 bytes."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> str:
        """The key that verifies ``v1a`` signatures."""
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return PUBLIC_PREFIX + base64.b64encode(raw).decode()

    def headers(self, message_id: str, timestamp_s: int, body: bytes, signing_secrets: Sequence[str]) -> dict[str, str]:
        """Return the signature headers of one attempt."""
        timestamp, text = datetime.fromtimestamp(timestamp_s, UTC), body.decode()
        signatures = [Webhook(secret).sign(message_id, timestamp, text) for secret in signing_secrets]
        ed25519 = self._key.sign(f"{message_id}.{timestamp_s}.".encode() + body)
        signatures.append(f"v1a,{base64.b64encode(ed25519).decode()}")
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": " ".join(signatures),
        }
