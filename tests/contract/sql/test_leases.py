"""Leases of the library in SQL, between processes whose machines' clocks differ."""

import time

import pytest
from sqlalchemy import Engine, update

from ops.infra.blocking import start_thread
from ops.infra.clock import SystemClock
from ops.infra.database import LIBRARY_LOCK_ID, open_database
from stores.library import Library
from stores.library.maintenance import LEASE_TTL_MS, SCANNING
from stores.library.tables import leases
from stores.sql.database import Database
from tests.conftest import TIMEOUT_S


@pytest.mark.parametrize("wrong_s", [90, -90])
def test_a_wrong_clock_takes_no_lease_from_its_holder(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, wrong_s: int
) -> None:
    """The times are the database's own; an expired lease can be taken, whichever clock is wrong."""
    maintenance = Library.from_engine(engine, SystemClock()).maintenance
    real = time.time_ns
    assert maintenance.acquire_lease(SCANNING, "indexer")
    monkeypatch.setattr(time, "time_ns", lambda: real() + wrong_s * 1_000_000_000)
    assert not maintenance.acquire_lease(SCANNING, "command")
    assert maintenance.acquire_lease(SCANNING, "indexer")

    with engine.begin() as connection:
        connection.execute(update(leases).values(until=leases.c.until - LEASE_TTL_MS - 1))
    assert maintenance.acquire_lease(SCANNING, "command")
    monkeypatch.undo()
    assert not maintenance.acquire_lease(SCANNING, "indexer")


def test_a_lease_does_not_wait_for_the_index(postgresql: str) -> None:
    """Transactions on the index may be long; a lease can be renewed meanwhile."""
    engine = open_database(postgresql)
    maintenance = Library.from_engine(engine, SystemClock()).maintenance
    with Database(engine).write_exclusively(LIBRARY_LOCK_ID):
        assert start_thread(lambda: maintenance.acquire_lease("test", "first")).result(TIMEOUT_S)
        assert not start_thread(lambda: maintenance.acquire_lease("test", "second")).result(TIMEOUT_S)
        start_thread(lambda: maintenance.release_lease("test", "first")).result(TIMEOUT_S)
    assert maintenance.acquire_lease("test", "second")
    maintenance.release_lease("test", "second")
    engine.dispose()
