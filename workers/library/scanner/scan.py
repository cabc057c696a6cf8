"""One scan of the library: compares the disk with the index and writes the differences.

A scan that is killed loses nothing: every batch that it has written is complete, and the next scan finds the rest.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from schemas.errors import Conflict, Invalid
from schemas.fields import to_camel_case
from schemas.library.scan_records import FileOnDisk, IndexedFile, ScannedFile
from stores.library.index.scan_writer import IndexedLocation, ScanCounts, ScanWriter
from stores.library.rows import batches
from workers.library.scanner.read_file import minimal_record, read_model_file
from workers.library.scanner.walk import FolderWalk, resolve_scan_paths

# The first batch is small, so that models appear soon after the start of a first scan.
FIRST_BATCH_SIZE, BATCH_SIZE = 50, 250
PROGRESS_EVERY_FILES = 1000


@dataclass(slots=True)
class ScanProgress:
    """The progress of a scan. ``to_read`` counts the new, changed and moved files."""

    phase: str = "walking"
    files: int = 0
    to_read: int = 0
    read: int = 0
    lost: int = 0
    problems: int = 0
    counts: ScanCounts = field(default_factory=ScanCounts)

    def to_json(self) -> dict[str, Any]:
        """Return the figures in one flat object."""
        figures = asdict(self)
        return {to_camel_case(name): value for name, value in (figures | figures.pop("counts")).items()}


@dataclass(frozen=True, slots=True)
class ScanScope:
    """What to scan: a root, or the folder ``subfolder`` below it.

    With ``full`` every file is read again. Models beside one of ``civitdl_folders`` are read again too, because
    writing into a file changes no folder's modification time.
    """

    root: Path
    subfolder: bytes = b""
    full: bool = False
    civitdl_folders: frozenset[bytes] = frozenset()


class Scan:
    """A scan of some scopes."""

    def __init__(
        self,
        writer: ScanWriter,
        roots: Sequence[Path],
        on_progress: Callable[[ScanProgress], None] = lambda _progress: None,
        may_continue: Callable[[], bool] = lambda: True,
    ) -> None:
        """``may_continue`` is called between files; it returns whether this process still holds the leader lock."""
        self._writer = writer
        self._roots = roots
        self._on_progress = on_progress
        self._may_continue = may_continue
        self.progress = ScanProgress()

    def run(self, scopes: Iterable[ScanScope]) -> ScanProgress:
        """Scan the scopes and return the final progress.

        Raises:
            Conflict: ``may_continue`` returned False; results that have been written stay.
            Unavailable: the database does not answer.
        """
        has_scanned_root, roots = False, set()
        for scope in itertools.chain.from_iterable(map(self._resolve_scope, scopes)):
            self._scan_scope(scope)
            roots.add(str(scope.root))
            has_scanned_root = has_scanned_root or not scope.subfolder
        if has_scanned_root or self.progress.counts.moved:
            self._writer.purge_displaced(roots)
        self.progress.phase = "done"
        self._on_progress(self.progress)
        return self.progress

    def _resolve_scope(self, scope: ScanScope) -> list[ScanScope]:
        """Return the scopes at the real locations of a scope's path."""
        paths = resolve_scan_paths(scope.root, scope.subfolder, self._roots)
        return [replace(scope, root=root, subfolder=subfolder) for root, subfolder in paths]

    def _scan_scope(self, scope: ScanScope) -> None:
        root = str(scope.root)
        indexed_below_root = self._writer.list_indexed(root).items()
        indexed = {path: file for path, file in indexed_below_root if _is_below(path, scope.subfolder)}
        walk = FolderWalk(scope.root, self._roots)
        on_disk = self._walk_files(walk, scope.subfolder)
        self._writer.record_walk_problems(root, scope.subfolder, walk.problems)
        reappeared = [
            indexed[path].id
            for path, file in on_disk.items()
            if path in indexed and indexed[path].is_missing and not _differs(file, indexed[path])
        ]
        self._writer.mark_present(reappeared)
        to_read = [
            file for path, file in on_disk.items() if _must_reread(scope, file) or _differs(file, indexed.get(path))
        ]
        moves = self._find_moves(scope, to_read, on_disk)
        self._read_changed(to_read, moves)
        moved_ids = set(moves.values())
        lost = [
            file.id
            for path, file in indexed.items()
            if path not in on_disk and file.id not in moved_ids and not file.is_missing and not walk.is_unreadable(path)
        ]
        self._writer.mark_missing(root, lost)
        self.progress.lost += len(lost)

    def _walk_files(self, walk: FolderWalk, subfolder: bytes) -> dict[bytes, FileOnDisk]:
        self.progress.phase = "walking"
        on_disk: dict[bytes, FileOnDisk] = {}
        for file in walk.run(subfolder):
            self._require_may_continue()
            on_disk[file.path] = file
            self.progress.files += 1
            if self.progress.files % PROGRESS_EVERY_FILES == 0:
                self._on_progress(self.progress)
        self.progress.problems += len(walk.problems)
        return on_disk

    def _read_changed(self, files: Sequence[FileOnDisk], moves: Mapping[bytes, int]) -> None:
        """Read files and write them to the index, batch by batch."""
        self.progress.phase = "reading"
        self.progress.to_read += len(files)
        for batch in _batches(files):
            scanned = [
                replace(file, moved_from=moves.get(file.file.path)) for file in map(self._read_file, batch) if file
            ]
            self._write_batch(scanned)
            self.progress.read += len(batch)
            self.progress.problems += sum(len(file.problems) for file in scanned)
            self._on_progress(self.progress)

    def _write_batch(self, scanned: Sequence[ScannedFile]) -> None:
        """Write a batch. If the database rejects it, write each file alone, and the rejected ones with less data."""
        try:
            self.progress.counts.add(self._writer.write_batch(scanned))
        except (Invalid, UnicodeEncodeError):
            if len(scanned) > 1:
                for file in scanned:
                    self._write_batch([file])
            elif scanned:
                self.progress.counts.add(self._writer.write_batch([minimal_record(scanned[0])]))

    def _read_file(self, file: FileOnDisk) -> ScannedFile | None:
        # Checked before each file, because a slow disk may take longer for a batch than the lock's lease lasts.
        self._require_may_continue()
        return read_model_file(file, self._roots)

    def _require_may_continue(self) -> None:
        if not self._may_continue():
            raise Conflict("The scan was interrupted: this process stops, or another one indexes the library now.")

    def _find_moves(
        self, scope: ScanScope, changed: Sequence[FileOnDisk], on_disk: Mapping[bytes, FileOnDisk]
    ) -> dict[bytes, int]:
        """Return the new paths of moved files, each with the id of the indexed file that it was.

        A file was moved if an indexed one has its inode, size and time, and no longer exists at its own path.
        """
        moves: dict[bytes, int] = {}
        taken: set[int] = set()
        by_inode = self._writer.find_by_inode(file.inode for file in changed)
        for file in changed:
            same = [location for location in by_inode.get(file.inode, ()) if file.is_unchanged(location.file)]
            if any((location.root, location.path) == (file.root, file.path) for location in same):
                continue
            for location in same:
                if location.id not in taken and not _still_exists(scope, location, on_disk):
                    moves[file.path] = location.id
                    taken.add(location.id)
                    break
        return moves


def _batches(files: Sequence[FileOnDisk]) -> Iterator[list[FileOnDisk]]:
    if files:
        yield list(files[:FIRST_BATCH_SIZE])
    yield from batches(files[FIRST_BATCH_SIZE:], BATCH_SIZE)


def _is_below(path: bytes, subfolder: bytes) -> bool:
    return not subfolder or path.startswith(subfolder + b"/")


def _differs(file: FileOnDisk, indexed: IndexedFile | None) -> bool:
    """Return whether a file is new, or has changed itself or in its companions."""
    return indexed is None or not file.is_unchanged(indexed) or file.companions_stamp != indexed.companions_stamp


def _must_reread(scope: ScanScope, file: FileOnDisk) -> bool:
    return scope.full or not scope.civitdl_folders.isdisjoint(file.companion_names)


def _still_exists(scope: ScanScope, location: IndexedLocation, on_disk: Mapping[bytes, FileOnDisk]) -> bool:
    """Return whether an indexed file still is at its path, so that the other file with its inode is a hard link."""
    if location.path is None:
        return False
    known = location.file
    if location.root == str(scope.root) and _is_below(location.path, scope.subfolder):
        # Looked up in the walk's result: on a case-insensitive disk stat() would also find a renamed file.
        file = on_disk.get(location.path)
        return file is not None and file.is_unchanged(known)
    try:
        status = os.stat(os.path.join(os.fsencode(location.root), location.path))
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns, status.st_ino) == (known.size_bytes, known.mtime_ns, known.inode)
