"""The SQL engine, and the migrations that bring its tables up to date."""

import contextlib
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from ops.infra.files.private_files import make_private_file, make_private_folder
from ops.infra.settings import ROOT

MIGRATIONS = ROOT / "stores" / "sql" / "migrations"
BUSY_TIMEOUT_MS = 5_000
SQLITE_PREFIX = "sqlite:///"


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


def recreate_tables(url: str, revision: str) -> None:
    """Drop all tables, with their rows, and create those of a revision."""
    _make_sqlite_file(url)
    config = _alembic_config()
    config.attributes["url"] = url
    command.downgrade(config, "base")
    command.upgrade(config, revision)


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
