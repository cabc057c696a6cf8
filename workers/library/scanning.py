"""Owns one scan of the library: what is on disk is compared with what is known, and the difference is written down.

Called by ``workers.library.librarian`` and by the commands. Whoever is killed in it loses nothing: what was written is
right, and the next scan finds the rest.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from schemas.errors import Conflict
from schemas.fields import camel
from schemas.library.seen import Found, Known
from stores.library.recording import Counts, Recording
from stores.library.rows import parts
from workers.library.reading import read
from workers.library.walking import Walk

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
    """What to scan: all of a root, or the folder ``below`` in it; ``full`` reads everything again."""

    root: Path
    below: bytes = b""
    full: bool = False


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
        """Scan these parts."""
        for part in wanted:
            self._scan(part)
        self.progress.phase = "done"
        self._tell(self.progress)
        return self.progress

    def _scan(self, part: Part) -> None:
        root = str(part.root)
        known = {path: one for path, one in self._recording.known(root).items() if _is_below(path, part.below)}
        walk = Walk(part.root, self._roots)
        found = self._walk(walk, part.below)
        self._recording.note_walk(root, part.below, walk.problems)
        back = [known[path].id for path, one in found.items() if path in known and _is_back(one, known[path])]
        self._recording.find_again(back)
        changed = [one for path, one in found.items() if part.full or _differs(one, known.get(path))]
        moved = self._read(changed, known)
        gone = {path: one for path, one in known.items() if path not in found and one.id not in moved}
        lost = [one.id for path, one in gone.items() if not one.missing and not walk.is_hidden(path)]
        self._recording.lose(lost)
        self.progress.lost += len(lost)

    def _walk(self, walk: Walk, below: bytes) -> dict[bytes, Found]:
        self.progress.phase = "walking"
        found: dict[bytes, Found] = {}
        for one in walk.run(below):
            found[one.path] = one
            self.progress.files += 1
            if self.progress.files % TELL_EVERY == 0:
                self._tell(self.progress)
        self.progress.problems += len(walk.problems)
        return found

    def _read(self, changed: Sequence[Found], known: Mapping[bytes, Known]) -> set[int]:
        """Read and write down what has changed; the ids of files that were found under another path."""
        self.progress.phase = "reading"
        self.progress.to_read += len(changed)
        moved: set[int] = set()
        for batch in _batches(changed):
            if not self._go_on():
                raise Conflict("Another process looks after the library now.")
            origins = self._origins([one for one in batch if one.path not in known], moved)
            seen = [replace(one, moved_from=origins.get(one.found.path)) for one in map(read, batch) if one]
            moved |= set(origins.values())
            self.progress.counts.add(self._recording.record(seen))
            self.progress.read += len(batch)
            self.progress.problems += sum(len(one.problems) for one in seen)
            self._tell(self.progress)
        return moved

    def _origins(self, new: Sequence[Found], taken: set[int]) -> dict[bytes, int]:
        """Of files that are new where they are, which they were before they were moved there."""
        origins: dict[bytes, int] = {}
        by_inode = self._recording.by_inode([one.inode for one in new])
        for one in new:
            for origin in by_inode.get(one.inode, ()):
                if origin.id not in taken and one.same_bytes(origin.known) and not _is_there(origin.root, origin.path):
                    origins[one.path] = origin.id
                    taken = taken | {origin.id}
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


def _is_there(root: str, path: bytes | None) -> bool:
    return path is not None and os.path.lexists(os.path.join(os.fsencode(root), path))
