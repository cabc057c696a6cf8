"""What the stores of the library share about rows: JSON in columns, inserts that tell the id, and taking apart."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, insert

from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from stores.sql.errors import sql_errors

# How many ids one question names: SQLite and PostgreSQL both take more.
BATCH_SIZE = 500
# Any number that nobody else locks.
ADVISORY_LOCK_ID = 7_118_105
T = TypeVar("T")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction of the library's: one at a time, so that what is read in it stays true until it ends.

    Raises:
        Unavailable: the database does not answer, or others write for too long.
    """
    begin = (
        "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK_ID})"
    )
    with sql_errors(), engine.begin() as connection:
        connection.exec_driver_sql(begin)
        yield connection


def dump_json(value: Any) -> str:
    """JSON for a column, as short as it gets; halves of characters, which no database takes, become question marks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace").decode()


def insert_row(connection: Connection, table: Table, **values: Any) -> int:
    """Insert a row; its id."""
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    return int(key[0])  # type: ignore[index] # there is one: every table here has an id of its own


def row_values(row: Any, **changes: Any) -> dict[str, Any]:
    """The columns of a row, some of them changed, for another row like it; never its id."""
    kept = dict(zip(row._fields, row, strict=True)) | changes
    kept.pop("id", None)
    return kept


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, if there are any."""
    if rows:
        connection.execute(insert(table), rows)


def batches(items: Iterable[T], size: int = BATCH_SIZE) -> Iterator[list[T]]:
    """``items`` in lists of at most ``size``."""
    part: list[T] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def claim_to_row(version_id: int, claim: SourceMetadata) -> dict[str, Any]:
    """A claim as its table keeps it."""
    return {
        "version_id": version_id,
        "source": claim.source,
        "rank": int(claim.priority),
        "time_ms": claim.time_ms,
        "facts": dump_json(claim.metadata.to_json()),
    }


def claim_from_row(row: Any) -> SourceMetadata:
    """A claim as its table kept it."""
    return SourceMetadata(
        Source(row.source), SourcePriority(row.rank), Metadata.from_json(json.loads(row.facts)), row.time_ms
    )


def to_signed64(number: int) -> int:
    """An inode, which has 64 bits without a sign, as a column takes it."""
    return number - 2**64 if number >= 2**63 else number
