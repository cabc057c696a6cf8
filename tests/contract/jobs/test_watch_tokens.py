"""Watch tokens: valid for one job and a limited time."""

from pathlib import Path

import jwt
import pytest

from schemas.errors import Unauthorized
from stores.accounts.owner_key import OwnerKey
from stores.jobs.watch_tokens import WatchTokens
from tests.conftest import FakeClock
from tests.contract.jobs.test_jobs import JOB_ID, OTHER_JOB_ID

NOWHERE = Path("unused")
OWNER_KEY = OwnerKey(NOWHERE, "the owner's key")


def test_a_token_is_valid_for_its_job_and_lifetime(clock: FakeClock) -> None:
    """Any process with the owner's key accepts it."""
    token = WatchTokens(clock, OWNER_KEY, 60).issue(JOB_ID)
    tokens = WatchTokens(clock, OWNER_KEY, 60)

    assert tokens.verify(token, JOB_ID) == tokens.verify(token, JOB_ID)
    with pytest.raises(Unauthorized, match="another job"):
        tokens.verify(token, OTHER_JOB_ID)
    clock.advance(60)
    with pytest.raises(Unauthorized, match="expired"):
        tokens.verify(token, JOB_ID)


def test_foreign_tokens_are_refused(clock: FakeClock) -> None:
    """Other keys, no signature, missing claims, and malformed or overlong tokens are rejected."""
    tokens = WatchTokens(clock, OWNER_KEY, 60)
    claims = {"aud": "ws", "sub": JOB_ID, "exp": clock.now_ms(), "jti": "1"}
    foreign = [
        WatchTokens(clock, OwnerKey(NOWHERE, "another key"), 60).issue(JOB_ID),
        jwt.encode(claims, None, "none"),
        jwt.encode({**claims, "aud": "else"}, tokens._signing_key().secret, "HS256"),
        jwt.encode({"aud": "ws", "sub": JOB_ID}, tokens._signing_key().secret, "HS256"),
        "",
        "a.b.c",
        "x" * 100_000,
        "\ud800",
    ]
    for token in foreign:
        with pytest.raises(Unauthorized):
            tokens.verify(token, JOB_ID)


def test_a_new_owner_key_invalidates_all_tokens(clock: FakeClock, tmp_path: Path) -> None:
    """New tokens are signed with the new key, without a restart."""
    owner_key = OwnerKey(tmp_path)
    tokens = WatchTokens(clock, owner_key, 60)
    old = tokens.issue(JOB_ID)
    owner_key.regenerate()

    with pytest.raises(Unauthorized):
        tokens.verify(old, JOB_ID)
    assert tokens.verify(tokens.issue(JOB_ID), JOB_ID)
