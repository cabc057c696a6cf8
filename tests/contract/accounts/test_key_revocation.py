"""The watch over keys, in SQLite and in PostgreSQL."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from ops.infra.clock import SystemClock
from schemas.errors import Unavailable
from stores.accounts.api_keys import ApiKeys
from stores.accounts.key_revocation import RevocationWatcher
from stores.accounts.owner_key import OwnerKey
from stores.redis.pubsub import ChangeSignal
from tests.conftest import API_KEY, FakeClock, eventually


def key_of(keys: ApiKeys, name: str) -> tuple[str, str]:
    """A new key, and its id."""
    key = keys.create(name)
    caller = keys.authenticate(key)
    assert caller
    return key, caller.id


@pytest.mark.parametrize("end", [ApiKeys.revoke, ApiKeys.rotate])
def test_all_that_hangs_on_a_key_ends_with_it(
    engine: Engine, tmp_path: Path, end: Callable[[ApiKeys, str], object]
) -> None:
    """Whichever process ends it; other keys' waits, the owner's among them, go on."""
    keys, elsewhere = (ApiKeys(engine, SystemClock(), OwnerKey(tmp_path, API_KEY)) for _ in range(2))
    vigil = RevocationWatcher(keys)
    bobs, ident = key_of(keys, "bob")
    eves, _ = key_of(keys, "eve")
    first, second, third, fourth = (ChangeSignal() for _ in range(4))
    with vigil.watch(bobs, first), vigil.watch(bobs, second), vigil.watch(eves, third), vigil.watch(API_KEY, fourth):
        end(elsewhere, ident)
        assert first.wait(30)
        assert eventually(lambda: first.revoked and second.revoked)
        assert not third.revoked
        assert not fourth.revoked
    # Whoever comes after nobody was there is looked after as well.
    late = ChangeSignal()
    eventually(lambda: not vigil._is_polling)
    with vigil.watch(bobs, late):
        assert late.wait(30)
        assert late.revoked


def test_a_database_that_is_away_revokes_nothing(
    engine: Engine, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is back the truth is known."""
    keys = ApiKeys(engine, clock, OwnerKey(tmp_path, API_KEY))
    key, ident = key_of(keys, "bob")
    keys.revoke(ident)
    asked: list[str] = []
    real = keys.authenticate

    def away(key: str) -> None:
        asked.append(key)
        raise Unavailable

    monkeypatch.setattr(keys, "authenticate", away)
    watch = ChangeSignal()
    with RevocationWatcher(keys).watch(key, watch):
        eventually(lambda: len(asked) > 2)
        assert not watch.revoked
        monkeypatch.setattr(keys, "authenticate", real)
        assert watch.wait(30)
        assert watch.revoked
