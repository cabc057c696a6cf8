"""Leases of background processes on the library and on its folders, and the report on the library."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, select, update

from stores.library.search_tables import counts
from stores.library.tables import files, leases, problems
from stores.sql.database import Database

LEASE_TTL_MS = 30_000
SCANNING, HASHING, SWEEPING = "scanning", "hashing", "sweeping"
# The holder of a task's lease while processes hold the folders of the task one by one.
BY_FOLDER = "by folder"
# The names of leases have 40 characters.
FOLDER_DIGEST_CHARS = 24
_COUNT_COLUMNS = {
    **{name: name for name in ("models", "files", "missing", "unhashed", "pickles", "duplicates", "problems")},
    "sizeBytes": "size_bytes",
}


@dataclass(frozen=True, slots=True)
class ReportedProblem:
    """A problem: ``path`` is that of the model file, ``subject`` that of the file at fault, both below ``root``."""

    root: str
    path: bytes
    subject: bytes
    code: str
    message: str
    found_at: int


class LibraryMaintenance:
    """Leases and report of the library in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire_lease(self, name: str, owner: str) -> bool:
        """Take or renew a lease for LEASE_TTL_MS; returns whether ``owner`` holds it now.

        The times are the database's own: commands hold leases too, and do not know the time of Redis.
        """
        # Without the lock of the library: who renews a lease must not wait for those who write the index.
        with self._database.write() as connection:
            return self._take(connection, name, owner, self._database.now_ms(connection))

    def _take(self, connection: Connection, name: str, owner: str, now_ms: int) -> bool:
        lease = {"name": name, "owner": owner, "until": now_ms + LEASE_TTL_MS}
        is_free = (leases.c.owner == owner) | (leases.c.until <= now_ms)
        renewed = connection.execute(update(leases).where(leases.c.name == name, is_free).values(lease))
        if renewed.rowcount:
            return True
        taken = self._database.insert_or_ignore(leases).values(lease).returning(leases.c.name)
        return connection.execute(taken).first() is not None

    def acquire_folders(self, task: str, folders: Sequence[str], owner: str) -> list[str]:
        """Take or renew the leases of a task on some folders; returns those that ``owner`` holds now.

        Processes with different folders do a task at the same time. Those of a version before take the lease of the
        whole task, and exclude all who hold folders.
        """
        with self._database.write() as connection:
            now_ms = self._database.now_ms(connection)
            # The second time finds the row that another process has just inserted.
            if not any(self._take(connection, task, BY_FOLDER, now_ms) for _ in range(2)):
                return []
            return [folder for folder in folders if self._take(connection, _of_folder(task, folder), owner, now_ms)]

    def release_folders(self, task: str, folders: Sequence[str], owner: str) -> None:
        """End the leases on folders before their time, and the one of the task with the last of them."""
        of_task = (leases.c.name == task) & (leases.c.owner == BY_FOLDER)
        names = [_of_folder(task, folder) for folder in folders]
        with self._database.write() as connection:
            # Waits for those who take folders at the same time; they too begin with this row.
            connection.execute(update(leases).where(of_task).values(owner=BY_FOLDER))
            connection.execute(delete(leases).where(leases.c.name.in_(names), leases.c.owner == owner))
            is_live = leases.c.until > self._database.now_ms(connection)
            of_folders = leases.c.name.startswith(f"{task} ", autoescape=True) & is_live
            if connection.execute(select(leases.c.name).where(of_folders).limit(1)).first() is None:
                connection.execute(delete(leases).where(of_task))

    def list_held(self, task: str, folders: Sequence[str]) -> list[str]:
        """Return the folders on which some process holds the lease of a task."""
        with self._database.read() as connection:
            is_live = leases.c.until > self._database.now_ms(connection)
            held = set(connection.execute(select(leases.c.name).where(is_live)).scalars())
        return [folder for folder in folders if _of_folder(task, folder) in held]

    def release_lease(self, name: str, owner: str) -> None:
        """End a lease before its time, so that another process can take it at once."""
        with self._database.write() as connection:
            connection.execute(delete(leases).where(leases.c.name == name, leases.c.owner == owner))

    def list_problems(self, limit: int, after_id: int = 0) -> tuple[list[ReportedProblem], int | None]:
        """Return problems, the oldest first, and the ``after_id`` of the next page; None on the last one."""
        query = select(problems).where(problems.c.id > after_id, _is_current()).order_by(problems.c.id)
        with self._database.read() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        page = rows[:limit]
        listed = [ReportedProblem(row.root, row.path, row.subject, row.code, row.message, row.found_at) for row in page]
        return listed, page[-1].id if len(rows) > limit else None

    def get_counts(self) -> dict[str, int]:
        """Return the figures of the report, by their JSON names. Triggers keep them, so they are exact."""
        with self._database.read() as connection:
            row = connection.execute(select(counts)).one()
        return {name: int(getattr(row, column)) for name, column in _COUNT_COLUMNS.items()}


def _of_folder(task: str, folder: str) -> str:
    digest = hashlib.sha256(folder.encode(errors="surrogateescape")).hexdigest()
    return f"{task} {digest[:FOLDER_DIGEST_CHARS]}"


def _is_current() -> Any:
    """Exclude problems of files that have gone: they are kept in case the file comes back unchanged."""
    same_file = (files.c.root == problems.c.root) & (files.c.path == problems.c.path)
    return ~exists().where(same_file, files.c.missing_since.is_not(None))
