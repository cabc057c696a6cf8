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

from workers.library.scanner.scan import ScanScope
from workers.library.scanner.walk import CIVITDL_FOLDER_PREFIX

# Changes within this time are told together.
DEBOUNCE_MS = 1000
POLL_MS = 500
# How often all is compared where the system does not tell of changes.
FALLBACK_RESCAN_S = 60.0
# How soon it is watched again after news that cannot be told, such as of a name that is no text; then later and later.
RESTART_DELAY_S = 5.0
MAX_SCOPES = 20
FolderIdentity = tuple[int, int] | None

log = structlog.get_logger(__name__)


class FolderWatcher:
    """Listens to the system's news of these folders, on a thread of its own."""

    def __init__(self, roots: Sequence[Path], fallback_rescan_s: float = FALLBACK_RESCAN_S) -> None:
        """Nothing is watched yet."""
        self._roots = roots
        self._fallback_rescan_s = fallback_rescan_s
        self._stop_event = threading.Event()
        self._ready = threading.Event()
        self._has_missed_changes = False
        self._has_delivered = False
        self._lock = threading.Lock()
        self._changed: set[ScanScope] = set()
        self._thread = threading.Thread(target=self._run, name="watching")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stop_event.set()
        if self._thread.ident is not None:
            self._thread.join()

    def take_changes(self) -> list[ScanScope]:
        """The parts that have changed since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return coalesce(changed)

    def _add(self, parts: Iterable[ScanScope]) -> None:
        with self._lock:
            self._changed |= set(parts)

    def wait_until_ready(self, timeout_s: float) -> None:
        """Until what happens from now on is noticed, or cannot be."""
        self._ready.wait(timeout_s)

    def _run(self) -> None:
        """Watch the folders that are there; again whenever one of them comes or goes."""
        told, wait_s = "", RESTART_DELAY_S
        while not self._stop_event.is_set():
            there = {root: _folder_identity(root) for root in self._roots}
            self._has_delivered = False
            try:
                self._watch(there)
            except (OSError, RuntimeError) as error:
                wait_s = min(RESTART_DELAY_S if self._has_delivered else 2 * wait_s, self._fallback_rescan_s)
                self._ready.set()
                if told != str(error):
                    log.warning("library.not_watched", error=str(error), compared_every_s=self._fallback_rescan_s)
                told = str(error)
                self._has_missed_changes = True
                self._add(map(ScanScope, self._roots))
                self._stop_event.wait(wait_s)

    def _watch(self, identities: Mapping[Path, FolderIdentity]) -> None:
        """Until told to stop, or until other folders than these lie at the roots."""
        for changes in self._changes([root for root, identity in identities.items() if identity]):
            if self._has_missed_changes:
                # What happened while nobody watched.
                self._add(map(ScanScope, self._roots))
                self._has_missed_changes = False
            self._has_delivered = True
            self._ready.set()
            self._add(part for _, path in changes for root in self._roots if (part := scope_of_change(root, path)))
            if any(_folder_identity(root) != identities[root] for root in self._roots):
                self._has_missed_changes = True
                return

    def _changes(self, roots: Sequence[Path]) -> Iterator[set[FileChange]]:
        """What the system tells, and now and then that there is nothing."""
        while not roots and not self._stop_event.wait(POLL_MS / 1000):
            yield set()
        if roots:
            yield from watch(
                *roots,
                stop_event=self._stop_event,
                debounce=DEBOUNCE_MS,
                rust_timeout=POLL_MS,
                yield_on_timeout=True,
                watch_filter=None,
                raise_interrupt=False,
                ignore_permission_denied=True,
            )


def _folder_identity(root: Path) -> FolderIdentity:
    """Which folder it is that lies there; None if there is none."""
    with contextlib.suppress(OSError):
        about = os.stat(root)
        return (about.st_dev, about.st_ino)
    return None


def scope_of_change(root: Path, path: str) -> ScanScope | None:
    """The folder to look at when something has happened at ``path``; None if it is none of the library's."""
    inside = os.path.relpath(os.fsencode(path), os.fsencode(root))
    folders = inside.split(b"/")[:-1]
    if inside == b"." or folders[:1] == [b".."] or inside == b"..":
        return ScanScope(root) if inside == b"." else None
    if any(folder.startswith(b".") for folder in folders):
        return None
    extra = next((number for number, folder in enumerate(folders) if folder.startswith(CIVITDL_FOLDER_PREFIX)), None)
    if extra is not None:
        # Its own time does not change with what is written into a file of it.
        return ScanScope(root, b"/".join(folders[:extra]), civitdl_folders=frozenset({folders[extra]}))
    return ScanScope(root, b"/".join(folders))


def coalesce(scopes: Iterable[ScanScope]) -> list[ScanScope]:
    """The same in fewer parts: none within another, and whole roots where there are very many."""
    found = sorted(set(scopes), key=lambda part: (str(part.root), part.subfolder))
    if len({(part.root, part.subfolder) for part in found}) > MAX_SCOPES:
        found = [replace(part, subfolder=b"") for part in found]
    kept: list[ScanScope] = []
    for part in found:
        outer = next((number for number, one in enumerate(kept) if _covers(one, part)), None)
        if outer is None:
            kept.append(part)
        else:
            one = kept[outer]
            kept[outer] = replace(
                one, full=one.full or part.full, civitdl_folders=one.civitdl_folders | part.civitdl_folders
            )
    return kept


def _covers(outer: ScanScope, part: ScanScope) -> bool:
    inside = (
        not outer.subfolder or part.subfolder == outer.subfolder or part.subfolder.startswith(outer.subfolder + b"/")
    )
    return outer.root == part.root and inside
