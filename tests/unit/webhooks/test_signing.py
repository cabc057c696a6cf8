"""Signatures of webhooks: the library of Standard Webhooks is the judge of ours."""

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
    """The verifier believes no old timestamps."""
    return int(time.time())


def test_the_library_of_the_standard_takes_our_signature() -> None:
    """And no other body, and no other secret."""
    secret = generate_secret()
    headers = SIGNER.headers("msg_1", now_s(), BODY, [secret])
    assert Webhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(generate_secret()).verify(BODY, headers)


def test_while_a_secret_is_rotated_both_sign() -> None:
    """A receiver may know either."""
    old, new = generate_secret(), generate_secret()
    headers = SIGNER.headers("msg_1", now_s(), BODY, [new, old])
    assert Webhook(old).verify(BODY, headers)
    assert Webhook(new).verify(BODY, headers)


def test_the_public_key_checks_the_other_signature() -> None:
    """ed25519 over id, time and body."""
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
def test_what_is_no_secret_is_refused(secret: str) -> None:
    """With what one looks like."""
    with pytest.raises(Invalid) as refused:
        validate_secret(secret)
    assert "24 to 64 bytes" in refused.value.problems[0]


def test_secrets_are_long_and_never_the_same() -> None:
    """Ours pass our own check."""
    assert len({validate_secret(generate_secret()) for _ in range(100)}) == 100
