"""The SQL engine, and the migrations that bring its tables up to date.

Alembic is imported only where it is used: that takes a tenth of a second, and every process imports this module.
"""

import contextlib
import importlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, OperationalError, SQLAlchemyError

from ops.infra.files.private_files import make_private_file, make_private_folder
from ops.infra.logging import describe_error
from ops.infra.setting_parsers import SettingsError, UnreachableError
from ops.infra.settings import ROOT

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = ROOT / "stores" / "sql" / "migrations"
REVISION = re.compile(r'^revision = "(\w+)"$', re.MULTILINE)
BUSY_TIMEOUT_MS = 5_000
SQLITE_PREFIX = "sqlite:///"
# Arbitrary numbers for PostgreSQL's advisory locks, each unique to its purpose: migrations, and all that write the
# index of the library.
MIGRATION_LOCK_ID, LIBRARY_LOCK_ID = 7_118_104, 7_118_105
# Another process may be migrating. What has to wait longer begins again.
MIGRATION_LOCK_TIMEOUT_S = 60
# The driver would prepare statements that it runs often. Behind PgBouncer, which gives each transaction another
# connection of the server, these do not exist or exist already.
POSTGRESQL_OPTIONS: dict[str, Any] = {"prepare_threshold": None}
# An unreachable server would otherwise delay each request for minutes.
CONNECT_TIMEOUT_S = 10
# A connection that was used a moment ago is not tested before it is used again.
TEST_IDLE_AFTER_S = 1.0
# While a migration waits for a table that others use, all who come after it wait too: it waits for short times only.
TABLE_LOCK_TIMEOUT_MS, TABLE_LOCK_ATTEMPTS, TABLE_LOCK_RETRY_S = 3_000, 20, 3.0
LOCK_NOT_AVAILABLE, DEADLOCK = "55P03", "40P01"
# On PostgreSQL this revision ends with a lock that excludes readers, so what follows it is another transaction.
COMMITTED_REVISION = "0017"

log = structlog.get_logger(__name__)


def open_database(url: str) -> Engine:
    """Return an engine for ``url``; SQLite gets write-ahead logging, a busy timeout and foreign keys.

    Raises:
        SettingsError: the URL cannot be used.
    """
    _make_sqlite_file(url)
    if url.startswith("sqlite"):
        engine = _create_engine(url, {})
        event.listen(engine, "connect", _configure_sqlite)
        return engine
    engine = _create_engine(url, _postgresql_options(url))
    event.listen(engine, "connect", _configure_postgresql)
    _test_idle_connections(engine)
    return engine


def check_connection(url: str) -> None:
    """Connect and run a trivial query; raises UnreachableError."""
    engine = open_database(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        raise UnreachableError("DATABASE_URL", describe_error(error)) from error
    finally:
        engine.dispose()


def migrate(url: str) -> None:
    """Upgrade the tables at ``url`` to the newest revision; does nothing if they are up to date.

    On PostgreSQL what follows COMMITTED_REVISION is a transaction of its own. If others use a table for long, the
    migration begins again, TABLE_LOCK_ATTEMPTS times.

    Raises:
        UnreachableError: the database does not respond, or a table was in use all the time.
        SettingsError: the URL cannot be used, or a newer version has made the tables.
    """
    _make_sqlite_file(url)
    for attempt in range(1, TABLE_LOCK_ATTEMPTS + 1):
        try:
            if not url.startswith("sqlite"):
                _upgrade(url, COMMITTED_REVISION)
            return _upgrade(url)
        except OperationalError as error:
            if not _is_in_use(error):
                raise UnreachableError("DATABASE_URL", describe_error(error)) from error
            log.warning("migration.table_in_use", attempt=attempt, attempts=TABLE_LOCK_ATTEMPTS)
            if attempt < TABLE_LOCK_ATTEMPTS:
                time.sleep(TABLE_LOCK_RETRY_S)
    raise UnreachableError(
        "DATABASE_URL",
        "other transactions use a table that a migration changes, and did not end in time. What was not finished "
        "is undone. End them (pg_stat_activity lists them, the longest are backups and reports), and migrate again",
    )


def migrate_to(url: str, revision: str) -> None:
    """Upgrade the tables to a revision, as an earlier version had them."""
    _make_sqlite_file(url)
    _upgrade(url, revision)


def _upgrade(url: str, revision: str = "head") -> None:
    config = _alembic_config()
    config.attributes["url"] = url
    try:
        _alembic("command").upgrade(config, revision)
    except _alembic("util").CommandError as error:
        raise SettingsError(f"DATABASE_URL: a newer version of Darkroom has made its tables ({error}).") from error


def is_migrated(url: str) -> bool:
    """Whether the tables at ``url`` have the newest revision; False also if the database does not answer."""
    engine = open_database(url)
    try:
        with engine.connect() as connection:
            present = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    except SQLAlchemyError:
        return False
    finally:
        engine.dispose()
    newest = max((MIGRATIONS / "versions").glob("[0-9]*.py"), key=lambda file: file.name)
    match = REVISION.search(newest.read_text())
    return match is not None and list(present) == [match[1]]


@contextlib.contextmanager
def open_migration(url: str) -> Iterator[Connection]:
    """Open a transaction that excludes all other migrations of the database."""
    is_sqlite = url.startswith("sqlite")
    engine = _create_engine(url, {"timeout": MIGRATION_LOCK_TIMEOUT_S} if is_sqlite else _postgresql_options(url))
    # The driver of SQLite begins no transaction before DDL: a killed migration would leave a part of it behind.
    begin = "BEGIN IMMEDIATE" if is_sqlite else f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK_ID})"
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(begin)
            if not is_sqlite:
                # Not for the lock above: another migration may take long.
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {TABLE_LOCK_TIMEOUT_MS}")
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
        command = _alembic("command")
        command.downgrade(config, "base")
        command.upgrade(config, revision)


def lock_tables(connection: Connection, names: Iterable[str]) -> None:
    """Exclude all other transactions of PostgreSQL from tables; waits for those that use them, for a limited time."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{MIGRATION_LOCK_TIMEOUT_S}s'")
    wait_for_library(connection)
    for name in sorted(names):
        quoted = connection.dialect.identifier_preparer.quote(name)
        connection.exec_driver_sql(f"LOCK TABLE {quoted} IN ACCESS EXCLUSIVE MODE")


def wait_for_library(connection: Connection) -> None:
    """Exclude those who write the index of the library, until the transaction of PostgreSQL ends.

    They lock its tables in another order: before the first lock on a table, this prevents deadlocks with them.
    """
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LIBRARY_LOCK_ID})")


def lock_in_turns(connection: Connection, names: Sequence[str]) -> None:
    """Exclude all others from tables, locked in this order, within a transaction whose work a failure would lose.

    Each turn is short and lets go of all the tables, so that those who wait behind it go on before the next one.
    """
    for turn in range(1, TABLE_LOCK_ATTEMPTS + 1):
        savepoint = connection.begin_nested()
        try:
            connection.exec_driver_sql(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
        except OperationalError as error:
            savepoint.rollback()
            if turn == TABLE_LOCK_ATTEMPTS or not _is_in_use(error):
                raise
            time.sleep(TABLE_LOCK_RETRY_S)
        else:
            savepoint.commit()
            return


def _is_in_use(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlstate", None) in (LOCK_NOT_AVAILABLE, DEADLOCK)


def list_revisions() -> list[str]:
    """Return the revisions of the tables that this version knows."""
    scripts = _alembic("script").ScriptDirectory.from_config(_alembic_config())
    return [script.revision for script in scripts.walk_revisions()]


def _test_idle_connections(engine: Engine) -> None:
    """Test connections that were idle before they are used: the server, or a proxy, may have closed them."""

    def note_use(_connection: Any, record: Any) -> None:
        record.info["used_at"] = time.monotonic()

    def test(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("used_at", float("inf")) < TEST_IDLE_AFTER_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            # Makes the pool connect again, and test its other connections.
            raise InvalidatePoolError from error

    event.listen(engine, "checkin", note_use)
    event.listen(engine, "checkout", test)


def _postgresql_options(url: str) -> dict[str, Any]:
    timeout = {} if "connect_timeout=" in url else {"connect_timeout": CONNECT_TIMEOUT_S}
    return POSTGRESQL_OPTIONS | timeout


def _create_engine(url: str, connect_args: dict[str, Any], **options: Any) -> Engine:
    try:
        return create_engine(url, connect_args=connect_args, **options)
    except (ArgumentError, ValueError, ImportError) as error:
        # The message of the error may repeat the URL with its password.
        raise SettingsError("DATABASE_URL: is not the URL of a database that can be used.") from error


def _alembic(module: str) -> Any:
    return importlib.import_module(f"alembic.{module}")


def _alembic_config() -> "Config":
    config: Config = _alembic("config").Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite database; None for a server."""
    return Path(url.removeprefix(SQLITE_PREFIX).partition("?")[0]) if url.startswith(SQLITE_PREFIX) else None


def _make_sqlite_file(url: str) -> None:
    """Create the file for its owner only; SQLite itself would use the umask, and gives its journals the same mode."""
    path = sqlite_file(url)
    if path is None:
        return
    try:
        make_private_folder(path.parent)
        make_private_file(path)
    except OSError as error:
        raise SettingsError(
            f"DATABASE_URL: the file {str(path)!r} cannot be created: {error.strerror}. Name another one, or another "
            "DATA_DIR."
        ) from error


def _configure_postgresql(connection: Any, _record: Any) -> None:
    # Its planner expects of a search of a large library that it takes long, and would compile each before running it.
    connection.execute("SET jit = off")
    connection.commit()


def _configure_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
