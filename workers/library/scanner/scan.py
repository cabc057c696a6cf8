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
from schemas.fields import camel
from schemas.library.scan_records import Found, Known, Seen
from stores.library.index.scan_writer import Counts, Origin, Recording
from stores.library.rows import parts
from workers.library.scanner.read_file import bare, read
from workers.library.scanner.walk import Walk, places_of

# The first batch is small, so that there is something to look at while the others are read.
FIRST_BATCH, BATCH = 50, 250
TELL_EVERY = 1000


@dataclass(slots=True)
class Progress:
    """How far a scan is. ``to_read`` are the files that are new, changed or moved."""

    phase: str = "walking"
    files: int = 0
    to_read: int = 0
    read: int = 0
    lost: int = 0
    problems: int = 0
    counts: Counts = field(default_factory=Counts)

    def view(self) -> dict[str, Any]:
        """As it is told."""
        shown = asdict(self)
        return {camel(name): value for name, value in (shown | shown.pop("counts")).items()}


@dataclass(frozen=True, slots=True)
class Part:
    """What to scan: all of a root, or the folder ``below`` in it.

    ``full`` reads everything again; ``extras`` are names of folders: models that one of them lies beside are read
    again, for what is written into a file changes no folder's time.
    """

    root: Path
    below: bytes = b""
    full: bool = False
    extras: frozenset[bytes] = frozenset()


class Scan:
    """One scan of some parts of the library."""

    def __init__(
        self,
        recording: Recording,
        roots: Sequence[Path],
        tell: Callable[[Progress], None] = lambda _progress: None,
        go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """``tell`` is called after each step; ``go_on`` says whether this process still looks after the library."""
        self._recording = recording
        self._roots = roots
        self._tell = tell
        self._go_on = go_on
        self.progress = Progress()

    def run(self, wanted: Iterable[Part]) -> Progress:
        """Scan these parts.

        Raises:
            Conflict: ``go_on`` said no; what was written down by then is right.
            Unavailable: the database does not answer.
        """
        whole = False
        for part in itertools.chain.from_iterable(map(self._really, wanted)):
            self._scan(part)
            whole = whole or not part.below
        if whole or self.progress.counts.moved:
            self._recording.forget_placeless()
        self.progress.phase = "done"
        self._tell(self.progress)
        return self.progress

    def _really(self, part: Part) -> list[Part]:
        """What to scan for a part that is named by its path, which may lead elsewhere."""
        return [replace(part, root=root, below=below) for root, below in places_of(part.root, part.below, self._roots)]

    def _scan(self, part: Part) -> None:
        root = str(part.root)
        known = {path: one for path, one in self._recording.known(root).items() if _is_below(path, part.below)}
        walk = Walk(part.root, self._roots)
        found = self._walk(walk, part.below)
        self._recording.note_walk(root, part.below, walk.problems)
        back = [known[path].id for path, one in found.items() if path in known and _is_back(one, known[path])]
        self._recording.find_again(back)
        changed = [one for path, one in found.items() if _is_wanted(part, one) or _differs(one, known.get(path))]
        origins = self._origins(part, changed, found)
        self._read(changed, origins)
        moved = set(origins.values())
        gone = {path: one for path, one in known.items() if path not in found and one.id not in moved}
        lost = [one.id for path, one in gone.items() if not one.missing and not walk.is_hidden(path)]
        self._recording.lose(lost)
        self.progress.lost += len(lost)

    def _walk(self, walk: Walk, below: bytes) -> dict[bytes, Found]:
        self.progress.phase = "walking"
        found: dict[bytes, Found] = {}
        for one in walk.run(below):
            self._require_going_on()
            found[one.path] = one
            self.progress.files += 1
            if self.progress.files % TELL_EVERY == 0:
                self._tell(self.progress)
        self.progress.problems += len(walk.problems)
        return found

    def _read(self, changed: Sequence[Found], origins: Mapping[bytes, int]) -> None:
        """Read and write down what has changed."""
        self.progress.phase = "reading"
        self.progress.to_read += len(changed)
        for batch in _batches(changed):
            seen = [replace(one, moved_from=origins.get(one.found.path)) for one in map(self._seen, batch) if one]
            self._record(seen)
            self.progress.read += len(batch)
            self.progress.problems += sum(len(one.problems) for one in seen)
            self._tell(self.progress)

    def _record(self, seen: Sequence[Seen]) -> None:
        """Write a batch down; if the database cannot hold something in it, each by itself, and that one bare."""
        try:
            self.progress.counts.add(self._recording.record(seen))
        except (Invalid, UnicodeEncodeError):
            for one in seen if len(seen) > 1 else ():
                self._record([one])
            if len(seen) == 1:
                self.progress.counts.add(self._recording.record([bare(seen[0])]))

    def _seen(self, one: Found) -> Seen | None:
        # Disks may be slow: the duty is to be renewed between two files.
        self._require_going_on()
        return read(one, self._roots)

    def _require_going_on(self) -> None:
        if not self._go_on():
            raise Conflict("The scan was not ended: another process looks after the library now, or this one stops.")

    def _origins(self, part: Part, changed: Sequence[Found], found: Mapping[bytes, Found]) -> dict[bytes, int]:
        """Of files that are new where they are, which they were before they were moved there."""
        origins: dict[bytes, int] = {}
        taken: set[int] = set()
        by_inode = self._recording.by_inode(one.inode for one in changed)
        for one in changed:
            same = [origin for origin in by_inode.get(one.inode, ()) if one.same_bytes(origin.known)]
            if any((origin.root, origin.path) == (one.root, one.path) for origin in same):
                continue
            for origin in same:
                if origin.id not in taken and not _is_there(part, origin, found):
                    origins[one.path] = origin.id
                    taken.add(origin.id)
                    break
        return origins


def _batches(changed: Sequence[Found]) -> Iterator[list[Found]]:
    if changed:
        yield list(changed[:FIRST_BATCH])
    yield from parts(changed[FIRST_BATCH:], BATCH)


def _is_below(path: bytes, below: bytes) -> bool:
    return not below or path.startswith(below + b"/")


def _is_back(one: Found, known: Known) -> bool:
    return known.missing and not _differs(one, known)


def _differs(one: Found, known: Known | None) -> bool:
    return known is None or not one.same_bytes(known) or one.companions != known.companions


def _is_wanted(part: Part, one: Found) -> bool:
    return part.full or not part.extras.isdisjoint(one.beside)


def _is_there(part: Part, origin: Origin, found: Mapping[bytes, Found]) -> bool:
    """Whether a file is still where it was, so that the other is a link to it; not something else of that name."""
    if origin.path is None:
        return False
    if origin.root == str(part.root) and _is_below(origin.path, part.below):
        # Where capitals do not matter to the disk, they do to the index.
        now = found.get(origin.path)
        return now is not None and now.same_bytes(origin.known)
    try:
        about = os.stat(os.path.join(os.fsencode(origin.root), origin.path))
    except OSError:
        return False
    return (about.st_size, about.st_mtime_ns, about.st_ino) == (
        origin.known.size_bytes,
        origin.known.mtime_ns,
        origin.known.inode,
    )
