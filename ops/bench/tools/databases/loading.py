"""Loads rows into PostgreSQL as a restored dump does: without checks, and the indexes afterwards."""

from collections.abc import Iterable

import psycopg

# Without those of constraints, which cannot be dropped alone.
INDEXES = (
    "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE %s "
    "AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = indexname)"
)


def load_postgresql(url: str, tables: str, statements: Iterable[str]) -> None:
    """Run statements that fill the tables whose names are like ``tables``."""
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as server:
        server.execute("SET session_replication_role = replica")
        indexes = server.execute(INDEXES, [tables]).fetchall()
        for name, _ in indexes:
            server.execute(f"DROP INDEX {name}".encode())
        for statement in statements:
            server.execute(statement.encode())
        for _, definition in indexes:
            server.execute(definition.encode())
