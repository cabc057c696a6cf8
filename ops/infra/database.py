"""The SQL engine, and the migrations that bring its tables up to date."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from ops.infra.files.private_files import make_private_file, make_private_folder
from ops.infra.settings import ROOT

MIGRATIONS = ROOT / "stores" / "sql" / "migrations"
BUSY_TIMEOUT_MS = 5_000
SQLITE_PREFIX = "sqlite:///"
# Any number that nothing else locks in PostgreSQL.
MIGRATION_LOCK_ID = 7_118_104
# Another process may be migrating: longer than any migration takes.
MIGRATION_LOCK_TIMEOUT_S = 60


class DatabaseUnreachableError(Exception):
    """The database does not respond; the message names the kind of error, without the URL and its password."""


def open_database(url: str) -> Engine:
    """Return an engine for ``url``; SQLite gets write-ahead logging, a busy timeout and foreign keys."""
    _make_sqlite_file(url)
    engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
    return engine


def check_connection(url: str) -> None:
    """Connect and run a trivial query; raises DatabaseUnreachableError."""
    engine = open_database(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        raise DatabaseUnreachableError(type(error).__name__) from error
    finally:
        engine.dispose()


def migrate(url: str) -> None:
    """Upgrade the tables at ``url`` to the newest revision; does nothing if they are up to date."""
    _make_sqlite_file(url)
    config = _alembic_config()
    config.attributes["url"] = url
    command.upgrade(config, "head")


@contextlib.contextmanager
def open_migration(url: str) -> Iterator[Connection]:
    """Open a transaction that excludes all other migrations of the database."""
    is_sqlite = url.startswith("sqlite")
    engine = create_engine(url, connect_args={"timeout": MIGRATION_LOCK_TIMEOUT_S} if is_sqlite else {})
    # The driver of SQLite begins no transaction before DDL: a killed migration would leave a part of it behind.
    begin = "BEGIN IMMEDIATE" if is_sqlite else f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK_ID})"
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(begin)
            yield connection
    finally:
        engine.dispose()


def recreate_tables(url: str, revision: str, check: Callable[[Connection], None] | None = None) -> None:
    """Drop all tables, with their rows, and create those of a revision, in one transaction.

    Nothing is written to the tables from the call of ``check``, which may raise, until the new ones are there.
    """
    _make_sqlite_file(url)
    config = _alembic_config()
    with open_migration(url) as connection:
        if connection.dialect.name == "postgresql":
            lock_tables(connection, inspect(connection).get_table_names())
        if check is not None:
            check(connection)
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        command.upgrade(config, revision)


def lock_tables(connection: Connection, names: Iterable[str]) -> None:
    """Exclude all other transactions of PostgreSQL from tables; waits for those that use them, for a limited time."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{MIGRATION_LOCK_TIMEOUT_S}s'")
    for name in sorted(names):
        quoted = connection.dialect.identifier_preparer.quote(name)
        connection.exec_driver_sql(f"LOCK TABLE {quoted} IN ACCESS EXCLUSIVE MODE")


def list_revisions() -> list[str]:
    """Return the revisions of the tables that this version knows."""
    return [script.revision for script in ScriptDirectory.from_config(_alembic_config()).walk_revisions()]


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _make_sqlite_file(url: str) -> None:
    """Create the file for its owner only; SQLite itself would use the umask, and gives its journals the same mode."""
    if not url.startswith(SQLITE_PREFIX):
        return
    path = Path(url.removeprefix(SQLITE_PREFIX).partition("?")[0])
    # What cannot be created is reported when the database is opened.
    with contextlib.suppress(OSError):
        make_private_folder(path.parent)
        make_private_file(path)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
