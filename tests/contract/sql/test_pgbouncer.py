"""PostgreSQL behind PgBouncer, which gives each transaction another connection of the server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from ops.infra.clock import SystemClock
from ops.infra.database import open_database
from stores.accounts.api_keys import ApiKeys
from stores.accounts.owner_key import OwnerKey
from stores.backup.rows import open_snapshot
from stores.library import Library
from tests.conftest import API_KEY, migrate_twice
from tests.support.pgbouncer import serve_pooled

THREADS = 8
# More often than the driver runs a statement before it would prepare it.
ROUNDS = 12


@pytest.fixture
def pooled(postgresql: str, tmp_path: Path) -> Iterator[Engine]:
    """A database behind PgBouncer in transaction mode, with migrated tables."""
    with serve_pooled(postgresql, tmp_path) as url:
        migrate_twice(url)
        engine = open_database(url)
        yield engine
        engine.dispose()


def test_stores_work_behind_pgbouncer(pooled: Engine, tmp_path: Path) -> None:
    """Statements run many times, from more threads than PgBouncer has connections, and in long transactions."""
    keys = ApiKeys(pooled, SystemClock(), OwnerKey(tmp_path, API_KEY))
    library = Library.from_engine(pooled, SystemClock())

    def use(number: int) -> int:
        for round_ in range(ROUNDS):
            keys.create(f"key {number} {round_}")
            assert library.maintenance.acquire_lease(f"lease {number}", "owner")
        return len(keys.list_active())

    with ThreadPoolExecutor(THREADS) as pool:
        counts = list(pool.map(use, range(THREADS)))
    assert max(counts) == THREADS * ROUNDS
    with open_snapshot(pooled) as snapshot:
        keys.create("meanwhile")
        assert len(list(snapshot.read_lines("keys"))) == THREADS * ROUNDS
