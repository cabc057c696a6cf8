"""Conversions between rows and records, and inserts, for the library's stores."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, insert

from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority

# How many ids one statement names: SQLite and PostgreSQL both allow more.
BATCH_SIZE = 500
T = TypeVar("T")


def dump_json(value: Any) -> str:
    """Serialize ``value`` compactly for a column. Lone surrogates, which no database stores, become question marks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace").decode()


def insert_row(connection: Connection, table: Table, **values: Any) -> int:
    """Insert a row and return its id."""
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    return int(key[0])  # type: ignore[index] # every table that this is used for has an integer id


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, if there are any."""
    if rows:
        connection.execute(insert(table), rows)


def row_values(row: Any, **changes: Any) -> dict[str, Any]:
    """Return the columns of ``row`` without its id, for inserting a changed copy of it."""
    values = dict(zip(row._fields, row, strict=True)) | changes
    values.pop("id", None)
    return values


def batches(items: Iterable[T], size: int = BATCH_SIZE) -> Iterator[list[T]]:
    """Yield ``items`` in lists of at most ``size``."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def source_metadata_to_row(version_id: int, record: SourceMetadata) -> dict[str, Any]:
    """Convert to a row of ``library_claims``."""
    return {
        "version_id": version_id,
        "source": record.source,
        "rank": int(record.priority),
        "time_ms": record.time_ms,
        "facts": dump_json(record.metadata.to_json()),
    }


def source_metadata_from_row(row: Any) -> SourceMetadata:
    """Convert from a row of ``library_claims``."""
    metadata = Metadata.from_json(json.loads(row.facts))
    return SourceMetadata(Source(row.source), SourcePriority(row.rank), metadata, row.time_ms)


def to_signed64(number: int) -> int:
    """Convert an inode, which is an unsigned 64-bit number, to the signed number that a BIGINT column can hold."""
    return number - 2**64 if number >= 2**63 else number


def from_signed64(number: int) -> int:
    """Convert a BIGINT column back to an inode."""
    return number % 2**64
