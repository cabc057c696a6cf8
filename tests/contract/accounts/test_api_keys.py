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

OWNER_KEY = OwnerKey(Path("unused"), API_KEY)


class FakeTimer:
    """A monotonic clock that moves only when it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self.now


def test_a_key_is_valid_until_it_is_revoked(engine: Engine) -> None:
    """It becomes invalid within a second after its revocation."""
    timer = FakeTimer()
    keys = ApiKeys(engine, SystemClock(), OWNER_KEY, timer)
    key = keys.create("bob")
    caller = keys.authenticate(key)

    assert caller is not None
    assert (caller.name, keys.list_active()) == ("bob", [caller])
    keys.revoke(caller.id)
    timer.now += 1.0
    assert keys.authenticate(key) is None
    assert not keys.list_active()


@pytest.mark.parametrize(
    "key", ["", "x", "dr_", "dr__", "dr_000000000000_00", "dr_%_x", "' OR 1=1 --", "ü" * 100, API_KEY[:-1]]
)
def test_unknown_keys_are_invalid(engine: Engine, key: str) -> None:
    """This holds for keys of any form."""
    assert ApiKeys(engine, SystemClock(), OWNER_KEY).authenticate(key) is None


def test_a_key_has_its_scopes_limits_and_plan(engine: Engine) -> None:
    """Omitted properties get their defaults, and the default scopes exclude admin."""
    keys = ApiKeys(engine, SystemClock(), OWNER_KEY)
    limits = parse_limits("daily=100,weekly=unlimited,concurrent=2,rate=60/minute")
    reader = keys.authenticate(keys.create("bob", KeyChange(scopes=frozenset({Scope.READ}), limits=limits, plan="pro")))
    default = keys.authenticate(keys.create("eve"))

    assert reader
    assert (reader.scopes, reader.limits, reader.plan) == ({Scope.READ}, limits, "pro")
    assert default
    assert (default.scopes, default.limits, default.plan) == (DEFAULT_SCOPES, CallerLimits(), None)


def test_changes_take_effect_within_a_second(engine: Engine) -> None:
    """Properties that are not named stay; the old secret is invalid."""
    timer = FakeTimer()
    keys = ApiKeys(engine, SystemClock(), OWNER_KEY, timer)
    old = keys.create("bob", KeyChange(plan="pro"))
    bob = keys.authenticate(old)
    assert bob
    keys.update(bob.id, KeyChange(limits=parse_limits("daily=1")))
    new = keys.rotate(bob.id)
    timer.now += 1.0

    assert keys.authenticate(old) is None
    assert keys.authenticate(new) == replace(bob, limits=CallerLimits(daily=1))
    keys.update(bob.id, KeyChange(plan=""))
    timer.now += 1.0
    assert keys.authenticate(new) == replace(bob, limits=CallerLimits(daily=1), plan=None)


def test_a_revoked_key_stays_revoked(engine: Engine) -> None:
    """It cannot be rotated or changed."""
    keys = ApiKeys(engine, SystemClock(), OWNER_KEY)
    keys.create("bob")
    [bob] = keys.list_active()
    keys.revoke(bob.id)
    for act in (keys.rotate, keys.revoke, lambda key_id: keys.update(key_id, KeyChange(name="eve"))):
        with pytest.raises(NotFound):
            act(bob.id)


def test_a_known_id_with_a_wrong_secret_is_invalid(engine: Engine) -> None:
    """The id alone does not authenticate."""
    keys = ApiKeys(engine, SystemClock(), OWNER_KEY)
    key = keys.create("bob")

    assert keys.authenticate(key[:-4] + "0000") is None


def test_keys_are_stored_as_hashes(engine: Engine) -> None:
    """The table contains no key."""
    key = ApiKeys(engine, SystemClock(), OWNER_KEY).create("bob")
    with engine.connect() as connection:
        rows = str(connection.execute(text("SELECT * FROM keys")).all())

    assert key not in rows
    assert key.rpartition("_")[2] not in rows


def test_revoking_an_unknown_key_raises(engine: Engine) -> None:
    """The error names the id."""
    with pytest.raises(NotFound, match="nope"):
        ApiKeys(engine, SystemClock(), OWNER_KEY).revoke("nope")


def test_migrated_tables_match_the_code(engine: Engine) -> None:
    """Migrations and table definitions have the same columns."""
    inspector = inspect(engine)
    for table in tables.metadata.sorted_tables:
        assert {column.name for column in table.columns} == {
            column["name"] for column in inspector.get_columns(table.name)
        }


def test_the_owners_key_works_without_a_database(tmp_path: Path) -> None:
    """For other keys the answer is Unavailable, because they can be neither accepted nor rejected."""
    keys = ApiKeys(open_database(f"sqlite:///{tmp_path / 'no' / 'such.sqlite3'}"), SystemClock(), OWNER_KEY)

    caller = keys.authenticate(API_KEY)
    assert caller
    assert caller.id == OWNER
    with pytest.raises(Unavailable):
        keys.authenticate("dr_000000000000_" + "0" * 64)
