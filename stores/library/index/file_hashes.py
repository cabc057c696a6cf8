"""Hashes of model files: which files wait to be hashed, what their content is, and lookups by hash."""

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, or_, select, update

from ops.infra.clock import Clock
from schemas.library.formats.foreign_content import JUNK_CODES
from schemas.library.model_parts import is_main_file, is_part
from schemas.library.scan_records import FileFormat
from stores.library.index import file_matching, model_merge
from stores.library.index.transaction import IndexTransaction, index_transaction
from stores.library.rows import dump_json, insert_rows
from stores.library.search_tables import counts
from stores.library.tables import files, hashes, models, versions
from stores.sql.database import Database

HASH_PATTERN = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
# The first character after those of hexadecimal: the end of the range of hashes with a prefix.
AFTER_HEX = "g"
# In one statement; SQLite refuses expressions that are nested more deeply than 1000.
MAX_PREFIXES = 300
_PENDING_COLUMNS = (files.c.id, files.c.root, files.c.path, files.c.kind, files.c.size_bytes, files.c.mtime_ns)
_GROUP_KEY = (
    select(models.c.group_key)
    .join(versions, versions.c.model_id == models.c.id)
    .where(versions.c.id == bindparam("version_id"))
)
_PENDING = files.c.missing_since.is_(None) & files.c.hashed_at.is_(None)


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A file that waits to be hashed; ``path`` is relative to ``root``."""

    id: int
    root: str
    path: bytes
    kind: FileFormat
    size_bytes: int
    mtime_ns: int


class HashIndex:
    """The hashes of all files, and the files that wait for theirs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list_pending(self, roots: Iterable[str], limit: int, after: PendingFile | None = None) -> list[PendingFile]:
        """Return files that are on disk and not hashed, the smallest first; with ``after`` the ones that follow it."""
        query = select(*_PENDING_COLUMNS).where(_PENDING, files.c.root.in_(list(roots)), files.c.path.is_not(None))
        if after is not None:
            same_size = (files.c.size_bytes == after.size_bytes) & (files.c.id > after.id)
            query = query.where((files.c.size_bytes > after.size_bytes) | same_size)
        query = query.order_by(files.c.size_bytes, files.c.id).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            PendingFile(row.id, row.root, row.path, FileFormat(row.kind), row.size_bytes, row.mtime_ns) for row in rows
        ]

    def count_pending(self) -> tuple[int, int]:
        """Return how many files wait to be hashed, and their total size in bytes."""
        with self._database.read() as connection:
            row = connection.execute(select(counts.c.unhashed, counts.c.unhashed_bytes)).one()
        return int(row.unhashed), int(row.unhashed_bytes)

    def record(self, file: PendingFile, content: str | None, digests: Mapping[str, str]) -> bool:
        """Store the hashes of a file, and move it to the version that has the same content already.

        A file that is no whole model has neither: two of them that are equal are not one model.
        Returns False and stores nothing if the file has changed since it was read; it stays pending.
        """
        with index_transaction(self._database, self._clock) as transaction:
            row = transaction.execute(select(files).where(files.c.id == file.id)).one_or_none()
            if row is None or (row.size_bytes, row.mtime_ns) != (file.size_bytes, file.mtime_ns):
                return False
            transaction.mark_changed(transaction.model_of(row.version_id))
            header = json.loads(row.header)
            if row.problem in JUNK_CODES:
                content, digests = None, {}
            elif not is_main_file(header):
                # The same text encoder is in many models.
                content = None
            if is_part(header):
                _move_parts_to_missing_model(transaction, row, content)
            else:
                _move_to_version_of_content(transaction, row, content)
            values = {"content": content, "hashes": dump_json(dict(digests)), "hashed_at": transaction.now_ms}
            transaction.execute(update(files).where(files.c.id == row.id).values(**values))
            _replace_hashes(transaction, row.id, digests)
            _delete_tombstones(transaction, row.id, content)
            version_id = transaction.execute(select(files.c.version_id).where(files.c.id == row.id)).scalar_one()
            file_matching.attach_to_civitai_model(transaction, version_id)
            transaction.mark_changed(transaction.model_of(version_id))
        return True

    def find_models(self, value: str) -> list[int]:
        """Return the models with a file on disk of this hash, or of one with this prefix of at least 8 characters."""
        return self._find(versions.c.model_id, [value])[value]

    def find_models_of_all(self, values: Iterable[str]) -> dict[str, list[int]]:
        """Return what ``find_models`` returns for each of many hashes, in few statements."""
        return self._find(versions.c.model_id, values)

    def find_versions(self, value: str) -> list[int]:
        """Return the versions with a file on disk of this hash or prefix."""
        return self._find(versions.c.id, [value])[value]

    def _find(self, column: Any, values: Iterable[str]) -> dict[str, list[int]]:
        prefixes = {value: value.strip().lower() for value in values}
        valid = sorted({prefix for prefix in prefixes.values() if HASH_PATTERN.fullmatch(prefix)})
        query = select(hashes.c.value, column).join(files, files.c.version_id == versions.c.id)
        query = query.join(hashes, hashes.c.file_id == files.c.id).where(files.c.missing_since.is_(None))
        rows: set[tuple[str, int]] = set()
        with self._database.read() as connection:
            for start in range(0, len(valid), MAX_PREFIXES):
                has_one = or_(*map(_has_prefix, valid[start : start + MAX_PREFIXES]))
                rows.update((value, id_) for value, id_ in connection.execute(query.where(has_one)))
        found = sorted(rows)

        def ids_of(prefix: str) -> list[int]:
            first, end = bisect_left(found, (prefix, 0)), bisect_left(found, (prefix + AFTER_HEX, 0))
            return sorted({id_ for _, id_ in found[first:end]})

        return {value: ids_of(prefix) if HASH_PATTERN.fullmatch(prefix) else [] for value, prefix in prefixes.items()}


def _has_prefix(prefix: str) -> ColumnElement[bool]:
    """Return the condition of the hashes with a prefix: a range, unlike LIKE, uses the index in both databases."""
    return (hashes.c.value >= prefix) & (hashes.c.value < prefix + AFTER_HEX)


def _move_to_version_of_content(transaction: IndexTransaction, row: Any, content: str | None) -> None:
    """Move a file to the version of its content; to a new version if its content was known and is another now."""
    if content is None:
        return
    same = (files.c.content == content) & (files.c.id != row.id)
    query = select(files.c.version_id).where(same).order_by(files.c.first_seen, files.c.id).limit(1)
    version_id: int | None = transaction.execute(query).scalar_one_or_none()
    if row.content not in (None, content):
        model_merge.keep_tombstone(transaction, row)
        if version_id is None:
            version_id = file_matching.version_for_new_content(transaction, row)
    if version_id is not None and version_id != row.version_id:
        model_merge.move_file(transaction, row, version_id)


def _move_parts_to_missing_model(transaction: IndexTransaction, row: Any, content: str | None) -> None:
    """Move all files of a model of several files to the model that had its main file and whose files are gone.

    Two such models that are both on disk stay separate, whatever they have in common.
    """
    if content is None:
        return
    present = select(files.c.version_id).where(files.c.missing_since.is_(None))
    lost = (files.c.content == content) & (files.c.id != row.id) & files.c.version_id.not_in(present)
    query = select(files.c.version_id).where(lost).order_by(files.c.first_seen, files.c.id).limit(1)
    version_id: int | None = transaction.execute(query).scalar_one_or_none()
    if version_id is None or version_id == row.version_id:
        return
    parts = transaction.execute(select(files).where(files.c.version_id == row.version_id)).all()
    key = transaction.execute(_GROUP_KEY, {"version_id": row.version_id}).scalar_one()
    for old in transaction.execute(select(files).where(files.c.version_id == version_id)).all():
        if old.content is None:
            model_merge.delete_problems(transaction, old)
            transaction.execute(delete(files).where(files.c.id == old.id))
    for part in parts:
        model_merge.move_file(transaction, part, version_id)
    model_id = transaction.model_of(version_id)
    transaction.execute(update(models).where(models.c.id == model_id).values(group_key=key))


def _replace_hashes(transaction: IndexTransaction, file_id: int, digests: Mapping[str, str]) -> None:
    transaction.execute(delete(hashes).where(hashes.c.file_id == file_id))
    rows = [{"file_id": file_id, "name": name, "value": value} for name, value in digests.items()]
    insert_rows(transaction.connection, hashes, rows)


def _delete_tombstones(transaction: IndexTransaction, file_id: int, content: str | None) -> None:
    """Delete the tombstones of a content that is on disk again."""
    if content is None:
        return
    tombstones = (files.c.content == content) & files.c.missing_since.is_not(None) & (files.c.id != file_id)
    for row in transaction.execute(select(files).where(tombstones)).all():
        model_merge.delete_file(transaction, row)
