"""The folders of the library: its own record, to which each machine adds those of its MODELS_DIR.

A process without MODELS_DIR changes nothing, and neither does a machine that is away. A folder leaves the record when
the machine that named it starts without it, or by a command.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from ops.infra.database import LIBRARY_LOCK_ID
from schemas.errors import NotFound, Unavailable
from stores.library.index.scan_writer import ScanWriter
from stores.library.tables import roots
from stores.sql.database import Database

# Containers have a new name with every start: after this time their old names do not count where another names a root.
FORGET_MACHINE_AFTER_MS = 30 * 86_400_000
CHECK_INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class LibraryRoot:
    """A folder of the library and the machines that name it."""

    path: str
    machines: tuple[str, ...]


class LibraryRoots:
    """The record of the folders in one database."""

    def __init__(self, database: Database, scan_writer: ScanWriter) -> None:
        self._database = database
        self._scan_writer = scan_writer
        self._exist = False
        self._ask_at = 0.0

    def exist(self) -> bool:
        """Whether the library has folders, as of CHECK_INTERVAL_S ago or of the database's last answer."""
        if time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + CHECK_INTERVAL_S
            with contextlib.suppress(Unavailable), self._database.read() as connection:
                self._exist = connection.execute(select(roots.c.root).limit(1)).first() is not None
        return self._exist

    def record(self, machine: str, paths: Sequence[str]) -> None:
        """Record that these, and no others, are the folders that a machine names; models of left ones are hidden."""
        with self._database.write_exclusively(LIBRARY_LOCK_ID) as connection:
            now_ms = self._database.now_ms(connection)
            connection.execute(delete(roots).where(roots.c.machine == machine))
            is_stale = roots.c.root.in_(paths) & (roots.c.named_at < now_ms - FORGET_MACHINE_AFTER_MS)
            connection.execute(delete(roots).where(is_stale))
            rows = [{"root": path, "machine": machine, "named_at": now_ms} for path in paths]
            if rows:
                connection.execute(insert(roots), rows)
            remaining = _list_paths(connection)
        self._scan_writer.drop_roots_except(remaining)

    def list_all(self) -> list[LibraryRoot]:
        """Return the folders, by path."""
        query = select(roots).order_by(roots.c.root, roots.c.machine)
        machines: dict[str, list[str]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                machines.setdefault(row.root, []).append(row.machine)
        return [LibraryRoot(path, tuple(names)) for path, names in machines.items()]

    def remove(self, path: str) -> None:
        """Remove a folder and hide its models, which keep their edits; raises NotFound."""
        with self._database.write_exclusively(LIBRARY_LOCK_ID) as connection:
            if not connection.execute(delete(roots).where(roots.c.root == path)).rowcount:
                raise NotFound(f"{path!r} is not a folder of the library.")
            remaining = _list_paths(connection)
        self._scan_writer.drop_roots_except(remaining)

    def forget_all(self) -> None:
        """Empty the record, as for a library that is restored on another machine; no model is hidden."""
        with self._database.write() as connection:
            connection.execute(delete(roots))


def _list_paths(connection: Connection) -> list[str]:
    return list(connection.execute(select(roots.c.root).distinct()).scalars())
