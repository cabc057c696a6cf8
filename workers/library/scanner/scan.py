"""One scan of the library: what is on disk is compared with what is known, and the difference is written down.

Whoever is killed in it loses nothing: what was written is
right, and the next scan finds the rest.
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

# The first batch is small, so that there is something to look at while the others are read.
FIRST_BATCH_SIZE, BATCH_SIZE = 50, 250
PROGRESS_EVERY_FILES = 1000


@dataclass(slots=True)
class ScanProgress:
    """How far a scan is. ``to_read`` are the files that are new, changed or moved."""

    phase: str = "walking"
    files: int = 0
    to_read: int = 0
    read: int = 0
    lost: int = 0
    problems: int = 0
    counts: ScanCounts = field(default_factory=ScanCounts)

    def to_json(self) -> dict[str, Any]:
        """As it is told."""
        shown = asdict(self)
        return {to_camel_case(name): value for name, value in (shown | shown.pop("counts")).items()}


@dataclass(frozen=True, slots=True)
class ScanScope:
    """What to scan: all of a root, or the folder ``below`` in it.

    ``full`` reads everything again; ``extras`` are names of folders: models that one of them lies beside are read
    again, for what is written into a file changes no folder's time.
    """

    root: Path
    subfolder: bytes = b""
    full: bool = False
    civitdl_folders: frozenset[bytes] = frozenset()


class Scan:
    """One scan of some parts of the library."""

    def __init__(
        self,
        writer: ScanWriter,
        roots: Sequence[Path],
        on_progress: Callable[[ScanProgress], None] = lambda _progress: None,
        may_continue: Callable[[], bool] = lambda: True,
    ) -> None:
        """``tell`` is called after each step; ``go_on`` says whether this process still looks after the library."""
        self._writer = writer
        self._roots = roots
        self._on_progress = on_progress
        self._may_continue = may_continue
        self.progress = ScanProgress()

    def run(self, scopes: Iterable[ScanScope]) -> ScanProgress:
        """Scan these parts.

        Raises:
            Conflict: ``go_on`` said no; what was written down by then is right.
            Unavailable: the database does not answer.
        """
        whole = False
        for part in itertools.chain.from_iterable(map(self._resolve_scope, scopes)):
            self._scan_scope(part)
            whole = whole or not part.subfolder
        if whole or self.progress.counts.moved:
            self._writer.purge_displaced()
        self.progress.phase = "done"
        self._on_progress(self.progress)
        return self.progress

    def _resolve_scope(self, part: ScanScope) -> list[ScanScope]:
        """What to scan for a part that is named by its path, which may lead elsewhere."""
        return [
            replace(part, root=root, subfolder=below)
            for root, below in resolve_scan_paths(part.root, part.subfolder, self._roots)
        ]

    def _scan_scope(self, part: ScanScope) -> None:
        root = str(part.root)
        known = {path: one for path, one in self._writer.list_indexed(root).items() if _is_below(path, part.subfolder)}
        walk = FolderWalk(part.root, self._roots)
        found = self._walk_files(walk, part.subfolder)
        self._writer.record_walk_problems(root, part.subfolder, walk.problems)
        back = [known[path].id for path, one in found.items() if path in known and _has_reappeared(one, known[path])]
        self._writer.mark_present(back)
        changed = [one for path, one in found.items() if _must_reread(part, one) or _differs(one, known.get(path))]
        origins = self._find_moves(part, changed, found)
        self._read_changed(changed, origins)
        moved = set(origins.values())
        gone = {path: one for path, one in known.items() if path not in found and one.id not in moved}
        lost = [one.id for path, one in gone.items() if not one.is_missing and not walk.is_unreadable(path)]
        self._writer.mark_missing(lost)
        self.progress.lost += len(lost)

    def _walk_files(self, walk: FolderWalk, below: bytes) -> dict[bytes, FileOnDisk]:
        self.progress.phase = "walking"
        found: dict[bytes, FileOnDisk] = {}
        for one in walk.run(below):
            self._require_may_continue()
            found[one.path] = one
            self.progress.files += 1
            if self.progress.files % PROGRESS_EVERY_FILES == 0:
                self._on_progress(self.progress)
        self.progress.problems += len(walk.problems)
        return found

    def _read_changed(self, changed: Sequence[FileOnDisk], origins: Mapping[bytes, int]) -> None:
        """Read and write down what has changed."""
        self.progress.phase = "reading"
        self.progress.to_read += len(changed)
        for batch in _batches(changed):
            seen = [replace(one, moved_from=origins.get(one.file.path)) for one in map(self._read_file, batch) if one]
            self._write_batch(seen)
            self.progress.read += len(batch)
            self.progress.problems += sum(len(one.problems) for one in seen)
            self._on_progress(self.progress)

    def _write_batch(self, seen: Sequence[ScannedFile]) -> None:
        """Write a batch down; if the database cannot hold something in it, each by itself, and that one bare."""
        try:
            self.progress.counts.add(self._writer.write_batch(seen))
        except (Invalid, UnicodeEncodeError):
            for one in seen if len(seen) > 1 else ():
                self._write_batch([one])
            if len(seen) == 1:
                self.progress.counts.add(self._writer.write_batch([minimal_record(seen[0])]))

    def _read_file(self, one: FileOnDisk) -> ScannedFile | None:
        # Disks may be slow: the duty is to be renewed between two files.
        self._require_may_continue()
        return read_model_file(one, self._roots)

    def _require_may_continue(self) -> None:
        if not self._may_continue():
            raise Conflict("The scan was not ended: another process looks after the library now, or this one stops.")

    def _find_moves(
        self, part: ScanScope, changed: Sequence[FileOnDisk], found: Mapping[bytes, FileOnDisk]
    ) -> dict[bytes, int]:
        """Of files that are new where they are, which they were before they were moved there."""
        origins: dict[bytes, int] = {}
        taken: set[int] = set()
        by_inode = self._writer.find_by_inode(one.inode for one in changed)
        for one in changed:
            same = [origin for origin in by_inode.get(one.inode, ()) if one.is_unchanged(origin.known)]
            if any((origin.root, origin.path) == (one.root, one.path) for origin in same):
                continue
            for origin in same:
                if origin.id not in taken and not _still_exists(part, origin, found):
                    origins[one.path] = origin.id
                    taken.add(origin.id)
                    break
        return origins


def _batches(changed: Sequence[FileOnDisk]) -> Iterator[list[FileOnDisk]]:
    if changed:
        yield list(changed[:FIRST_BATCH_SIZE])
    yield from batches(changed[FIRST_BATCH_SIZE:], BATCH_SIZE)


def _is_below(path: bytes, below: bytes) -> bool:
    return not below or path.startswith(below + b"/")


def _has_reappeared(one: FileOnDisk, known: IndexedFile) -> bool:
    return known.is_missing and not _differs(one, known)


def _differs(one: FileOnDisk, known: IndexedFile | None) -> bool:
    return known is None or not one.is_unchanged(known) or one.companions_stamp != known.companions_stamp


def _must_reread(part: ScanScope, one: FileOnDisk) -> bool:
    return part.full or not part.civitdl_folders.isdisjoint(one.companion_names)


def _still_exists(part: ScanScope, origin: IndexedLocation, found: Mapping[bytes, FileOnDisk]) -> bool:
    """Whether a file is still where it was, so that the other is a link to it; not something else of that name."""
    if origin.path is None:
        return False
    if origin.root == str(part.root) and _is_below(origin.path, part.subfolder):
        # Where capitals do not matter to the disk, they do to the index.
        now = found.get(origin.path)
        return now is not None and now.is_unchanged(origin.known)
    try:
        about = os.stat(os.path.join(os.fsencode(origin.root), origin.path))
    except OSError:
        return False
    return (about.st_size, about.st_mtime_ns, about.st_ino) == (
        origin.known.size_bytes,
        origin.known.mtime_ns,
        origin.known.inode,
    )
