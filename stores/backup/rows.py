"""All rows of a database, as lines of JSON that SQLite and PostgreSQL read alike.

Tables are found by reflection, not in ``stores.sql.tables``: a backup has the revision that its database had, and is
restored into tables of that revision, which are then migrated.
"""

import base64
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, Integer, MetaData, Table, func, inspect, select, text

from ops.infra.database import lock_tables
from schemas.errors import Conflict
from stores.sql.errors import sql_errors

REVISION_TABLE = "alembic_version"
BATCH_ROWS = 1000
BYTES_KEY = "base64"
# Tables that the database derives from others: a restore fills them again by their triggers, or by RECOUNT.
DERIVED_PREFIX = "library_search"
RECOUNT = "library_search_recount()"
COUNTING_TRIGGERS = (
    "SELECT tgrelid::regclass::text, quote_ident(tgname) FROM pg_trigger "  # noqa: S608 - a name of this module
    f"WHERE NOT tgisinternal AND starts_with(tgname, '{DERIVED_PREFIX}') AND pg_table_is_visible(tgrelid)"
)


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """The revision, columns and id sequences of a database in a backup.

    ``columns`` has the columns of each table; parents precede children. ``sequences`` has, by table, the largest id
    that was ever given: ids are not given again after a restore.
    """

    revision: str
    columns: Mapping[str, tuple[str, ...]]
    sequences: Mapping[str, int]


class DatabaseSnapshot:
    """A database as it was at one moment; ``open_snapshot`` creates it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tables = {table.name: table for table in reflect_tables(connection)}
        columns = {name: tuple(column.name for column in table.columns) for name, table in self._tables.items()}
        counted = [table for table in self._tables.values() if _has_integer_key(table)]
        sequences = {table.name: _read_sequence(connection, table) for table in counted}
        self.state = DatabaseState(_read_revision(connection), columns, sequences)

    def read_lines(self, name: str) -> Iterator[bytes]:
        """Yield the rows of a table, each as a line: a JSON list of the values in the order of the columns."""
        table = self._tables[name]
        query = select(table).order_by(*table.primary_key.columns)
        with sql_errors():
            for row in self._connection.execution_options(yield_per=BATCH_ROWS).execute(query):
                yield json.dumps([_encode(value) for value in row], ensure_ascii=False).encode() + b"\n"


@contextmanager
def open_snapshot(engine: Engine) -> Iterator[DatabaseSnapshot]:
    """Open a database for reading. Writers go on meanwhile, and what they change is not seen.

    Raises:
        Conflict: the database has no tables.
    """
    with sql_errors(), engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            # The driver begins no transaction for queries: each of them would see another state.
            connection.exec_driver_sql("BEGIN")
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield DatabaseSnapshot(connection)


def list_filled_tables(engine: Engine) -> list[str]:
    """Return the names of the tables that have a row."""
    with sql_errors(), engine.connect() as connection:
        return _filled_tables(connection)


def require_no_rows(connection: Connection) -> None:
    """Raise Conflict, naming the tables, if one has a row."""
    if filled := _filled_tables(connection):
        raise Conflict(
            f"Rows appeared in the empty database while the backup was being restored, into {', '.join(filled[:5])}: "
            "another Darkroom uses the same DATABASE_URL. Stop it, and restore into an empty database."
        )


def load_rows(engine: Engine, state: DatabaseState, lines_of: Callable[[str], Iterable[bytes]]) -> dict[str, int]:
    """Insert the rows of all tables in one transaction; return how many, by table.

    Raises:
        Conflict: the tables do not have the columns of the backup, or have rows.
    """
    counts = {}
    with sql_errors(), engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        tables = {table.name: table for table in reflect_tables(connection)}
        if connection.dialect.name == "postgresql":
            lock_tables(connection, tables)
        require_no_rows(connection)
        if {name: set(table.columns.keys()) for name, table in tables.items()} != {
            name: set(columns) for name, columns in state.columns.items()
        }:
            raise Conflict(f"The tables of the backup are not those of its revision {state.revision}.")
        with _counting_at_the_end(connection):
            for name, columns in state.columns.items():
                rows = (dict(zip(columns, map(_decode, json.loads(line)), strict=True)) for line in lines_of(name))
                counts[name] = _insert(connection, tables[name], rows)
        for name, value in state.sequences.items():
            _write_sequence(connection, tables[name], value)
    return counts


def reflect_tables(connection: Connection) -> list[Table]:
    """Return the tables whose rows are data, parents before children."""
    metadata = MetaData()
    names = [name for name in inspect(connection).get_table_names() if not name.startswith(DERIVED_PREFIX)]
    with warnings.catch_warnings():
        # Rows are read without it.
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index")
        metadata.reflect(connection, only=names)
    return [table for table in metadata.sorted_tables if table.name != REVISION_TABLE]


def _filled_tables(connection: Connection) -> list[str]:
    tables = reflect_tables(connection)
    return [table.name for table in tables if connection.execute(select(table).limit(1)).first() is not None]


def _insert(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> int:
    count = 0
    while batch := list(islice(rows, BATCH_ROWS)):
        connection.execute(table.insert(), batch)
        count += len(batch)
    return count


@contextmanager
def _counting_at_the_end(connection: Connection) -> Iterator[None]:
    """Let PostgreSQL count the library once, not by a trigger for each row.

    The versions of a changed row are kept until the transaction ends, and each further change would read all of them.
    """
    if connection.dialect.name != "postgresql" or not _has_function(connection, RECOUNT):
        yield
        return
    triggers = connection.exec_driver_sql(COUNTING_TRIGGERS).all()
    for table, trigger in triggers:
        connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    yield
    connection.exec_driver_sql(f"SELECT {RECOUNT}")
    for table, trigger in triggers:
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")


def _has_function(connection: Connection, signature: str) -> bool:
    found = connection.execute(text("SELECT to_regprocedure(:signature)::text"), {"signature": signature})
    return found.scalar() is not None


def _read_revision(connection: Connection) -> str:
    if not inspect(connection).has_table(REVISION_TABLE):
        raise Conflict("The database has no tables: there is nothing to back up.")
    revisions = Table(REVISION_TABLE, MetaData(), autoload_with=connection)
    return str(connection.execute(select(revisions.c.version_num)).scalar_one())


def _has_integer_key(table: Table) -> bool:
    keys = list(table.primary_key.columns)
    return len(keys) == 1 and isinstance(keys[0].type, Integer)


def _read_sequence(connection: Connection, table: Table) -> int:
    """Return the largest id that was given; 0 if none was."""
    (column,) = table.primary_key.columns
    largest = connection.execute(select(func.max(column))).scalar_one() or 0
    if connection.dialect.name == "sqlite":
        given = _sqlite_sequence(connection, table) if _is_autoincrement(connection, table) else 0
    elif sequence := _postgresql_sequence(connection, table):
        # A sequence that has given nothing yet reads 1, and so does one that has given 1.
        given = connection.exec_driver_sql(
            f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"  # noqa: S608 - quoted by the server
        ).scalar_one()
    else:
        given = 0
    return max(int(largest), int(given))


def _write_sequence(connection: Connection, table: Table, value: int) -> None:
    if value <= 0:
        return
    if connection.dialect.name == "sqlite":
        # A table without AUTOINCREMENT counts from its largest id.
        if _is_autoincrement(connection, table):
            values = {"name": table.name, "seq": value}
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
            connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"), values)
    elif sequence := _postgresql_sequence(connection, table):
        connection.execute(text("SELECT setval(:name, :value)"), {"name": sequence, "value": value})


def _is_autoincrement(connection: Connection, table: Table) -> bool:
    query = text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name")
    return "AUTOINCREMENT" in str(connection.execute(query, {"name": table.name}).scalar()).upper()


def _sqlite_sequence(connection: Connection, table: Table) -> int:
    query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    return int(connection.execute(query, {"name": table.name}).scalar() or 0)


def _postgresql_sequence(connection: Connection, table: Table) -> str | None:
    """Return the quoted name of the sequence that gives a table's ids; None if there is none."""
    (column,) = table.primary_key.columns
    query = text("SELECT pg_get_serial_sequence(quote_ident(:table), :column)")
    name = connection.execute(query, {"table": table.name, "column": column.name}).scalar()
    return None if name is None else str(name)


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | memoryview):
        return {BYTES_KEY: base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} cannot be stored in a backup")


def _decode(value: Any) -> Any:
    return base64.b64decode(value[BYTES_KEY], validate=True) if isinstance(value, dict) else value
