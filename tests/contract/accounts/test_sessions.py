"""Who is signed in: on a real Redis and on fakeredis, with keys in SQLite and in PostgreSQL."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Engine, event

from schemas.accounts.caller import Caller, Scope
from schemas.errors import Unauthorized, Unavailable
from stores.accounts import sessions as logins
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
    """What one process knows of keys and logins."""

    owner_key: OwnerKey
    keys: ApiKeys
    logins: Sessions

    def sign_in(self, key: str) -> str:
        """The token for a key that is valid."""
        caller = self.keys.authenticate_uncached(key)
        assert caller
        return self.logins.create(caller, key)

    def who(self, token: str) -> Caller | None:
        """Who is signed in."""
        login = self.logins.get(token)
        return login.caller if login else None


@pytest.fixture
def ticks() -> FakeTimer:
    """Seconds that all processes of a test share."""
    return FakeTimer()


def process(client: Redis, engine: Engine, clock: FakeClock, folder: Path, ticks: FakeTimer) -> Process:
    """A process of an installation."""
    owner_key = OwnerKey(folder, monotonic=ticks)
    keys = ApiKeys(engine, clock, owner_key, ticks)
    return Process(owner_key, keys, Sessions(client, clock, keys))


@pytest.fixture
def here(client: Redis, engine: Engine, clock: FakeClock, tmp_path: Path, ticks: FakeTimer) -> Process:
    """One process."""
    return process(client, engine, clock, tmp_path, ticks)


@pytest.fixture
def there(client: Redis, engine: Engine, clock: FakeClock, tmp_path: Path, ticks: FakeTimer) -> Process:
    """Another one on the same folder, Redis and database."""
    return process(client, engine, clock, tmp_path, ticks)


def test_a_login_holds_everywhere_until_it_is_ended(here: Process, there: Process) -> None:
    """For others by their key, for the owner by theirs; each token is 256 random bits of its own."""
    bobs = here.keys.create("bob", KeyChange(scopes=frozenset({Scope.READ})))
    bob, bob_again, owner = here.sign_in(bobs), here.sign_in(bobs), here.sign_in(here.owner_key.read())

    assert there.who(bob) == there.who(bob_again) == here.keys.authenticate(bobs)
    assert there.who(owner) == Caller("owner", "owner")
    assert len({bob, bob_again, owner}) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in (bob, bob_again, owner))
    there.logins.end(bob)
    there.logins.end(bob)
    assert here.who(bob) is None
    assert here.who(bob_again)


def test_what_is_no_token_is_nobodys(here: Process) -> None:
    """Whatever its shape; to end it changes nothing."""
    for token in ("", "x", "*" * 43, "a" * 43, "a" * 44, "a" * 100_000, "ü" * 43, "\ud800" * 43, "a" * 42 + "\n"):
        assert here.who(token) is None
        here.logins.end(token)


def test_neither_tokens_nor_keys_are_kept(here: Process, client: Redis) -> None:
    """Whoever reads Redis cannot sign in."""
    key = here.keys.create("bob")
    token = here.sign_in(key)
    names = client.keys("dr:login*")
    kept = repr(names) + repr([client.get(name) for name in names if name.startswith(b"dr:login:")])

    assert len(names) == 2
    assert token not in kept
    assert key not in kept
    assert key.rpartition("_")[2] not in kept
    assert all(0 < client.ttl(name) <= SESSION_TTL_S for name in names)


@pytest.mark.parametrize("how", ["revoke", "rotate", "regenerate"])
def test_a_login_ends_with_its_key_in_every_process(here: Process, there: Process, ticks: FakeTimer, how: str) -> None:
    """Here at once, there within a second; a login with the new key is another one."""
    key = here.keys.create("bob")
    bob = here.keys.authenticate(key)
    token = here.sign_in(key)
    assert bob
    assert there.who(token) == bob
    act = {"revoke": here.keys.revoke, "rotate": here.keys.rotate}
    new = here.keys.regenerate(bob, key) if how == "regenerate" else act[how](bob.id)

    assert here.who(token) is None
    ticks.now += 1
    assert there.who(token) is None
    if new:
        assert there.who(here.sign_in(new)) == bob


def test_the_owners_logins_end_with_the_owners_key(here: Process, there: Process, ticks: FakeTimer) -> None:
    """Here at once, there within a second, and those of others stay."""
    bob, token = here.sign_in(here.keys.create("bob")), here.sign_in(here.owner_key.read())
    assert there.who(token)
    new = here.owner_key.regenerate()

    assert here.who(token) is None
    ticks.now += 1
    assert there.who(token) is None
    assert there.who(bob)
    assert there.who(there.sign_in(new))


def test_a_login_with_a_new_key_holds_at_once_everywhere(here: Process, there: Process) -> None:
    """Also where the old key is still believed: what a process does not know yet it asks for before it refuses."""
    key = here.keys.create("bob")
    bob = here.keys.authenticate(key)
    assert bob
    assert there.who(here.sign_in(key))
    assert there.who(here.sign_in(here.owner_key.read()))
    new_key, new_owners = here.keys.regenerate(bob, key), here.owner_key.regenerate()

    assert there.who(here.sign_in(new_key)) == bob
    assert there.who(here.sign_in(new_owners)) == Caller("owner", "owner")


def test_a_login_with_a_key_that_is_over_is_dead_from_the_start(here: Process) -> None:
    """It is bound to the key that was shown, and not to the one that is valid by then."""
    key = here.keys.create("bob")
    bob = here.keys.authenticate(key)
    assert bob
    here.keys.rotate(bob.id)

    assert here.who(here.logins.create(bob, key)) is None


def test_a_login_may_what_its_key_may_now(here: Process, there: Process, ticks: FakeTimer) -> None:
    """A change of scopes needs no new login."""
    key = here.keys.create("bob")
    token = here.sign_in(key)
    bob = there.who(token)
    assert bob
    here.keys.update(bob.id, KeyChange(scopes=frozenset({Scope.READ})))
    ticks.now += 1
    changed = there.who(token)

    assert changed
    assert changed.scopes == {Scope.READ}


def test_a_login_lasts_for_thirty_days_from_its_last_use(here: Process, clock: FakeClock) -> None:
    """A use begins them anew, which is told once an hour at the most."""
    token = here.sign_in(here.owner_key.read())
    clock.advance(3599)
    login = here.logins.get(token)
    assert login
    assert not login.is_renewed
    clock.advance(SESSION_TTL_S - 3600)
    login = here.logins.get(token)
    assert login
    assert login.is_renewed
    login = here.logins.get(token)
    assert login
    assert not login.is_renewed
    clock.advance(SESSION_TTL_S - 1)
    assert here.who(token)
    clock.advance(SESSION_TTL_S)
    assert here.who(token) is None


def test_a_login_that_ends_while_it_is_renewed_stays_ended(here: Process, clock: FakeClock) -> None:
    """Renewing brings nothing back."""
    token = here.sign_in(here.owner_key.read())
    record = logins.SessionRecord.from_json(here.logins._redis.get(logins._session_key(token)))
    here.logins.end(token)
    clock.advance(7200)

    assert record
    assert not here.logins._renew(logins._session_key(token), record)
    assert here.who(token) is None
    assert here.logins._redis.zcard("dr:logins:owner") == 0


def test_all_logins_of_a_caller_end_together(here: Process) -> None:
    """And nobody else's."""
    key = here.keys.create("bob")
    bobs = [here.sign_in(key) for _ in range(3)]
    owners = here.sign_in(here.owner_key.read())
    bob = here.who(bobs[0])
    assert bob
    here.logins.end_all(bob.id)
    here.logins.end_all(bob.id)

    assert [here.who(token) for token in bobs] == [None] * 3
    assert here.who(owners)
    assert here.who(here.sign_in(key)) == bob


def test_one_caller_cannot_fill_redis_with_logins(
    here: Process, client: Redis, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest end."""
    monkeypatch.setattr(logins, "MAX_SESSIONS_PER_CALLER", 3)
    tokens = []
    for _ in range(5):
        tokens.append(here.sign_in(here.owner_key.read()))
        clock.advance(1)

    assert [here.who(token) is not None for token in tokens] == [False, False, True, True, True]
    assert len(client.keys("dr:login:*")) == client.zcard("dr:logins:owner") == 3


def test_what_redis_has_and_nobody_understands_is_no_login(here: Process, client: Redis) -> None:
    """Nor a fault."""
    name = logins._session_key("a" * 43)
    for text in (b"", b"{", b"[]", b"null", b'{"caller": "owner"}', b"\xff", b'{"expires_at": "x"}', b"[" * 9000):
        client.set(name, text)
        assert here.who("a" * 43) is None
        here.logins.end("a" * 43)
        assert not client.exists(name)


def test_without_redis_nobody_is_told_to_be_signed_out(here: Process, tmp_path: Path, clock: FakeClock) -> None:
    """503, and not 401."""
    nowhere = Sessions(open_client(f"unix://{tmp_path / 'none.sock'}?db=0", retries=0), clock, here.keys)
    key = here.owner_key.read()
    for act in (
        lambda: nowhere.create(Caller("owner", "owner"), key),
        lambda: nowhere.get("a" * 43),
        lambda: nowhere.end("a" * 43),
        lambda: nowhere.end_all("owner"),
    ):
        with pytest.raises(Unavailable):
            act()


def test_whatever_is_wrong_with_a_key_it_takes_the_same_steps(here: Process, engine: Engine) -> None:
    """One look at the table, every time: how long a refusal takes tells nothing."""
    bobs, eves = here.keys.create("bob"), here.keys.create("eve")
    here.keys.revoke(eves.split("_")[1])
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *about: asked.append(about[2]))

    for key in (bobs[:-1] + "x", eves, "x", "", "dr_000000000000_" + "0" * 64, "dr__", "\u00fc" * 40, "dr_\u00b2_x"):
        asked.clear()
        assert [here.keys.authenticate_uncached(key) for _ in range(3)] == [None] * 3
        assert len(asked) == 3
        assert len(set(asked)) == 1


def test_of_two_who_regenerate_a_key_one_is_answered(here: Process, there: Process) -> None:
    """The other's was over already."""
    key = here.keys.create("bob")
    bob = here.keys.authenticate(key)
    assert bob
    assert there.keys.authenticate(key) == bob
    new = here.keys.regenerate(bob, key)

    with pytest.raises(Unauthorized):
        there.keys.regenerate(bob, key)
    assert here.keys.authenticate(key) is None
    assert there.keys.authenticate(new) == bob
    here.keys.revoke(bob.id)
    with pytest.raises(Unauthorized):
        here.keys.regenerate(bob, new)
