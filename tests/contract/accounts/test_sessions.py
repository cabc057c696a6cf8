"""User sessions, on a real Redis and on fakeredis, with keys in SQLite and in PostgreSQL."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Engine, event

from schemas.accounts.caller import Caller, Scope
from schemas.errors import Unauthorized, Unavailable
from stores.accounts import sessions
from stores.accounts.api_keys import ApiKeys, KeyChange
from stores.accounts.owner_key import OwnerKey
from stores.accounts.sessions import SESSION_TTL_S, Sessions
from stores.redis.client import open_client
from tests.conftest import FakeClock
from tests.contract.accounts.test_api_keys import FakeTimer

# Each kind of Redis and each database once.
pytestmark = pytest.mark.parametrize(("client", "engine"), [("real", "postgresql"), ("fake", "sqlite")], indirect=True)


@dataclass(frozen=True)
class Process:
    """The stores of one process."""

    owner_key: OwnerKey
    keys: ApiKeys
    sessions: Sessions

    def sign_in(self, key: str) -> str:
        """Return a session token for a valid key."""
        caller = self.keys.authenticate_uncached(key)
        assert caller
        return self.sessions.create(caller, key)

    def caller_of(self, token: str) -> Caller | None:
        """Return the caller of a session."""
        session = self.sessions.get(token)
        return session.caller if session else None


@pytest.fixture
def timer() -> FakeTimer:
    """A timer that all processes of a test share."""
    return FakeTimer()


def build_process(client: Redis, engine: Engine, clock: FakeClock, folder: Path, timer: FakeTimer) -> Process:
    """Create the stores of a process."""
    owner_key = OwnerKey(folder, monotonic=timer)
    keys = ApiKeys(engine, clock, owner_key, timer)
    return Process(owner_key, keys, Sessions(client, clock, keys))


@pytest.fixture
def process(client: Redis, engine: Engine, clock: FakeClock, tmp_path: Path, timer: FakeTimer) -> Process:
    """One process."""
    return build_process(client, engine, clock, tmp_path, timer)


@pytest.fixture
def other_process(client: Redis, engine: Engine, clock: FakeClock, tmp_path: Path, timer: FakeTimer) -> Process:
    """Another process with the same folder, Redis and database."""
    return build_process(client, engine, clock, tmp_path, timer)


def test_a_session_is_valid_in_every_process_until_it_ends(process: Process, other_process: Process) -> None:
    """Tokens are 256 random bits."""
    bobs_key = process.keys.create("bob", KeyChange(scopes=frozenset({Scope.READ})))
    bob, bob_again, owner = (
        process.sign_in(bobs_key),
        process.sign_in(bobs_key),
        process.sign_in(process.owner_key.read()),
    )

    assert other_process.caller_of(bob) == other_process.caller_of(bob_again) == process.keys.authenticate(bobs_key)
    assert other_process.caller_of(owner) == Caller("owner", "owner")
    assert len({bob, bob_again, owner}) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in (bob, bob_again, owner))
    other_process.sessions.end(bob)
    other_process.sessions.end(bob)
    assert process.caller_of(bob) is None
    assert process.caller_of(bob_again)


def test_invalid_tokens_have_no_session(process: Process) -> None:
    """Ending an invalid token changes nothing."""
    for token in ("", "x", "*" * 43, "a" * 43, "a" * 44, "a" * 100_000, "ü" * 43, "\ud800" * 43, "a" * 42 + "\n"):
        assert process.caller_of(token) is None
        process.sessions.end(token)


def test_neither_tokens_nor_keys_are_stored(process: Process, client: Redis) -> None:
    """Redis contains nothing with which one can sign in."""
    key = process.keys.create("bob")
    token = process.sign_in(key)
    names = client.keys("dr:login*")
    stored = repr(names) + repr([client.get(name) for name in names if name.startswith(b"dr:login:")])

    assert len(names) == 2
    assert token not in stored
    assert key not in stored
    assert key.rpartition("_")[2] not in stored
    assert all(0 < client.ttl(name) <= SESSION_TTL_S for name in names)


@pytest.mark.parametrize("how", ["revoke", "rotate", "regenerate"])
def test_a_session_ends_with_its_key(process: Process, other_process: Process, timer: FakeTimer, how: str) -> None:
    """It ends in this process at once and in others within a second; the new key has its own sessions."""
    key = process.keys.create("bob")
    bob = process.keys.authenticate(key)
    token = process.sign_in(key)
    assert bob
    assert other_process.caller_of(token) == bob
    act = {"revoke": process.keys.revoke, "rotate": process.keys.rotate}
    new = process.keys.regenerate(bob, key) if how == "regenerate" else act[how](bob.id)

    assert process.caller_of(token) is None
    timer.now += 1
    assert other_process.caller_of(token) is None
    if new:
        assert other_process.caller_of(process.sign_in(new)) == bob


def test_the_owners_sessions_end_with_the_owners_key(
    process: Process, other_process: Process, timer: FakeTimer
) -> None:
    """They end in this process at once and in others within a second; other callers' sessions stay."""
    bob, token = process.sign_in(process.keys.create("bob")), process.sign_in(process.owner_key.read())
    assert other_process.caller_of(token)
    new = process.owner_key.regenerate()

    assert process.caller_of(token) is None
    timer.now += 1
    assert other_process.caller_of(token) is None
    assert other_process.caller_of(bob)
    assert other_process.caller_of(other_process.sign_in(new))


def test_a_session_with_a_new_key_is_valid_at_once(process: Process, other_process: Process) -> None:
    """A process that has cached the old key reads it afresh before it refuses."""
    key = process.keys.create("bob")
    bob = process.keys.authenticate(key)
    assert bob
    assert other_process.caller_of(process.sign_in(key))
    assert other_process.caller_of(process.sign_in(process.owner_key.read()))
    new_key, new_owners = process.keys.regenerate(bob, key), process.owner_key.regenerate()

    assert other_process.caller_of(process.sign_in(new_key)) == bob
    assert other_process.caller_of(process.sign_in(new_owners)) == Caller("owner", "owner")


def test_a_session_with_a_rotated_key_is_invalid(process: Process) -> None:
    """A session is bound to the key that was presented, not to the present one."""
    key = process.keys.create("bob")
    bob = process.keys.authenticate(key)
    assert bob
    process.keys.rotate(bob.id)

    assert process.caller_of(process.sessions.create(bob, key)) is None


def test_a_session_has_the_present_scopes_of_its_key(
    process: Process, other_process: Process, timer: FakeTimer
) -> None:
    """A change of scopes needs no new session."""
    key = process.keys.create("bob")
    token = process.sign_in(key)
    bob = other_process.caller_of(token)
    assert bob
    process.keys.update(bob.id, KeyChange(scopes=frozenset({Scope.READ})))
    timer.now += 1
    changed = other_process.caller_of(token)

    assert changed
    assert changed.scopes == {Scope.READ}


def test_a_session_lasts_thirty_days_after_its_last_use(process: Process, clock: FakeClock) -> None:
    """It is renewed at most once an hour."""
    token = process.sign_in(process.owner_key.read())
    clock.advance(3599)
    session = process.sessions.get(token)
    assert session
    assert not session.is_renewed
    clock.advance(SESSION_TTL_S - 3600)
    session = process.sessions.get(token)
    assert session
    assert session.is_renewed
    session = process.sessions.get(token)
    assert session
    assert not session.is_renewed
    clock.advance(SESSION_TTL_S - 1)
    assert process.caller_of(token)
    clock.advance(SESSION_TTL_S)
    assert process.caller_of(token) is None


def test_a_session_that_ends_during_its_renewal_stays_ended(process: Process, clock: FakeClock) -> None:
    """Renewing restores nothing."""
    token = process.sign_in(process.owner_key.read())
    record = sessions.SessionRecord.from_json(process.sessions._redis.get(sessions._session_key(token)))
    process.sessions.end(token)
    clock.advance(7200)

    assert record
    assert not process.sessions._renew(sessions._session_key(token), record)
    assert process.caller_of(token) is None
    assert process.sessions._redis.zcard("dr:logins:owner") == 0


def test_end_all_ends_all_sessions_of_a_caller(process: Process) -> None:
    """Sessions of others stay."""
    key = process.keys.create("bob")
    bobs_key = [process.sign_in(key) for _ in range(3)]
    owners = process.sign_in(process.owner_key.read())
    bob = process.caller_of(bobs_key[0])
    assert bob
    process.sessions.end_all(bob.id)
    process.sessions.end_all(bob.id)

    assert [process.caller_of(token) for token in bobs_key] == [None] * 3
    assert process.caller_of(owners)
    assert process.caller_of(process.sign_in(key)) == bob


def test_the_number_of_sessions_per_caller_is_limited(
    process: Process, client: Redis, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest ones end."""
    monkeypatch.setattr(sessions, "MAX_SESSIONS_PER_CALLER", 3)
    tokens = []
    for _ in range(5):
        tokens.append(process.sign_in(process.owner_key.read()))
        clock.advance(1)

    assert [process.caller_of(token) is not None for token in tokens] == [False, False, True, True, True]
    assert len(client.keys("dr:login:*")) == client.zcard("dr:logins:owner") == 3


def test_malformed_records_are_no_sessions(process: Process, client: Redis) -> None:
    """They raise no error and are deleted."""
    name = sessions._session_key("a" * 43)
    for text in (b"", b"{", b"[]", b"null", b'{"caller": "owner"}', b"\xff", b'{"expires_at": "x"}', b"[" * 9000):
        client.set(name, text)
        assert process.caller_of("a" * 43) is None
        process.sessions.end("a" * 43)
        assert not client.exists(name)


def test_an_unavailable_redis_is_not_a_missing_session(process: Process, tmp_path: Path, clock: FakeClock) -> None:
    """The error leads to 503 and not to 401."""
    nowhere = Sessions(open_client(f"unix://{tmp_path / 'none.sock'}?db=0", retries=0), clock, process.keys)
    key = process.owner_key.read()
    for act in (
        lambda: nowhere.create(Caller("owner", "owner"), key),
        lambda: nowhere.get("a" * 43),
        lambda: nowhere.end("a" * 43),
        lambda: nowhere.end_all("owner"),
    ):
        with pytest.raises(Unavailable):
            act()


def test_every_invalid_key_takes_one_query(process: Process, engine: Engine) -> None:
    """The time of a rejection reveals nothing about the key."""
    bobs_key, eves = process.keys.create("bob"), process.keys.create("eve")
    process.keys.revoke(eves.split("_")[1])
    queries: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *about: queries.append(about[2]))

    for key in (
        bobs_key[:-1] + "x",
        eves,
        "x",
        "",
        "dr_000000000000_" + "0" * 64,
        "dr__",
        "\u00fc" * 40,
        "dr_\u00b2_x",
    ):
        queries.clear()
        assert [process.keys.authenticate_uncached(key) for _ in range(3)] == [None] * 3
        assert len(queries) == 3
        assert len(set(queries)) == 1


def test_of_two_regenerations_one_succeeds(process: Process, other_process: Process) -> None:
    """For the other one, the current key is no longer valid."""
    key = process.keys.create("bob")
    bob = process.keys.authenticate(key)
    assert bob
    assert other_process.keys.authenticate(key) == bob
    new = process.keys.regenerate(bob, key)

    with pytest.raises(Unauthorized):
        other_process.keys.regenerate(bob, key)
    assert process.keys.authenticate(key) is None
    assert other_process.keys.authenticate(new) == bob
    process.keys.revoke(bob.id)
    with pytest.raises(Unauthorized):
        process.keys.regenerate(bob, new)
