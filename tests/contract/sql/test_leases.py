"""Leases of the library in SQL, between processes whose machines' clocks differ."""

import threading
import time
from functools import partial

import pytest
from sqlalchemy import Engine, text, update

from ops.infra.blocking import start_thread
from ops.infra.clock import SystemClock
from ops.infra.database import LIBRARY_LOCK_ID, open_database
from stores.library import Library
from stores.library.maintenance import BY_FOLDER, HASHING, LEASE_TTL_MS, SCANNING
from stores.library.tables import leases
from stores.sql.database import Database
from tests.conftest import TIMEOUT_S, eventually


def expire_leases(engine: Engine) -> None:
    """Let LEASE_TTL_MS pass."""
    with engine.begin() as connection:
        connection.execute(update(leases).values(until=leases.c.until - LEASE_TTL_MS - 1))


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

    expire_leases(engine)
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


def test_folders_have_leases_of_their_own(engine: Engine) -> None:
    """Machines with different folders work at the same time; the processes of one folder exclude each other."""
    maintenance = Library.from_engine(engine, SystemClock()).maintenance
    assert maintenance.acquire_folders(SCANNING, ["/a", "/b"], "first") == ["/a", "/b"]
    assert maintenance.acquire_folders(SCANNING, ["/b", "/c"], "second") == ["/c"]
    assert maintenance.acquire_folders(HASHING, ["/a"], "second") == ["/a"]
    assert maintenance.list_held(SCANNING, ["/a", "/b", "/c", "/d"]) == ["/a", "/b", "/c"]
    maintenance.release_folders(SCANNING, ["/a", "/b"], "first")
    assert maintenance.acquire_folders(SCANNING, ["/b", "/c"], "second") == ["/b", "/c"]
    expire_leases(engine)
    assert maintenance.list_held(SCANNING, ["/b"]) == []
    assert maintenance.acquire_folders(SCANNING, ["/b"], "first") == ["/b"]


def test_processes_of_a_version_before_exclude_those_with_folders(engine: Engine) -> None:
    """They hold the lease of the whole task; the first of both keeps the other waiting."""
    maintenance = Library.from_engine(engine, SystemClock()).maintenance
    assert maintenance.acquire_lease(SCANNING, "before")
    assert maintenance.acquire_folders(SCANNING, ["/a"], "first") == []
    maintenance.release_lease(SCANNING, "before")
    assert maintenance.acquire_folders(SCANNING, ["/a"], "first") == ["/a"]
    assert maintenance.acquire_folders(SCANNING, ["/b"], "second") == ["/b"]
    assert not maintenance.acquire_lease(SCANNING, "before")
    maintenance.release_folders(SCANNING, ["/a"], "first")
    assert not maintenance.acquire_lease(SCANNING, "before")
    maintenance.release_folders(SCANNING, ["/b"], "second")
    assert maintenance.acquire_lease(SCANNING, "before")


def test_releasing_folders_waits_with_none_of_them(postgresql: str) -> None:
    """Who takes folders at the same time has the row of the task, and then needs theirs: there is no deadlock."""
    engine = open_database(postgresql)
    maintenance = Library.from_engine(engine, SystemClock()).maintenance
    assert maintenance.acquire_folders("test", ["/a"], "first") == ["/a"]
    # Within a transaction it would see the same activity each time.
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as observer, engine.begin() as taking:
        taking.execute(update(leases).where(leases.c.name == "test").values(owner=BY_FOLDER))
        release = start_thread(lambda: maintenance.release_folders("test", ["/a"], "first"))
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        eventually(lambda: observer.execute(waiting).scalar_one())
        taking.execute(text("SET LOCAL lock_timeout = 1000"))
        renewed = update(leases).where(leases.c.name.startswith("test ")).values(owner="first")
        assert taking.execute(renewed).rowcount == 1
    release.result(TIMEOUT_S)
    assert maintenance.list_held("test", ["/a"]) == []
    engine.dispose()


def test_of_many_processes_one_gets_a_folder(postgresql: str) -> None:
    """They ask at the same time, with their folders in different orders."""
    engine = open_database(postgresql)
    maintenance = Library.from_engine(engine, SystemClock()).maintenance
    folders = [f"/{number}" for number in range(6)]
    barrier = threading.Barrier(4)

    def ask(number: int) -> list[str]:
        barrier.wait(TIMEOUT_S)
        mine = folders[number:] + folders[:number]
        return maintenance.acquire_folders("test", mine if number % 2 else mine[::-1], f"process {number}")

    asked = [start_thread(partial(ask, number)) for number in range(4)]
    held = [folder for each in asked for folder in each.result(TIMEOUT_S)]
    assert sorted(held) == folders
    for number in range(4):
        maintenance.release_folders("test", folders, f"process {number}")
    assert maintenance.acquire_lease("test", "before")
    maintenance.release_lease("test", "before")
    engine.dispose()
