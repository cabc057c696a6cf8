"""Webhook signatures, verified with the reference library of Standard Webhooks."""

import base64
import json
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from schemas.errors import Invalid
from schemas.webhooks.signing import PUBLIC_PREFIX, Signer, generate_secret, validate_secret

BODY = json.dumps({"type": "job.completed", "data": {"words": "ä ö ü"}}, ensure_ascii=False).encode()
SIGNER = Signer(b"s" * 32)


def now_s() -> int:
    """Return the current time; the verifier rejects old timestamps."""
    return int(time.time())


def test_a_signature_verifies_with_its_secret_and_body_only() -> None:
    """Another body or another secret fails."""
    secret = generate_secret()
    headers = SIGNER.headers("msg_1", now_s(), BODY, [secret])
    assert Webhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(generate_secret()).verify(BODY, headers)


def test_during_a_rotation_both_secrets_sign() -> None:
    """A receiver may still have the old secret."""
    old, new = generate_secret(), generate_secret()
    headers = SIGNER.headers("msg_1", now_s(), BODY, [new, old])
    assert Webhook(old).verify(BODY, headers)
    assert Webhook(new).verify(BODY, headers)


def test_the_public_key_verifies_the_ed25519_signature() -> None:
    """It covers id, timestamp and body."""
    headers = SIGNER.headers("msg_1", 1_700_000_000, BODY, [])
    version, _, signature = headers["webhook-signature"].partition(",")
    assert version == "v1a"
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(SIGNER.public_key.removeprefix(PUBLIC_PREFIX)))
    key.verify(base64.b64decode(signature), b"msg_1.1700000000." + BODY)
    with pytest.raises(InvalidSignature):
        key.verify(base64.b64decode(signature), b"msg_2.1700000000." + BODY)


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_###", "whsec_" + base64.b64encode(b"short").decode(), "x" * 44, "whsec_ä",
     "whsec_" + base64.b64encode(b"b" * 65).decode(), base64.b64encode(b"b" * 32).decode()],
)  # fmt: skip
def test_a_malformed_secret_is_rejected(secret: str) -> None:
    """The message states the expected form."""
    with pytest.raises(Invalid) as caught:
        validate_secret(secret)
    assert "24 to 64 bytes" in caught.value.problems[0]


def test_generated_secrets_are_valid_and_unique() -> None:
    """Generated secrets pass the validation of secrets."""
    assert len({validate_secret(generate_secret()) for _ in range(100)}) == 100
