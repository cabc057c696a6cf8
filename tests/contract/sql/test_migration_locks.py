"""Migrations of a PostgreSQL database that others use."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine

from ops.infra import database
from ops.infra.database import is_migrated, migrate, migrate_to
from ops.infra.setting_parsers import UnreachableError

IN_USE = "BEGIN; LOCK TABLE library_models IN ROW EXCLUSIVE MODE"


@pytest.fixture
def url(postgresql: str) -> Iterator[str]:
    """The URL of a database that an earlier version has made."""
    server = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE in_use")
    made = postgresql.replace("/postgres?", "/in_use?")
    migrate_to(made, "0013")
    yield made
    with server.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE in_use")
    server.dispose()


def test_a_migration_waits_for_others_in_short_turns(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a transaction uses a table nothing is changed, and other queries go on; once it has ended, all is."""
    monkeypatch.setattr(database, "TABLE_LOCK_TIMEOUT_MS", 50)
    monkeypatch.setattr(database, "TABLE_LOCK_RETRY_S", 0.05)
    monkeypatch.setattr(database, "TABLE_LOCK_ATTEMPTS", 2)
    other = create_engine(url, isolation_level="AUTOCOMMIT")
    with other.connect() as user:
        user.exec_driver_sql(IN_USE)
        with pytest.raises(UnreachableError, match="use a table that a migration changes"):
            migrate(url)
        assert not is_migrated(url)

        monkeypatch.setattr(database, "TABLE_LOCK_ATTEMPTS", 1_000)
        migration = threading.Thread(target=migrate, args=[url])
        migration.start()
        with other.connect() as reader:
            assert reader.exec_driver_sql("SELECT count(*) FROM library_models").scalar_one() == 0
        user.exec_driver_sql("COMMIT")
    migration.join(30)
    assert is_migrated(url)
    other.dispose()
