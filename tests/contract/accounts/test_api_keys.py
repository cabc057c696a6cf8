"""API keys, in SQLite and in PostgreSQL."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from ops.infra.clock import SystemClock
from ops.infra.database import open_database
from schemas.accounts.caller import DEFAULT_SCOPES, OWNER, CallerLimits, Scope, parse_limits
from schemas.errors import NotFound, Unavailable
from stores.accounts.api_keys import ApiKeys, KeyChange
from stores.accounts.owner_key import OwnerKey
from stores.sql import tables
from tests.conftest import API_KEY

OWNERS = OwnerKey(Path("unused"), API_KEY)


class FakeTimer:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The seconds so far."""
        return self.now


def test_a_key_is_known_until_it_is_revoked(engine: Engine) -> None:
    """Within a second of being revoked it is nobody's."""
    ticks = FakeTimer()
    keys = ApiKeys(engine, SystemClock(), OWNERS, ticks)
    key = keys.create("bob")
    caller = keys.authenticate(key)

    assert caller is not None
    assert (caller.name, keys.list_active()) == ("bob", [caller])
    keys.revoke(caller.id)
    ticks.now += 1.0
    assert keys.authenticate(key) is None
    assert not keys.list_active()


@pytest.mark.parametrize(
    "key", ["", "x", "dr_", "dr__", "dr_000000000000_00", "dr_%_x", "' OR 1=1 --", "ü" * 100, API_KEY[:-1]]
)
def test_any_other_key_is_nobodys(engine: Engine, key: str) -> None:
    """Whatever its shape."""
    assert ApiKeys(engine, SystemClock(), OWNERS).authenticate(key) is None


def test_a_key_may_what_it_was_given(engine: Engine) -> None:
    """Scopes, limits and a plan; what is left out is as usual, and all but what an admin may."""
    keys = ApiKeys(engine, SystemClock(), OWNERS)
    limits = parse_limits("daily=100,weekly=unlimited,concurrent=2,rate=60/minute")
    given = keys.authenticate(keys.create("bob", KeyChange(scopes=frozenset({Scope.READ}), limits=limits, plan="pro")))
    usual = keys.authenticate(keys.create("eve"))

    assert given
    assert (given.scopes, given.limits, given.plan) == ({Scope.READ}, limits, "pro")
    assert usual
    assert (usual.scopes, usual.limits, usual.plan) == (DEFAULT_SCOPES, CallerLimits(), None)


def test_a_key_is_changed_and_rotated_within_a_second(engine: Engine) -> None:
    """What is not named stays; the old secret is nobody's."""
    ticks = FakeTimer()
    keys = ApiKeys(engine, SystemClock(), OWNERS, ticks)
    old = keys.create("bob", KeyChange(plan="pro"))
    bob = keys.authenticate(old)
    assert bob
    keys.update(bob.id, KeyChange(limits=parse_limits("daily=1")))
    new = keys.rotate(bob.id)
    ticks.now += 1.0

    assert keys.authenticate(old) is None
    assert keys.authenticate(new) == replace(bob, limits=CallerLimits(daily=1))
    keys.update(bob.id, KeyChange(plan=""))
    ticks.now += 1.0
    assert keys.authenticate(new) == replace(bob, limits=CallerLimits(daily=1), plan=None)


def test_a_revoked_key_stays_revoked(engine: Engine) -> None:
    """It cannot be rotated or changed back to life."""
    keys = ApiKeys(engine, SystemClock(), OWNERS)
    keys.create("bob")
    [bob] = keys.list_active()
    keys.revoke(bob.id)
    for act in (keys.rotate, keys.revoke, lambda ident: keys.update(ident, KeyChange(name="eve"))):
        with pytest.raises(NotFound):
            act(bob.id)


def test_a_known_id_with_another_secret_is_nobodys(engine: Engine) -> None:
    """The id alone opens nothing."""
    keys = ApiKeys(engine, SystemClock(), OWNERS)
    key = keys.create("bob")

    assert keys.authenticate(key[:-4] + "0000") is None


def test_no_key_is_stored(engine: Engine) -> None:
    """Whoever reads the table gets hashes."""
    key = ApiKeys(engine, SystemClock(), OWNERS).create("bob")
    with engine.connect() as connection:
        rows = str(connection.execute(text("SELECT * FROM keys")).all())

    assert key not in rows
    assert key.rpartition("_")[2] not in rows


def test_revoking_an_unknown_key_says_so(engine: Engine) -> None:
    """A slip of the hand is noticed."""
    with pytest.raises(NotFound, match="nope"):
        ApiKeys(engine, SystemClock(), OWNERS).revoke("nope")


def test_the_tables_are_those_that_the_code_describes(engine: Engine) -> None:
    """Migrations and tables do not drift apart."""
    found = inspect(engine)
    for table in tables.metadata.sorted_tables:
        assert {column.name for column in table.columns} == {column["name"] for column in found.get_columns(table.name)}


def test_the_owners_key_works_without_a_database(tmp_path: Path) -> None:
    """And any other key meanwhile is neither right nor wrong."""
    keys = ApiKeys(open_database(f"sqlite:///{tmp_path / 'no' / 'such.sqlite3'}"), SystemClock(), OWNERS)

    caller = keys.authenticate(API_KEY)
    assert caller
    assert caller.id == OWNER
    with pytest.raises(Unavailable):
        keys.authenticate("dr_000000000000_" + "0" * 64)
