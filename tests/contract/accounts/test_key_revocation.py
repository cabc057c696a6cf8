"""The watch over keys, in SQLite and in PostgreSQL."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from ops.infra.clock import SystemClock
from schemas.errors import Unavailable
from stores.accounts.api_keys import Keys
from stores.accounts.key_revocation import Vigil
from stores.accounts.owner_key import OwnerKey
from stores.redis.pubsub import Watch
from tests.conftest import KEY, FakeClock, eventually


def key_of(keys: Keys, name: str) -> tuple[str, str]:
    """A new key, and its id."""
    key = keys.create(name)
    caller = keys.caller(key)
    assert caller
    return key, caller.id


@pytest.mark.parametrize("end", [Keys.revoke, Keys.rotate])
def test_all_that_hangs_on_a_key_ends_with_it(
    engine: Engine, tmp_path: Path, end: Callable[[Keys, str], object]
) -> None:
    """Whichever process ends it; other keys' waits, the owner's among them, go on."""
    keys, elsewhere = (Keys(engine, SystemClock(), OwnerKey(tmp_path, KEY)) for _ in range(2))
    vigil = Vigil(keys)
    bobs, ident = key_of(keys, "bob")
    eves, _ = key_of(keys, "eve")
    first, second, third, fourth = (Watch() for _ in range(4))
    with vigil.keep(bobs, first), vigil.keep(bobs, second), vigil.keep(eves, third), vigil.keep(KEY, fourth):
        end(elsewhere, ident)
        assert first.wait(30)
        assert eventually(lambda: first.revoked and second.revoked)
        assert not third.revoked
        assert not fourth.revoked
    # Whoever comes after nobody was there is looked after as well.
    late = Watch()
    eventually(lambda: not vigil._looking)
    with vigil.keep(bobs, late):
        assert late.wait(30)
        assert late.revoked


def test_a_database_that_is_away_revokes_nothing(
    engine: Engine, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is back the truth is known."""
    keys = Keys(engine, clock, OwnerKey(tmp_path, KEY))
    key, ident = key_of(keys, "bob")
    keys.revoke(ident)
    asked: list[str] = []
    real = keys.caller

    def away(key: str) -> None:
        asked.append(key)
        raise Unavailable

    monkeypatch.setattr(keys, "caller", away)
    watch = Watch()
    with Vigil(keys).keep(key, watch):
        eventually(lambda: len(asked) > 2)
        assert not watch.revoked
        monkeypatch.setattr(keys, "caller", real)
        assert watch.wait(30)
        assert watch.revoked
