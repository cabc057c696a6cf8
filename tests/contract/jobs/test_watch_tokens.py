"""Passes for watching a job."""

from pathlib import Path

import jwt
import pytest

from schemas.errors import Unauthorized
from stores.accounts.owner_key import OwnerKey
from stores.jobs.watch_tokens import WatchTokens
from tests.conftest import FakeClock
from tests.contract.jobs.test_jobs import JOB_ID, OTHER_JOB_ID

NOWHERE = Path("unused")
OURS = OwnerKey(NOWHERE, "the owner's key")


def test_a_pass_is_for_its_job_and_its_time(clock: FakeClock) -> None:
    """Any process with the owner's key knows it."""
    token = WatchTokens(clock, OURS, 60).issue(JOB_ID)
    passes = WatchTokens(clock, OURS, 60)

    assert passes.verify(token, JOB_ID) == passes.verify(token, JOB_ID)
    with pytest.raises(Unauthorized, match="another job"):
        passes.verify(token, OTHER_JOB_ID)
    clock.advance(60)
    with pytest.raises(Unauthorized, match="expired"):
        passes.verify(token, JOB_ID)


def test_what_is_no_pass_of_ours_is_refused(clock: FakeClock) -> None:
    """Another key's, one without a signature, nonsense, and a page of it."""
    passes = WatchTokens(clock, OURS, 60)
    claims = {"aud": "ws", "sub": JOB_ID, "exp": clock.now_ms(), "jti": "1"}
    strangers = [
        WatchTokens(clock, OwnerKey(NOWHERE, "another key"), 60).issue(JOB_ID),
        jwt.encode(claims, None, "none"),
        jwt.encode({**claims, "aud": "else"}, passes._signing_key().secret, "HS256"),
        jwt.encode({"aud": "ws", "sub": JOB_ID}, passes._signing_key().secret, "HS256"),
        "",
        "a.b.c",
        "x" * 100_000,
        "\ud800",
    ]
    for token in strangers:
        with pytest.raises(Unauthorized):
            passes.verify(token, JOB_ID)


def test_a_new_owners_key_ends_all_passes(clock: FakeClock, tmp_path: Path) -> None:
    """Those made from then on are signed with it, without a restart."""
    owner_key = OwnerKey(tmp_path)
    passes = WatchTokens(clock, owner_key, 60)
    old = passes.issue(JOB_ID)
    owner_key.regenerate()

    with pytest.raises(Unauthorized):
        passes.verify(old, JOB_ID)
    assert passes.verify(passes.issue(JOB_ID), JOB_ID)
