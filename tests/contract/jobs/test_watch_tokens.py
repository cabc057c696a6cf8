"""Passes for watching a job."""

from pathlib import Path

import jwt
import pytest

from schemas.errors import Unauthorized
from stores.accounts.owner_key import OwnerKey
from stores.jobs.watch_tokens import Passes
from tests.conftest import FakeClock
from tests.contract.jobs.test_jobs import ID, OTHER

NOWHERE = Path("unused")
OURS = OwnerKey(NOWHERE, "the owner's key")


def test_a_pass_is_for_its_job_and_its_time(clock: FakeClock) -> None:
    """Any process with the owner's key knows it."""
    token = Passes(clock, OURS, 60).issue(ID)
    passes = Passes(clock, OURS, 60)

    assert passes.check(token, ID) == passes.check(token, ID)
    with pytest.raises(Unauthorized, match="another job"):
        passes.check(token, OTHER)
    clock.advance(60)
    with pytest.raises(Unauthorized, match="over"):
        passes.check(token, ID)


def test_what_is_no_pass_of_ours_is_refused(clock: FakeClock) -> None:
    """Another key's, one without a signature, nonsense, and a page of it."""
    passes = Passes(clock, OURS, 60)
    claims = {"aud": "ws", "sub": ID, "exp": clock.now_ms(), "jti": "1"}
    strangers = [
        Passes(clock, OwnerKey(NOWHERE, "another key"), 60).issue(ID),
        jwt.encode(claims, None, "none"),
        jwt.encode({**claims, "aud": "else"}, passes._signing().key, "HS256"),
        jwt.encode({"aud": "ws", "sub": ID}, passes._signing().key, "HS256"),
        "",
        "a.b.c",
        "x" * 100_000,
        "\ud800",
    ]
    for token in strangers:
        with pytest.raises(Unauthorized):
            passes.check(token, ID)


def test_a_new_owners_key_ends_all_passes(clock: FakeClock, tmp_path: Path) -> None:
    """Those made from then on are signed with it, without a restart."""
    owner_key = OwnerKey(tmp_path)
    passes = Passes(clock, owner_key, 60)
    old = passes.issue(ID)
    owner_key.regenerate()

    with pytest.raises(Unauthorized):
        passes.check(old, ID)
    assert passes.check(passes.issue(ID), ID)
