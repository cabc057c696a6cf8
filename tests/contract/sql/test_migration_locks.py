"""Migrations of a PostgreSQL database that others use."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from psycopg import Connection as Session
from psycopg import connect
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, create_engine, event
from structlog.testing import capture_logs

from ops.infra import database
from ops.infra.database import is_migrated, migrate, migrate_to
from ops.infra.setting_parsers import UnreachableError
from tests.conftest import eventually

SEARCH = "SELECT count(*) FROM library_models m JOIN library_search_terms t ON t.model_id = m.id"
TURN = "LOCK TABLE library_models, library_search_terms"
TERMS = "SELECT model_id, terms::text FROM library_search_terms ORDER BY model_id"
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
    migration.join(60)
    assert is_migrated(url)
    other.dispose()


def begin(connection: Connection, *statements: str) -> None:
    """Begin a transaction with locks."""
    for statement in ("BEGIN", *statements):
        connection.exec_driver_sql(statement)


def lock(table: str) -> str:
    """The lock that writing a table takes."""
    return f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE"


def is_waiting(connection: Connection) -> bool:
    """Whether another transaction of this database waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(connection.exec_driver_sql(query).scalar_one())


def test_a_migration_waits_for_the_index(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction on the index locks files before models: there is no deadlock, and the migration goes on."""
    monkeypatch.setattr(database, "TABLE_LOCK_TIMEOUT_MS", 20_000)
    other = create_engine(url, isolation_level="AUTOCOMMIT")
    migration = threading.Thread(target=migrate, args=[url])
    with other.connect() as indexer, other.connect() as observer, capture_logs() as logs:
        begin(indexer, f"SELECT pg_advisory_xact_lock({database.LIBRARY_LOCK_ID})", lock("library_files"))
        migration.start()
        eventually(lambda: is_waiting(observer))
        indexer.exec_driver_sql(lock("library_models"))
        indexer.exec_driver_sql("COMMIT")
        migration.join(60)
    assert (is_migrated(url), logs) == (True, [])
    other.dispose()


def test_a_migration_begins_again_after_a_deadlock(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may lock tables in any order."""
    monkeypatch.setattr(database, "TABLE_LOCK_TIMEOUT_MS", 20_000)
    monkeypatch.setattr(database, "TABLE_LOCK_RETRY_S", 0.05)
    other = create_engine(url, isolation_level="AUTOCOMMIT")
    migration = threading.Thread(target=migrate, args=[url])
    with other.connect() as user, other.connect() as observer, capture_logs() as logs:
        # The migration is the one that notices.
        user.exec_driver_sql("SET deadlock_timeout = '1min'")
        begin(user, lock("library_tags"))
        migration.start()
        eventually(lambda: is_waiting(observer))
        user.exec_driver_sql(lock("deliveries"))
        eventually(lambda: logs)
        user.exec_driver_sql("COMMIT")
    migration.join(60)
    assert is_migrated(url)
    assert logs[0]["event"] == "migration.table_in_use"
    other.dispose()


def test_a_table_in_use_throws_no_work_away(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of all revisions are locked before the first one does anything."""
    monkeypatch.setattr(database, "TABLE_LOCK_TIMEOUT_MS", 50)
    monkeypatch.setattr(database, "TABLE_LOCK_ATTEMPTS", 1)
    statements: list[str] = []
    listener = partial(_record, statements)
    event.listen(Engine, "before_cursor_execute", listener)
    other = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with other.connect() as user:
            begin(user, lock("deliveries"))
            with pytest.raises(UnreachableError):
                migrate(url)
            assert [each for each in statements if "CREATE" in each.upper()] == []
            user.exec_driver_sql("COMMIT")
            migrate(url)
        assert [each for each in statements if "CREATE TABLE library_search_counts" in each]
    finally:
        event.remove(Engine, "before_cursor_execute", listener)
        other.dispose()


def _record(statements: list[str], _connection: object, _cursor: object, statement: str, *_: object) -> None:
    statements.append(statement)


@contextmanager
def before_each_statement(call: Callable[[str], object]) -> Iterator[None]:
    """Call a function with each statement of SQLAlchemy before it runs."""

    def listener(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        call(statement)

    event.listen(Engine, "before_cursor_execute", listener)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", listener)


@pytest.fixture
def session(url: str) -> Iterator[Session[Any]]:
    """A session on a database with a library as it was before 0017."""
    migrate_to(url, "0016")
    with connect(url.replace("+psycopg", ""), autocommit=True) as opened:
        opened.execute(
            "INSERT INTO library_models (id, name, name_key, type, type_key, category, category_key, nsfw_level, "
            "downloads, likes, newest_at, size_bytes, files, flags, dim) "
            "SELECT n, 'x', 'x', 'x', 'x', 'x', 'x', 0, 0, 0, 0, 0, 1, 0, nullif(8 * (n % 3), 0) "
            "FROM generate_series(1, 9) AS n"
        )
        opened.execute(
            "INSERT INTO library_details (model_id, facts, sources, search_text) "
            "SELECT id, '', '', 'ink wash' FROM library_models"
        )
        yield opened


def test_the_library_is_read_while_its_words_are_written(url: str, session: Session[Any]) -> None:
    """Searches wait only while the new table takes the place of the old one, which takes no time."""
    session.execute("SET lock_timeout = 50")
    held_up: list[str] = []
    numbers: set[int] = set()

    def search(statement: str) -> None:
        try:
            numbers.update(row[0] for row in session.execute(SEARCH))
        except LockNotAvailable:
            held_up.append(statement.split(" (", maxsplit=1)[0].strip())

    with before_each_statement(search):
        migrate(url)
    search("")
    assert numbers == {9}
    quick = (
        "ROLLBACK TO",
        "RELEASE",
        "DROP TABLE",
        "DROP INDEX",
        "ALTER TABLE",
        "ALTER INDEX",
        "CREATE OR REPLACE",
        "CREATE CONSTRAINT TRIGGER",
        "UPDATE alembic",
    )
    assert [each for each in held_up if not each.startswith(quick)] == []
    assert [each for each in held_up if "ADD CONSTRAINT" in each] == []
    assert "DROP TABLE library_search_terms" in held_up
    assert [row[0] for row in session.execute("SELECT word FROM library_search_words ORDER BY word")] == ["ink", "wash"]
    copied = session.execute(TERMS).fetchall()
    session.execute("SELECT library_search_recount()")
    assert copied == session.execute(TERMS).fetchall()
    assert [("'=d8'" in terms, "'=d16'" in terms) for _, terms in copied[:3]] == [
        (True, False),
        (False, True),
        (False,) * 2,
    ]


def test_a_search_at_the_end_costs_no_work(url: str, session: Session[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The terms are written once if others read the library then, and a search that goes on is no deadlock."""
    monkeypatch.setattr(database, "TABLE_LOCK_TIMEOUT_MS", 100)
    monkeypatch.setattr(database, "TABLE_LOCK_RETRY_S", 0.05)
    monkeypatch.setattr(database, "TABLE_LOCK_ATTEMPTS", 1_000)
    statements: list[str] = []

    def note(statement: str) -> None:
        statements.append(statement.strip())
        if statement.startswith("ANALYZE"):
            session.execute("BEGIN")
            session.execute("SELECT count(*) FROM library_models")

    def count(beginning: str) -> int:
        return [each.startswith(beginning) for each in statements].count(True)

    migration = threading.Thread(target=migrate, args=[url])
    with before_each_statement(note):
        migration.start()
        # Once in 0017, and once in 0018.
        for time in (1, 2):
            eventually(lambda: count("ANALYZE") == time)  # noqa: B023
            before = count(TURN)
            eventually(lambda: count(TURN) >= before + 3)  # noqa: B023
            session.execute(SEARCH)
            session.execute("COMMIT")
        migration.join(60)
    assert is_migrated(url)
    assert count("INSERT INTO new_library_search_terms") == 2
