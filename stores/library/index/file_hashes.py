"""What is known of files by their content: which wait to be hashed, and what their hashes say they are."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, update

from ops.infra.clock import Clock
from schemas.library.scan_records import FileFormat
from stores.library.index import file_matching, model_merge
from stores.library.index.read_model import rebuild_read_model
from stores.library.rows import dump_json, insert_rows, writing
from stores.library.tables import files, hashes, versions
from stores.sql.errors import sql_errors

HASH = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
AFTER_HEX = "g"


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A file to be read; ``path`` is below ``root``."""

    id: int
    root: str
    path: bytes
    kind: FileFormat
    size_bytes: int
    mtime_ns: int


class FileHashes:
    """The hashes in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._clock = clock

    def list_pending(self, roots: Iterable[str], limit: int, after: PendingFile | None = None) -> list[PendingFile]:
        """Files that are there and not hashed, the smallest first; those that come after one of them."""
        here = files.c.missing_since.is_(None) & files.c.hashed_at.is_(None) & files.c.root.in_(list(roots))
        query = select(*_READ).where(here, files.c.path.is_not(None)).order_by(files.c.size_bytes, files.c.id)
        if after is not None:
            further = (files.c.size_bytes == after.size_bytes) & (files.c.id > after.id)
            query = query.where((files.c.size_bytes > after.size_bytes) | further)
        with sql_errors(), self._engine.connect() as connection:
            rows = connection.execute(query.limit(limit)).all()
        return [
            PendingFile(row.id, row.root, row.path, FileFormat(row.kind), row.size_bytes, row.mtime_ns) for row in rows
        ]

    def count_pending(self) -> tuple[int, int]:
        """How many files wait, and how many bytes they have together."""
        here = files.c.missing_since.is_(None) & files.c.hashed_at.is_(None)
        query = select(func.count(), func.coalesce(func.sum(files.c.size_bytes), 0)).where(here)
        with sql_errors(), self._engine.connect() as connection:
            count, size = connection.execute(query).one()
        return int(count), int(size)

    def record(self, file: PendingFile, content: str, digests: Mapping[str, str]) -> bool:
        """Write down what a file's bytes are, and let it belong where the same bytes belong already.

        False if the file has changed since it was read: it is read again.
        """
        with writing(self._engine) as connection:
            row = connection.execute(select(files).where(files.c.id == file.id)).one_or_none()
            if row is None or (row.size_bytes, row.mtime_ns) != (file.size_bytes, file.mtime_ns):
                return False
            touched = {model_merge.model_of(connection, row.version_id)}
            self._place(connection, row, content, touched)
            values = {"content": content, "hashes": dump_json(dict(digests)), "hashed_at": self._clock.now_ms()}
            connection.execute(update(files).where(files.c.id == row.id).values(**values))
            _write_hashes(connection, row.id, digests)
            _forget_ghosts(connection, row.id, content)
            version = connection.execute(select(files.c.version_id).where(files.c.id == row.id)).scalar_one()
            file_matching.adopt(connection, version, touched)
            rebuild_read_model(connection, touched | {model_merge.model_of(connection, version)})
        return True

    def _place(self, connection: Connection, row: Any, content: str, touched: set[int]) -> None:
        same = (files.c.content == content) & (files.c.id != row.id)
        query = select(files.c.version_id).where(same).order_by(files.c.first_seen, files.c.id).limit(1)
        place: int | None = connection.execute(query).scalar_one_or_none()
        if row.content not in (None, content):
            now = self._clock.now_ms()
            model_merge.leave_behind(connection, row, now)
            place = file_matching.split_off(connection, row, now) if place is None else place
        if place not in (None, row.version_id):
            model_merge.move_file(connection, row, place, touched)

    def find_models(self, value: str) -> list[int]:
        """The models with a file of that hash, or of one that begins so: of eight characters at least."""
        return self._find(versions.c.model_id, value)

    def find_versions(self, value: str) -> list[int]:
        """The versions, likewise."""
        return self._find(versions.c.id, value)

    def _find(self, column: Any, value: str) -> list[int]:
        digits = value.strip().lower()
        if not HASH.fullmatch(digits):
            return []
        same = (hashes.c.value >= digits) & (hashes.c.value < digits + AFTER_HEX)
        query = select(column).join(files, files.c.version_id == versions.c.id)
        query = query.join(hashes, hashes.c.file_id == files.c.id).where(same, files.c.missing_since.is_(None))
        with sql_errors(), self._engine.connect() as connection:
            return sorted(set(connection.execute(query).scalars()))


def _write_hashes(connection: Connection, file_id: int, found: Mapping[str, str]) -> None:
    connection.execute(delete(hashes).where(hashes.c.file_id == file_id))
    insert_rows(connection, hashes, [{"file_id": file_id, "name": name, "value": found[name]} for name in found])


def _forget_ghosts(connection: Connection, file_id: int, content: str) -> None:
    """The content is here: what stood for it meanwhile is not needed."""
    ghosts = (files.c.content == content) & files.c.missing_since.is_not(None) & (files.c.id != file_id)
    for row in connection.execute(select(files).where(ghosts)).all():
        model_merge.remove_file(connection, row)


_READ = (files.c.id, files.c.root, files.c.path, files.c.kind, files.c.size_bytes, files.c.mtime_ns)
