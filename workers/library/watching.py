"""Owns the watching of the library's folders: which parts of them have changed since one last asked.

Used by ``workers.library.librarian``.
"""

import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog
from watchfiles import watch

from workers.library.scanning import Part
from workers.library.walking import EXTRA_FOLDER

# Changes within this time are told together.
SETTLE_MS = 1000
LOOK_MS = 500
MOST_PARTS = 20

log = structlog.get_logger(__name__)


class Watching:
    """Listens to the system's news of these folders, on a thread of its own."""

    def __init__(self, roots: Sequence[Path]) -> None:
        """Nothing is watched yet."""
        self._roots = roots
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._changed: set[Part] = set()
        self._thread = threading.Thread(target=self._run, name="watching")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()
        self._thread.join()

    def take(self) -> list[Part]:
        """The parts that have changed since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return together(changed)

    def _run(self) -> None:
        try:
            for changes in watch(
                *self._roots,
                stop_event=self._stopped,
                debounce=SETTLE_MS,
                rust_timeout=LOOK_MS,
                watch_filter=None,
                raise_interrupt=False,
            ):
                parts = {part for _, path in changes for root in self._roots if (part := part_of(root, path))}
                with self._lock:
                    self._changed |= parts
        except (OSError, RuntimeError) as error:
            # As where the system watches no more folders: the whole is compared now and then in any case.
            log.warning("library.not_watched", error=str(error))


def part_of(root: Path, path: str) -> Part | None:
    """The folder to look at when something has happened at ``path``; None if it is none of the library's."""
    inside = os.path.relpath(os.fsencode(path), os.fsencode(root))
    folders = inside.split(b"/")[:-1]
    if inside == b"." or inside.startswith(b".."):
        return Part(root) if inside == b"." else None
    if any(folder.startswith(b".") for folder in folders):
        return None
    extra = next((number for number, folder in enumerate(folders) if folder.startswith(EXTRA_FOLDER)), None)
    if extra is not None:
        # Its own time does not change with what is written into a file of it.
        return Part(root, b"/".join(folders[:extra]), full=True)
    return Part(root, b"/".join(folders))


def together(parts: Iterable[Part]) -> list[Part]:
    """The same in fewer parts: none within another, and whole roots where there are very many."""
    found = sorted(set(parts), key=lambda part: (str(part.root), part.below, not part.full))
    if len(found) > MOST_PARTS:
        return [Part(root) for root in dict.fromkeys(part.root for part in found)]
    kept: list[Part] = []
    for part in found:
        if not any(_covers(outer, part) for outer in kept):
            kept.append(part)
    return kept


def _covers(outer: Part, part: Part) -> bool:
    inside = not outer.below or part.below == outer.below or part.below.startswith(outer.below + b"/")
    return outer.root == part.root and inside and (outer.full or not part.full)
