"""Leases of the elected background process, and the report on the library."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, select, update

from stores.library.search_tables import counts
from stores.library.tables import files, leases, problems
from stores.sql.database import Database

LEASE_TTL_MS = 30_000
SCANNING, HASHING, SWEEPING = "scanning", "hashing", "sweeping"
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
            now = self._database.now_ms(connection)
            lease = {"name": name, "owner": owner, "until": now + LEASE_TTL_MS}
            is_free = (leases.c.owner == owner) | (leases.c.until <= now)
            renewed = connection.execute(update(leases).where(leases.c.name == name, is_free).values(lease))
            if renewed.rowcount:
                return True
            taken = self._database.insert_or_ignore(leases).values(lease).returning(leases.c.name)
            return connection.execute(taken).first() is not None

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


def _is_current() -> Any:
    """Exclude problems of files that have gone: they are kept in case the file comes back unchanged."""
    same_file = (files.c.root == problems.c.root) & (files.c.path == problems.c.path)
    return ~exists().where(same_file, files.c.missing_since.is_not(None))
