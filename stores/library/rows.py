"""What the stores of the library share about rows: JSON in columns, inserts that tell the id, and taking apart."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, insert

from schemas.library.metadata import Claim, Facts, Rank, Source
from stores.sql.errors import sql_errors

# How many ids one question names: SQLite and PostgreSQL both take more.
AT_ONCE = 500
# Any number that nobody else locks.
LOCK = 7_118_105
T = TypeVar("T")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction of the library's: one at a time, so that what is read in it stays true until it ends.

    Raises:
        Unavailable: the database does not answer, or others write for too long.
    """
    begin = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else f"SELECT pg_advisory_xact_lock({LOCK})"
    with sql_errors(), engine.begin() as connection:
        connection.exec_driver_sql(begin)
        yield connection


def dump(value: Any) -> str:
    """JSON for a column, as short as it gets; halves of characters, which no database takes, become question marks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace").decode()


def insert_one(connection: Connection, table: Table, **values: Any) -> int:
    """Insert a row; its id."""
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    return int(key[0])  # type: ignore[index] # there is one: every table here has an id of its own


def values_of(row: Any, **changes: Any) -> dict[str, Any]:
    """The columns of a row, some of them changed, for another row like it; never its id."""
    kept = dict(zip(row._fields, row, strict=True)) | changes
    kept.pop("id", None)
    return kept


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, if there are any."""
    if rows:
        connection.execute(insert(table), rows)


def parts(items: Iterable[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    """``items`` in lists of at most ``size``."""
    part: list[T] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def claim_row(version_id: int, claim: Claim) -> dict[str, Any]:
    """A claim as its table keeps it."""
    return {
        "version_id": version_id,
        "source": claim.source,
        "rank": int(claim.rank),
        "time_ms": claim.time_ms,
        "facts": dump(claim.facts.to_json()),
    }


def read_claim(row: Any) -> Claim:
    """A claim as its table kept it."""
    return Claim(Source(row.source), Rank(row.rank), Facts.from_json(json.loads(row.facts)), row.time_ms)


def signed(number: int) -> int:
    """An inode, which has 64 bits without a sign, as a column takes it."""
    return number - 2**64 if number >= 2**63 else number
