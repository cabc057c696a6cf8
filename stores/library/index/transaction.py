"""Exclusive write transactions on the index that keep the read model up to date."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable, bindparam, select

from ops.infra.clock import Clock
from ops.infra.database import LIBRARY_LOCK_ID
from stores.library.index.read_model import rebuild_read_model
from stores.library.tables import versions
from stores.sql.database import Database

# Compiled once: it runs several times for each file.
_MODEL_OF_VERSION = select(versions.c.model_id).where(versions.c.id == bindparam("version_id"))


class IndexTransaction:
    """One transaction on the index. It collects the models that it changes, so that their read model is rebuilt.

    Transactions exclude each other: what one reads stays true until it ends. ``now_ms`` is the time it began.
    """

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self.changed_models: set[int] = set()

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Execute a statement."""
        return self.connection.execute(statement, parameters)

    def model_of(self, version_id: int) -> int:
        """Return the model of a version."""
        return int(self.execute(_MODEL_OF_VERSION, {"version_id": version_id}).scalar_one())

    def mark_changed(self, model_id: int) -> None:
        """Rebuild the read model of this model at the end; it may be deleted by then."""
        self.changed_models.add(model_id)


@contextmanager
def index_transaction(database: Database, clock: Clock) -> Iterator[IndexTransaction]:
    """Open a transaction; rebuild the read model of every changed model before it is committed.

    Raises:
        Unavailable: the database does not answer, or other writers held the lock for too long.
    """
    with database.write_exclusively(LIBRARY_LOCK_ID) as connection:
        transaction = IndexTransaction(connection, clock.now_ms())
        yield transaction
        rebuild_read_model(connection, transaction.changed_models)
