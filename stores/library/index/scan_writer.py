"""Writes the results of a scan: which model each file belongs to, and which files have moved, changed or gone.

Each call is one transaction, or one for each batch of ids: readers see the state before or after it, and a process
that is killed within it has changed nothing.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, delete, exists, select, update

from ops.infra.clock import Clock
from schemas.library.formats.foreign_content import JUNK_CODES
from schemas.library.metadata import SourceMetadata, merge_metadata
from schemas.library.model_parts import is_main_file
from schemas.library.scan_records import UNREADABLE, FileProblem, IndexedFile, ScannedFile
from stores.library.index import file_matching, metadata_writer, model_merge
from stores.library.index.file_matching import TrainingEpoch
from stores.library.index.transaction import IndexTransaction, index_transaction
from stores.library.rows import batches, dump_json, from_signed64, insert_row, insert_rows, to_signed64
from stores.library.tables import files, hashes, problems, versions
from stores.sql.database import Database

# Problems that walking the folders finds; all other codes come from reading a file.
WALK_CODES = ("outside", "path_too_long", UNREADABLE)
_COMPARED_COLUMNS = (
    *(files.c.path, files.c.id, files.c.inode, files.c.size_bytes, files.c.mtime_ns, files.c.companions),
    files.c.missing_since,
)
# Compiled once: each runs for every file of a scan.
_FILE_AT_PATH = select(files).where(files.c.root == bindparam("r"), files.c.path == bindparam("p"))
_PLACEHOLDER = select(files.c.id, files.c.version_id).where(
    *(files.c.inode == 0, files.c.root == "", files.c.content.is_(None), files.c.name == bindparam("n")),
    *(files.c.size_bytes == bindparam("s"), files.c.layout.is_not_distinct_from(bindparam("l"))),
)


@dataclass(slots=True)
class ScanCounts:
    """How many files of a scan were new, changed or moved."""

    added: int = 0
    changed: int = 0
    moved: int = 0

    def add(self, other: "ScanCounts") -> None:
        """Add the counts of ``other``."""
        self.added += other.added
        self.changed += other.changed
        self.moved += other.moved


class IndexedLocation(NamedTuple):
    """The location of a file in the index; ``path`` is None for a tombstone whose path another file has taken."""

    id: int
    root: str
    path: bytes | None
    file: IndexedFile


class ScanWriter:
    """The index of files, as a scan reads and writes it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list_indexed(self, root: str) -> dict[bytes, IndexedFile]:
        """Return the indexed files below a root by path, missing ones included."""
        query = select(*_COMPARED_COLUMNS).where(files.c.root == root, files.c.path.is_not(None))
        with self._database.read() as connection:
            return {row.path: _indexed_file(row) for row in connection.execute(query)}

    def find_by_inode(self, inodes: Iterable[int]) -> dict[int, list[IndexedLocation]]:
        """Return the indexed files with these inodes, below any root."""
        locations: defaultdict[int, list[IndexedLocation]] = defaultdict(list)
        for batch in batches(inodes):
            query = select(files).where(files.c.inode.in_([to_signed64(inode) for inode in batch]))
            with self._database.read() as connection:
                for row in connection.execute(query):
                    location = IndexedLocation(row.id, row.root, row.path, _indexed_file(row))
                    locations[from_signed64(row.inode)].append(location)
        return locations

    def write_batch(self, batch: Sequence[ScannedFile]) -> ScanCounts:
        """Write files that are new or changed, or whose companions are, in one transaction."""
        counts = ScanCounts()
        with index_transaction(self._database, self._clock) as transaction:
            for scanned in batch:
                file_id, version_id = _write_file(transaction, scanned, counts)
                metadata_writer.write_problems(transaction, scanned)
                metadata_writer.write_source_metadata(transaction, version_id, scanned.source_metadata, file_id)
                if _has_civitai_metadata(scanned):
                    file_matching.attach_to_civitai_model(transaction, version_id)
                metadata_writer.write_previews(transaction, version_id, scanned)
                transaction.mark_changed(transaction.model_of(version_id))
        return counts

    def import_metadata(self, version_id: int, source_metadata: Sequence[SourceMetadata]) -> None:
        """Store metadata of a version that was imported from sidecars outside the library."""
        with index_transaction(self._database, self._clock) as transaction:
            metadata_writer.write_source_metadata(transaction, version_id, source_metadata)
            file_matching.attach_to_civitai_model(transaction, version_id)
            transaction.mark_changed(transaction.model_of(version_id))

    def mark_missing(self, root: str, ids: Iterable[int]) -> None:
        """Mark files below a root as missing. Their rows stay: edits and images reappear if the files come back.

        Those that the scan of another root has found there meanwhile are not missing.
        """
        self._set_missing(ids, self._clock.now_ms(), files.c.root == root)

    def mark_present(self, ids: Iterable[int]) -> None:
        """Mark missing files as back at their path, unchanged."""
        self._set_missing(ids, None)

    def _set_missing(self, ids: Iterable[int], since_ms: int | None, *conditions: ColumnElement[bool]) -> None:
        for batch in batches(ids):
            with index_transaction(self._database, self._clock) as transaction:
                transaction.execute(
                    update(files).where(files.c.id.in_(batch), *conditions).values(missing_since=since_ms)
                )
                transaction.changed_models |= file_matching.models_of_files(transaction.connection, batch)
            # Let other writers in between two batches.
            time.sleep(0)

    def drop_roots_except(self, roots: Sequence[str]) -> None:
        """Mark files below any other root as missing, and delete the problems that walking those roots had found."""
        query = select(files.c.id).where(files.c.root.not_in(roots), files.c.missing_since.is_(None))
        with self._database.read() as connection:
            ids = list(connection.execute(query).scalars())
        self._set_missing(ids, self._clock.now_ms(), files.c.root.not_in(roots))
        of_a_file = exists().where(files.c.root == problems.c.root, files.c.path == problems.c.path)
        with index_transaction(self._database, self._clock) as transaction:
            transaction.execute(delete(problems).where(problems.c.root.not_in(roots), ~of_a_file))

    def record_walk_problems(self, root: str, folder: bytes, found: Sequence[FileProblem]) -> None:
        """Replace the problems that earlier walks found below ``folder``; empty for the whole root."""
        of_present_files = select(files.c.path).where(
            files.c.root == root, files.c.missing_since.is_(None), files.c.problem.in_(WALK_CODES)
        )
        # The subject of a problem that reading found may also be a companion of the file at the path.
        of_walks = (problems.c.root == root) & problems.c.code.in_(WALK_CODES) & (problems.c.path == problems.c.subject)
        of_walks &= problems.c.path.not_in(of_present_files)
        with index_transaction(self._database, self._clock) as transaction:
            for row in transaction.execute(select(problems.c.id, problems.c.path).where(of_walks)).all():
                if not folder or row.path == folder or row.path.startswith(folder + b"/"):
                    transaction.execute(delete(problems).where(problems.c.id == row.id))
            rows = [
                metadata_writer.problem_to_row(root, problem.subject, problem, transaction.now_ms) for problem in found
            ]
            insert_rows(transaction.connection, problems, rows)

    def purge_displaced(self, roots: Collection[str]) -> None:
        """Delete files of these roots whose path another file has taken and whose content was never hashed.

        Scans of other roots may be about to find theirs elsewhere.
        """
        displaced = files.c.path.is_(None) & files.c.content.is_(None) & files.c.root.in_(roots)
        with index_transaction(self._database, self._clock) as transaction:
            for row in transaction.execute(select(files).where(displaced)).all():
                transaction.mark_changed(transaction.model_of(row.version_id))
                model_merge.delete_file(transaction, row)


def _write_file(transaction: IndexTransaction, scanned: ScannedFile, counts: ScanCounts) -> tuple[int, int]:
    """Write the row of a file, and return its id and that of its version."""
    row = transaction.execute(_FILE_AT_PATH, {"r": scanned.file.root, "p": scanned.file.path}).one_or_none()
    origin = _move_origin(transaction, scanned)
    if origin is not None and (row is None or row.id != origin.id):
        if row is not None:
            transaction.mark_changed(transaction.model_of(row.version_id))
            model_merge.release_path(transaction, row)
        model_merge.delete_problems(transaction, origin)
        row = origin
        counts.moved += 1
    elif row is None:
        counts.added += 1
        return _add_file(transaction, scanned)
    else:
        counts.changed += 1
    transaction.mark_changed(transaction.model_of(row.version_id))
    if not _has_same_bytes(row, scanned):
        return row.id, _replace_content(transaction, row, scanned)
    if row.content is not None and _problem_code(scanned) in JUNK_CODES:
        return row.id, _part_from_equal_files(transaction, row, scanned)
    version_id = _version_of_unchanged(transaction, row, scanned)
    # A file that could not be read now keeps the header that an earlier scan has read.
    header = {"layout": scanned.layout, "header": dump_json(dict(scanned.header))} if scanned.header else {}
    content = {} if is_main_file(scanned.header) else {"content": None}
    values = _location_columns(scanned) | header | content | {"version_id": version_id}
    transaction.execute(update(files).where(files.c.id == row.id).values(**values))
    return row.id, version_id


def _part_from_equal_files(transaction: IndexTransaction, row: Any, scanned: ScannedFile) -> int:
    """Separate an incomplete file from the files that it was merged with as equal; return its version."""
    others = select(files.c.id).where(files.c.version_id == row.version_id, files.c.id != row.id).limit(1)
    version_id = int(row.version_id)
    if transaction.execute(others).first() is not None:
        version_id = file_matching.find_or_create_version(transaction, scanned.source_metadata, _epoch(scanned))
    values = _location_columns(scanned) | _content_columns(scanned) | {"version_id": version_id}
    transaction.execute(update(files).where(files.c.id == row.id).values(**values))
    transaction.execute(delete(hashes).where(hashes.c.file_id == row.id))
    return version_id


def _move_origin(transaction: IndexTransaction, scanned: ScannedFile) -> Any:
    """Return the row of the file before it was moved; None if only its inode is that of another file."""
    if scanned.moved_from is None:
        return None
    row = transaction.execute(select(files).where(files.c.id == scanned.moved_from)).one_or_none()
    return row if row is not None and _has_same_bytes(row, scanned) else None


def _add_file(transaction: IndexTransaction, scanned: ScannedFile) -> tuple[int, int]:
    values = _location_columns(scanned) | _content_columns(scanned)
    # A restored backup makes placeholders for files that were never hashed.
    parameters = {"n": scanned.file.name, "s": scanned.file.size_bytes, "l": scanned.layout}
    placeholder = transaction.execute(_PLACEHOLDER, parameters).first()
    if placeholder is not None:
        transaction.execute(update(files).where(files.c.id == placeholder.id).values(**values))
        return placeholder.id, placeholder.version_id
    version_id = file_matching.find_or_create_version(transaction, scanned.source_metadata, _epoch(scanned))
    new = {"version_id": version_id, "first_seen": transaction.now_ms}
    return insert_row(transaction.connection, files, **new, **values), version_id


def _replace_content(transaction: IndexTransaction, row: Any, scanned: ScannedFile) -> int:
    """Write the new content of a file, and return its version.

    The file keeps its version if its tensors may be the same under another header, if it was incomplete (such as a
    download), or if it was never hashed. Otherwise it is another model, and its old content becomes a tombstone.
    """
    may_be_same = _may_have_same_content(row, scanned)
    if may_be_same or row.content is None or row.problem is not None:
        version_id = _version_of_unchanged(transaction, row, scanned)
    else:
        model_merge.keep_tombstone(transaction, row)
        version_id = file_matching.find_or_create_version(transaction, scanned.source_metadata, _epoch(scanned))
    values = _location_columns(scanned) | _content_columns(scanned)
    values |= {"content": row.content if may_be_same else None, "version_id": version_id}
    transaction.execute(update(files).where(files.c.id == row.id).values(**values))
    transaction.execute(delete(hashes).where(hashes.c.file_id == row.id))
    return version_id


def _version_of_unchanged(transaction: IndexTransaction, row: Any, scanned: ScannedFile) -> int:
    """Return the version of a file with the same bytes: its current one, unless Civitai now names another one.

    A part of a model of several files belongs to the version of the others. A version that only this file has is
    relabelled instead, and files with the same content stay together.
    """
    current = int(row.version_id)
    if scanned.file.part:
        return file_matching.version_of_parts(transaction, row, scanned)
    civitai_version_id = merge_metadata(scanned.source_metadata).metadata.civitai_version_id
    if civitai_version_id is None:
        return current
    own = select(versions.c.civitai_id).where(versions.c.id == current)
    if transaction.execute(own).scalar_one() in (None, civitai_version_id):
        return current
    others = select(files.c.content).where(files.c.version_id == current, files.c.id != row.id)
    contents = list(transaction.execute(others).scalars())
    if not contents or (row.content is not None and row.content in contents):
        return current
    return file_matching.find_or_create_version(transaction, scanned.source_metadata, _epoch(scanned))


def _has_same_bytes(row: Any, scanned: ScannedFile) -> bool:
    """Whether a file is unchanged, as far as its stat data and the layout of its tensors show."""
    file = scanned.file
    stored = (row.inode, row.size_bytes, row.mtime_ns, row.kind)
    if stored != (to_signed64(file.inode), file.size_bytes, file.mtime_ns, scanned.kind):
        return False
    return bool(row.layout == scanned.layout or row.layout is None or scanned.layout is None)


def _may_have_same_content(row: Any, scanned: ScannedFile) -> bool:
    """Whether a changed file may still have the same tensors; only hashing can tell."""
    if row.kind != scanned.kind:
        return False
    same_size = row.size_bytes == scanned.file.size_bytes
    return bool(row.layout == scanned.layout and (row.layout is not None or same_size))


def _has_civitai_metadata(scanned: ScannedFile) -> bool:
    each = (record.metadata for record in scanned.source_metadata)
    return any(metadata.civitai_id or metadata.civitai_version_id for metadata in each)


def _epoch(scanned: ScannedFile) -> TrainingEpoch:
    return TrainingEpoch(scanned.epoch, scanned.group_key)


def _indexed_file(row: Any) -> IndexedFile:
    is_missing = row.missing_since is not None
    inode = from_signed64(row.inode)
    return IndexedFile(row.id, inode, row.size_bytes, row.mtime_ns, row.companions, is_missing)


def _location_columns(scanned: ScannedFile) -> dict[str, Any]:
    file = scanned.file
    return {
        "root": file.root,
        "path": file.path,
        "name": file.name,
        "inode": to_signed64(file.inode),
        "mtime_ns": file.mtime_ns,
        "companions": file.companions_stamp,
        "missing_since": None,
        "problem": _problem_code(scanned),
    }


def _problem_code(scanned: ScannedFile) -> str | None:
    """Return the code of the file's own problem, not that of a companion; None if it has none."""
    return next((problem.code for problem in scanned.problems if problem.subject == scanned.file.path), None)


def _content_columns(scanned: ScannedFile) -> dict[str, Any]:
    return {
        "kind": scanned.kind,
        "size_bytes": scanned.file.size_bytes,
        "layout": scanned.layout,
        "header": dump_json(dict(scanned.header)),
        "content": None,
        "hashes": "{}",
        "hashed_at": None,
    }
