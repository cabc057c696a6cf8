"""Connections and transactions for the SQL stores, with database errors translated."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite

from stores.sql.errors import sql_errors

# The time of the database server, and of SQLite's machine, in Unix ms.
TIME_SQL = {
    "postgresql": "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
    "sqlite": "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS integer)",
}


class Database:
    """An engine whose connections raise Unavailable and Invalid instead of SQLAlchemy's errors."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # A transaction of PostgreSQL that only reads would cost two round trips more and show no other rows: each of
        # its statements sees what is committed when it begins. The driver of SQLite begins none for queries anyway.
        is_postgresql = self.dialect == "postgresql"
        self._reader = engine.execution_options(isolation_level="AUTOCOMMIT") if is_postgresql else engine

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    def insert_or_ignore(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """Return an INSERT that skips rows whose key exists already."""
        insert = postgresql.insert if self.dialect == "postgresql" else sqlite.insert
        return insert(table).on_conflict_do_nothing()

    def now_ms(self, connection: Connection) -> int:
        """Return the time of the database, which is one clock for all processes that compare times in its rows."""
        return int(connection.exec_driver_sql(TIME_SQL[self.dialect]).scalar_one())

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for queries. Each sees what is committed when it begins."""
        with sql_errors(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction: committed at the end, rolled back by an exception."""
        with sql_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write_exclusively(self, lock_id: int) -> Iterator[Connection]:
        """Open a transaction that excludes all others with the same lock, so that what it reads stays true.

        SQLite has one writer at a time whatever the lock: taking its lock before the first read avoids SQLITE_BUSY
        when a reader wants to become the writer.
        """
        begin = "BEGIN IMMEDIATE" if self.dialect == "sqlite" else f"SELECT pg_advisory_xact_lock({lock_id})"
        with sql_errors(), self._engine.begin() as connection:
            connection.exec_driver_sql(begin)
            yield connection
