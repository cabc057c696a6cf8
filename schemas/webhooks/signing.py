"""The signatures of webhooks, as Standard Webhooks 1.0 describes them: HMAC-SHA256 (v1) and ed25519 (v1a). Pure.

A receiver checks either one.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.errors import Invalid

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with
PUBLIC_PREFIX = "whpk_"
SECRET_BYTES = 32
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64


def generate_secret() -> str:
    """A secret nobody else has."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def validate_secret(secret: str) -> str:
    """``secret``, if it is one.

    Raises:
        Invalid: it is none.
    """
    try:
        size = len(_raw(secret))
    except ValueError:
        size = 0
    if not secret.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= size <= MAX_SECRET_BYTES:
        wanted = f"{SECRET_PREFIX} and base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes"
        raise Invalid(problems=[f"secret: must be {wanted}, or left out."])
    return secret


class Signer:
    """Signs deliveries: with each of a webhook's secrets, and with this installation's own key."""

    def __init__(self, seed: bytes) -> None:
        """``seed`` is 32 bytes, from which the ed25519 key follows."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> str:
        """What checks the signatures ``v1a``."""
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return PUBLIC_PREFIX + base64.b64encode(raw).decode()

    def headers(self, message_id: str, timestamp_s: int, body: bytes, signing_secrets: Sequence[str]) -> dict[str, str]:
        """The headers of an attempt at that time."""
        content = f"{message_id}.{timestamp_s}.".encode() + body
        signatures = [f"v1,{_text(hmac.digest(_raw(secret), content, hashlib.sha256))}" for secret in signing_secrets]
        signatures.append(f"v1a,{_text(self._key.sign(content))}")
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": " ".join(signatures),
        }


def _raw(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)


def _text(signature: bytes) -> str:
    return base64.b64encode(signature).decode()
