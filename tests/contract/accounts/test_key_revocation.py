"""Revocation of keys and sessions during long responses, with keys in SQLite and in PostgreSQL."""

from collections.abc import Callable
from pathlib import Path

import fakeredis
import pytest
from sqlalchemy import Engine

from ops.infra.clock import SystemClock
from schemas.errors import Unavailable
from stores.accounts.api_keys import ApiKeys
from stores.accounts.key_revocation import Credential, RevocationWatcher
from stores.accounts.owner_key import OwnerKey
from stores.accounts.sessions import Sessions
from stores.redis.client import StoreClient
from stores.redis.pubsub import ChangeSignal
from tests.conftest import API_KEY, FakeClock, eventually


def create_key(keys: ApiKeys, name: str) -> tuple[str, str]:
    """Create a key and return it with its id."""
    key = keys.create(name)
    caller = keys.authenticate(key)
    assert caller
    return key, caller.id


def open_sessions(keys: ApiKeys) -> Sessions:
    """Open the sessions of these keys on an empty Redis."""
    return Sessions(StoreClient(connection_pool=fakeredis.FakeRedis().connection_pool), SystemClock(), keys)


@pytest.mark.parametrize("end", [ApiKeys.revoke, ApiKeys.rotate])
def test_a_revoked_or_rotated_key_ends_its_waits(
    engine: Engine, tmp_path: Path, end: Callable[[ApiKeys, str], object]
) -> None:
    """So do those with its sessions. Any process may revoke it; waits with other keys, including the owner's, go on."""
    keys, elsewhere = (ApiKeys(engine, SystemClock(), OwnerKey(tmp_path, API_KEY)) for _ in range(2))
    sessions = open_sessions(keys)
    watcher = RevocationWatcher(keys, sessions)
    bobs_key, bob_id = create_key(keys, "bob")
    eves_key, _ = create_key(keys, "eve")
    bob = keys.authenticate(bobs_key)
    assert bob
    bobs_session = sessions.create(bob, bobs_key)
    first, second, third, fourth = (ChangeSignal() for _ in range(4))
    with (
        watcher.watch(Credential(key=bobs_key), first),
        watcher.watch(Credential(session=bobs_session), second),
        watcher.watch(Credential(key=eves_key), third),
        watcher.watch(Credential(key=API_KEY), fourth),
    ):
        end(elsewhere, bob_id)
        assert first.wait(60)
        assert eventually(lambda: first.revoked and second.revoked)
        assert not third.revoked
        assert not fourth.revoked
    # The thread has ended with the last watch and must start again.
    late = ChangeSignal()
    eventually(lambda: not watcher._is_polling)
    with watcher.watch(Credential(key=bobs_key), late):
        assert late.wait(60)
        assert late.revoked


def test_an_unavailable_database_revokes_nothing(
    engine: Engine, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The revocation is noticed once the database is back."""
    keys = ApiKeys(engine, clock, OwnerKey(tmp_path, API_KEY))
    key, bob_id = create_key(keys, "bob")
    keys.revoke(bob_id)
    calls: list[str] = []
    real = keys.authenticate

    def away(key: str) -> None:
        calls.append(key)
        raise Unavailable

    monkeypatch.setattr(keys, "authenticate", away)
    watch = ChangeSignal()
    with RevocationWatcher(keys, open_sessions(keys)).watch(Credential(key=key), watch):
        eventually(lambda: len(calls) > 2)
        assert not watch.revoked
        monkeypatch.setattr(keys, "authenticate", real)
        assert watch.wait(60)
        assert watch.revoked
