"""The writing down of what a scan has found: which model each file belongs to, and what became of those it was.

Each call is one transaction: readers see what was before it or after it, and
whoever is killed within it has changed nothing.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, bindparam, delete, exists, select, update

from ops.infra.clock import Clock
from schemas.library.metadata import SourceMetadata, merge_metadata
from schemas.library.scan_records import FileOnDisk, FileProblem, IndexedFile, ScannedFile
from stores.library.index import file_matching, metadata_writer, model_merge
from stores.library.index.read_model import rebuild_read_model
from stores.library.rows import batches, dump_json, insert_row, insert_rows, to_signed64, writing
from stores.library.tables import files, hashes, problems, versions
from stores.sql.errors import sql_errors

# What only a walk finds, not the reading of a file.
WALK_CODES = ("outside", "path_too_long", "unreadable")


@dataclass(slots=True)
class ScanCounts:
    """What became of the files of a scan."""

    added: int = 0
    changed: int = 0
    moved: int = 0

    def add(self, other: "ScanCounts") -> None:
        """These and those of ``other``."""
        self.added += other.added
        self.changed += other.changed
        self.moved += other.moved


class IndexedLocation(NamedTuple):
    """Where a file was that the library knows; ``path`` is None if another has its place."""

    id: int
    root: str
    path: bytes | None
    known: IndexedFile


class ScanWriter:
    """Writes to one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._clock = clock

    def list_indexed(self, root: str) -> dict[bytes, IndexedFile]:
        """The files below a root that the library knows, by their path."""
        query = select(*_COMPARED).where(files.c.root == root, files.c.path.is_not(None))
        with sql_errors(), self._engine.connect() as connection:
            return {row.path: _known(row) for row in connection.execute(query)}

    def find_by_inode(self, inodes: Iterable[int]) -> dict[int, list[IndexedLocation]]:
        """The files that the library knows by these inodes, under whatever root and path."""
        found: defaultdict[int, list[IndexedLocation]] = defaultdict(list)
        for part in batches(inodes):
            query = select(files).where(files.c.inode.in_([to_signed64(inode) for inode in part]))
            with sql_errors(), self._engine.connect() as connection:
                for row in connection.execute(query):
                    found[row.inode % 2**64].append(IndexedLocation(row.id, row.root, row.path, _known(row)))
        return found

    def write_batch(self, batch: Sequence[ScannedFile]) -> ScanCounts:
        """Write down files that are new or changed, or whose companions are."""
        counts, touched = ScanCounts(), set[int]()
        with writing(self._engine) as connection:
            for seen in batch:
                file_id, version_id = self._place(connection, seen, counts, touched)
                metadata_writer.write_problems(connection, seen, self._clock.now_ms())
                metadata_writer.write_claims(connection, version_id, seen.source_metadata, file_id)
                if _is_catalogued(seen):
                    file_matching.adopt(connection, version_id, touched)
                metadata_writer.write_images(connection, version_id, seen, self._clock.now_ms())
                touched.add(model_merge.model_of(connection, version_id))
            rebuild_read_model(connection, touched)
        return counts

    def import_metadata(self, version_id: int, source_metadata: Sequence[SourceMetadata]) -> None:
        """Write down what sources say of a version that do not lie beside it."""
        touched: set[int] = set()
        with writing(self._engine) as connection:
            metadata_writer.write_claims(connection, version_id, source_metadata)
            file_matching.adopt(connection, version_id, touched)
            rebuild_read_model(connection, touched | {model_merge.model_of(connection, version_id)})

    def mark_missing(self, ids: Iterable[int]) -> None:
        """Write down that files have gone; what people wrote about them stays, should they come back."""
        self._set_missing(ids, self._clock.now_ms())

    def mark_present(self, ids: Iterable[int]) -> None:
        """Write down that files are back where they were, unchanged."""
        self._set_missing(ids, None)

    def drop_roots_except(self, kept: Sequence[str]) -> None:
        """Write down that the files below any other root are out of reach, and that nobody walks there any more."""
        query = select(files.c.id).where(files.c.root.not_in(kept), files.c.missing_since.is_(None))
        with sql_errors(), self._engine.connect() as connection:
            ids = list(connection.execute(query).scalars())
        self.mark_missing(ids)
        of_a_file = exists().where(files.c.root == problems.c.root, files.c.path == problems.c.path)
        with writing(self._engine) as connection:
            connection.execute(delete(problems).where(problems.c.root.not_in(kept), ~of_a_file))

    def record_walk_problems(self, root: str, folder: bytes, found: Sequence[FileProblem]) -> None:
        """Write down what a walk below ``below`` could not go into, in place of what an earlier one could not."""
        here = select(files.c.path).where(
            files.c.root == root, files.c.missing_since.is_(None), files.c.problem.in_(WALK_CODES)
        )
        of_walks = (problems.c.root == root) & problems.c.code.in_(WALK_CODES) & problems.c.path.not_in(here)
        with writing(self._engine) as connection:
            for row in connection.execute(select(problems.c.id, problems.c.path).where(of_walks)).all():
                if not folder or row.path == folder or row.path.startswith(folder + b"/"):
                    connection.execute(delete(problems).where(problems.c.id == row.id))
            now = self._clock.now_ms()
            insert_rows(
                connection, problems, [metadata_writer.problem_row(root, one.subject, one, now) for one in found]
            )

    def _set_missing(self, ids: Iterable[int], since: int | None) -> None:
        for part in batches(ids):
            with writing(self._engine) as connection:
                connection.execute(update(files).where(files.c.id.in_(part)).values(missing_since=since))
                rebuild_read_model(connection, file_matching.models_of_files(connection, part))
            # Others write too: between two parts it is their turn.
            time.sleep(0)

    def purge_displaced(self) -> None:
        """Forget files that something else has taken the place of, and whose content nobody knows."""
        placeless = files.c.path.is_(None) & files.c.content.is_(None) & (files.c.root != "")
        touched: set[int] = set()
        with writing(self._engine) as connection:
            for row in connection.execute(select(files).where(placeless)).all():
                touched.add(model_merge.model_of(connection, row.version_id))
                model_merge.remove_file(connection, row)
            rebuild_read_model(connection, touched)

    def _place(
        self, connection: Connection, seen: ScannedFile, counts: ScanCounts, touched: set[int]
    ) -> tuple[int, int]:
        """The file's row, and the version that it belongs to."""
        row, origin = _at(connection, seen.file), _origin(connection, seen)
        if origin is not None and (row is None or row.id != origin.id):
            if row is not None:
                touched.add(model_merge.model_of(connection, row.version_id))
                model_merge.vacate(connection, row, self._clock.now_ms())
            model_merge.forget_problems(connection, origin)
            row = origin
            counts.moved += 1
        elif row is None:
            counts.added += 1
            return self._add(connection, seen)
        else:
            counts.changed += 1
        touched.add(model_merge.model_of(connection, row.version_id))
        if not _same_bytes(row, seen):
            return row.id, self._replace(connection, row, seen)
        version_id = self._version_of(connection, row, seen)
        found_out = {} if seen.layout is None else {"layout": seen.layout, "header": dump_json(dict(seen.header))}
        values = _placed(seen) | found_out | {"version_id": version_id}
        connection.execute(update(files).where(files.c.id == row.id).values(**values))
        return row.id, version_id

    def _add(self, connection: Connection, seen: ScannedFile) -> tuple[int, int]:
        now = self._clock.now_ms()
        values = _placed(seen) | _read(seen)
        if (waiting := _waiting(connection, seen)) is not None:
            connection.execute(update(files).where(files.c.id == waiting.id).values(**values))
            return waiting.id, waiting.version_id
        version_id = file_matching.version_for(connection, seen.source_metadata, _epoch(seen), now)
        return insert_row(connection, files, version_id=version_id, first_seen=now, **values), version_id

    def _replace(self, connection: Connection, row: Any, seen: ScannedFile) -> int:
        """The file has other bytes now: the same tensors under another header, perhaps, or another model.

        One that was broken, as while it was downloaded, or that nobody knew by its content, is known by its place.
        """
        alike = _is_alike(row, seen)
        if alike or row.content is None or row.problem is not None:
            version_id = self._version_of(connection, row, seen)
        else:
            model_merge.leave_behind(connection, row, self._clock.now_ms())
            version_id = file_matching.version_for(connection, seen.source_metadata, _epoch(seen), self._clock.now_ms())
        values = _placed(seen) | _read(seen) | {"content": row.content if alike else None}
        connection.execute(update(files).where(files.c.id == row.id).values(version_id=version_id, **values))
        connection.execute(delete(hashes).where(hashes.c.file_id == row.id))
        return version_id

    def _version_of(self, connection: Connection, row: Any, seen: ScannedFile) -> int:
        """The version of a file with the bytes that it had: another one if a catalogue now tells it from the others."""
        said = merge_metadata(seen.source_metadata).metadata.civitai_version_id
        if said is None:
            return int(row.version_id)
        own = select(versions.c.civitai_id).where(versions.c.id == row.version_id)
        others = select(files.c.content).where(files.c.version_id == row.version_id, files.c.id != row.id)
        if connection.execute(own).scalar_one() in (None, said):
            return int(row.version_id)
        contents = list(connection.execute(others).scalars())
        if not contents or (row.content is not None and row.content in contents):
            return int(row.version_id)
        return file_matching.version_for(connection, seen.source_metadata, _epoch(seen), self._clock.now_ms())


def _at(connection: Connection, found: FileOnDisk) -> Any:
    return connection.execute(_AT, {"r": found.root, "p": found.path}).one_or_none()


def _origin(connection: Connection, seen: ScannedFile) -> Any:
    """What the file was before it was moved; None if it only has the number that another one had on the disk."""
    if seen.moved_from is None:
        return None
    row = connection.execute(select(files).where(files.c.id == seen.moved_from)).one_or_none()
    return row if row is not None and _same_bytes(row, seen) else None


def _waiting(connection: Connection, seen: ScannedFile) -> Any:
    """A file that was never hashed, and that people have written about in another library."""
    found = seen.file
    return connection.execute(_WAITING, {"n": found.name, "s": found.size_bytes, "l": seen.layout}).first()


def _same_bytes(row: Any, seen: ScannedFile) -> bool:
    """Whether nobody has written to the file since, as far as the disk and its own beginning tell."""
    found = seen.file
    stamp = (row.inode, row.size_bytes, row.mtime_ns, row.kind) == (
        to_signed64(found.inode),
        found.size_bytes,
        found.mtime_ns,
        seen.kind,
    )
    return stamp and (row.layout == seen.layout or row.layout is None or seen.layout is None)


def _is_alike(row: Any, seen: ScannedFile) -> bool:
    """Whether the file's content may be the same as before: only hashing tells."""
    if row.kind != seen.kind:
        return False
    same_size = row.size_bytes == seen.file.size_bytes
    return bool(row.layout == seen.layout and (row.layout is not None or same_size))


def _is_catalogued(seen: ScannedFile) -> bool:
    return any(claim.metadata.civitai_id or claim.metadata.civitai_version_id for claim in seen.source_metadata)


def _epoch(seen: ScannedFile) -> file_matching.Epoch:
    return file_matching.Epoch(seen.epoch, seen.group_key)


def _known(row: Any) -> IndexedFile:
    missing = row.missing_since is not None
    return IndexedFile(row.id, row.inode % 2**64, row.size_bytes, row.mtime_ns, row.companions, missing)


def _placed(seen: ScannedFile) -> dict[str, Any]:
    found = seen.file
    return {
        "root": found.root,
        "path": found.path,
        "name": found.name,
        "inode": to_signed64(found.inode),
        "mtime_ns": found.mtime_ns,
        "companions": found.companions_stamp,
        "missing_since": None,
        "problem": next((one.code for one in seen.problems if one.subject == found.path), None),
    }


def _read(seen: ScannedFile) -> dict[str, Any]:
    return {
        "kind": seen.kind,
        "size_bytes": seen.file.size_bytes,
        "layout": seen.layout,
        "header": dump_json(dict(seen.header)),
        "content": None,
        "hashes": "{}",
        "hashed_at": None,
    }


_COMPARED = (
    *(files.c.path, files.c.id, files.c.inode, files.c.size_bytes, files.c.mtime_ns, files.c.companions),
    files.c.missing_since,
)
# Made once: thousands of files are asked about with each.
_AT = select(files).where(files.c.root == bindparam("r"), files.c.path == bindparam("p"))
_WAITING = select(files.c.id, files.c.version_id).where(
    *(files.c.inode == 0, files.c.root == "", files.c.content.is_(None), files.c.name == bindparam("n")),
    *(files.c.size_bytes == bindparam("s"), files.c.layout.is_not_distinct_from(bindparam("l"))),
)
