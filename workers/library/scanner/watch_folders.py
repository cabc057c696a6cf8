"""Watches the library's folders with inotify (or its equivalent) and collects the scopes that have changed.

Where watching fails, for example because the limit of watches is reached, the whole library is reported as changed
every FALLBACK_RESCAN_S instead. Roots may appear, vanish or be replaced at any time, as when a disk is mounted.
"""

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

DEBOUNCE_MS = 1000
POLL_MS = 500
FALLBACK_RESCAN_S = 60.0
# watchfiles stops with an error at a file name that is not valid UTF-8. The delay before a restart doubles as long as
# it stops again at once.
RESTART_DELAY_S = 5.0
MAX_SCOPES = 20
FolderIdentity = tuple[int, int] | None

log = structlog.get_logger(__name__)


class FolderWatcher:
    """Watches the roots on a thread."""

    def __init__(self, roots: Sequence[Path], fallback_rescan_s: float = FALLBACK_RESCAN_S) -> None:
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
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it."""
        self._stop_event.set()
        if self._thread.is_alive():
            self._thread.join()

    def take_changes(self) -> list[ScanScope]:
        """Return the scopes that have changed since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return coalesce(changed)

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait until changes are noticed, or watching has failed."""
        self._ready.wait(timeout_s)

    def _add(self, scopes: Iterable[ScanScope]) -> None:
        with self._lock:
            self._changed |= set(scopes)

    def _run(self) -> None:
        logged_error, delay_s = "", RESTART_DELAY_S
        while not self._stop_event.is_set():
            identities = {root: _folder_identity(root) for root in self._roots}
            self._has_delivered = False
            try:
                self._watch(identities)
            except (OSError, RuntimeError) as error:
                delay_s = min(RESTART_DELAY_S if self._has_delivered else 2 * delay_s, self._fallback_rescan_s)
                self._ready.set()
                if logged_error != str(error):
                    log.warning("library.not_watched", error=str(error), compared_every_s=self._fallback_rescan_s)
                logged_error = str(error)
                self._has_missed_changes = True
                self._add(map(ScanScope, self._roots))
                self._stop_event.wait(delay_s)

    def _watch(self, identities: Mapping[Path, FolderIdentity]) -> None:
        """Watch until stopped, or until a root is no longer the folder that it was."""
        for changes in self._changes([root for root, identity in identities.items() if identity]):
            if self._has_missed_changes:
                # Only from the first result on are changes noticed; before, anything may have happened.
                self._add(map(ScanScope, self._roots))
                self._has_missed_changes = False
            self._has_delivered = True
            self._ready.set()
            self._add(scope for _, path in changes for root in self._roots if (scope := scope_of_change(root, path)))
            if any(_folder_identity(root) != identities[root] for root in self._roots):
                self._has_missed_changes = True
                return

    def _changes(self, roots: Sequence[Path]) -> Iterator[set[FileChange]]:
        """Yield sets of changes; an empty set at least every POLL_MS."""
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
    """Return device and inode of the folder at this path; None if there is none."""
    with contextlib.suppress(OSError):
        status = os.stat(root)
        return (status.st_dev, status.st_ino)
    return None


def scope_of_change(root: Path, path: str) -> ScanScope | None:
    """Return the scope to scan after a change at ``path``; None if it lies outside the root or in a hidden folder."""
    relative = os.path.relpath(os.fsencode(path), os.fsencode(root))
    folders = relative.split(b"/")[:-1]
    if relative == b".":
        return ScanScope(root)
    if relative == b".." or folders[:1] == [b".."]:
        return None
    if any(folder.startswith(b".") for folder in folders):
        return None
    index = next((index for index, folder in enumerate(folders) if folder.startswith(CIVITDL_FOLDER_PREFIX)), None)
    if index is not None:
        # Models are beside such a folder, not in it.
        return ScanScope(root, b"/".join(folders[:index]), civitdl_folders=frozenset({folders[index]}))
    return ScanScope(root, b"/".join(folders))


def coalesce(scopes: Iterable[ScanScope]) -> list[ScanScope]:
    """Merge scopes that contain one another; replace them by whole roots if there are more than MAX_SCOPES."""
    ordered = sorted(set(scopes), key=lambda scope: (str(scope.root), scope.subfolder))
    if len({(scope.root, scope.subfolder) for scope in ordered}) > MAX_SCOPES:
        ordered = [replace(scope, subfolder=b"") for scope in ordered]
    merged: list[ScanScope] = []
    for scope in ordered:
        index = next((index for index, outer in enumerate(merged) if _covers(outer, scope)), None)
        if index is None:
            merged.append(scope)
        else:
            outer = merged[index]
            civitdl_folders = outer.civitdl_folders | scope.civitdl_folders
            merged[index] = replace(outer, full=outer.full or scope.full, civitdl_folders=civitdl_folders)
    return merged


def _covers(outer: ScanScope, scope: ScanScope) -> bool:
    return outer.root == scope.root and (
        outer.subfolder in (b"", scope.subfolder) or scope.subfolder.startswith(outer.subfolder + b"/")
    )
