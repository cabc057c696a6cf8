"""The watching of the library's folders: which parts of them have changed since one last asked."""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog
from watchfiles import watch
from watchfiles.main import FileChange

from workers.library.scanner.scan import Part
from workers.library.scanner.walk import EXTRA_FOLDER

# Changes within this time are told together.
SETTLE_MS = 1000
LOOK_MS = 500
# How often all is compared where the system does not tell of changes.
BLIND_EVERY_S = 60.0
# How soon it is watched again after news that cannot be told, such as of a name that is no text; then later and later.
AGAIN_S = 5.0
MOST_PARTS = 20
Identity = tuple[int, int] | None

log = structlog.get_logger(__name__)


class Watching:
    """Listens to the system's news of these folders, on a thread of its own."""

    def __init__(self, roots: Sequence[Path], blind_every_s: float = BLIND_EVERY_S) -> None:
        """Nothing is watched yet."""
        self._roots = roots
        self._blind_every_s = blind_every_s
        self._stopped = threading.Event()
        self._ready = threading.Event()
        self._missed = False
        self._told = False
        self._lock = threading.Lock()
        self._changed: set[Part] = set()
        self._thread = threading.Thread(target=self._run, name="watching")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def take(self) -> list[Part]:
        """The parts that have changed since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return together(changed)

    def _add(self, parts: Iterable[Part]) -> None:
        with self._lock:
            self._changed |= set(parts)

    def wait_until_ready(self, within_s: float) -> None:
        """Until what happens from now on is noticed, or cannot be."""
        self._ready.wait(within_s)

    def _run(self) -> None:
        """Watch the folders that are there; again whenever one of them comes or goes."""
        told, wait_s = "", AGAIN_S
        while not self._stopped.is_set():
            there = {root: _identity(root) for root in self._roots}
            self._told = False
            try:
                self._watch(there)
            except (OSError, RuntimeError) as error:
                wait_s = min(AGAIN_S if self._told else 2 * wait_s, self._blind_every_s)
                self._ready.set()
                if told != str(error):
                    log.warning("library.not_watched", error=str(error), compared_every_s=self._blind_every_s)
                told = str(error)
                self._missed = True
                self._add(map(Part, self._roots))
                self._stopped.wait(wait_s)

    def _watch(self, there: Mapping[Path, Identity]) -> None:
        """Until told to stop, or until other folders than these lie at the roots."""
        for changes in self._news([root for root, identity in there.items() if identity]):
            if self._missed:
                # What happened while nobody watched.
                self._add(map(Part, self._roots))
                self._missed = False
            self._told = True
            self._ready.set()
            self._add(part for _, path in changes for root in self._roots if (part := part_of(root, path)))
            if any(_identity(root) != there[root] for root in self._roots):
                self._missed = True
                return

    def _news(self, roots: Sequence[Path]) -> Iterator[set[FileChange]]:
        """What the system tells, and now and then that there is nothing."""
        while not roots and not self._stopped.wait(LOOK_MS / 1000):
            yield set()
        if roots:
            yield from watch(
                *roots,
                stop_event=self._stopped,
                debounce=SETTLE_MS,
                rust_timeout=LOOK_MS,
                yield_on_timeout=True,
                watch_filter=None,
                raise_interrupt=False,
                ignore_permission_denied=True,
            )


def _identity(root: Path) -> Identity:
    """Which folder it is that lies there; None if there is none."""
    with contextlib.suppress(OSError):
        about = os.stat(root)
        return (about.st_dev, about.st_ino)
    return None


def part_of(root: Path, path: str) -> Part | None:
    """The folder to look at when something has happened at ``path``; None if it is none of the library's."""
    inside = os.path.relpath(os.fsencode(path), os.fsencode(root))
    folders = inside.split(b"/")[:-1]
    if inside == b"." or folders[:1] == [b".."] or inside == b"..":
        return Part(root) if inside == b"." else None
    if any(folder.startswith(b".") for folder in folders):
        return None
    extra = next((number for number, folder in enumerate(folders) if folder.startswith(EXTRA_FOLDER)), None)
    if extra is not None:
        # Its own time does not change with what is written into a file of it.
        return Part(root, b"/".join(folders[:extra]), extras=frozenset({folders[extra]}))
    return Part(root, b"/".join(folders))


def together(parts: Iterable[Part]) -> list[Part]:
    """The same in fewer parts: none within another, and whole roots where there are very many."""
    found = sorted(set(parts), key=lambda part: (str(part.root), part.below))
    if len({(part.root, part.below) for part in found}) > MOST_PARTS:
        found = [replace(part, below=b"") for part in found]
    kept: list[Part] = []
    for part in found:
        outer = next((number for number, one in enumerate(kept) if _covers(one, part)), None)
        if outer is None:
            kept.append(part)
        else:
            one = kept[outer]
            kept[outer] = replace(one, full=one.full or part.full, extras=one.extras | part.extras)
    return kept


def _covers(outer: Part, part: Part) -> bool:
    inside = not outer.below or part.below == outer.below or part.below.startswith(outer.below + b"/")
    return outer.root == part.root and inside
