"""Leader election: one process holds each of the library's locks, by a lease in SQL that it renews.

Scanning and hashing have a lock for each folder, so that machines with different folders do them at the same time.

The lease is in SQL and not in Redis, so that the library commands work without Redis.
"""

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Sequence

from schemas.errors import Unavailable
from stores.library.maintenance import LibraryMaintenance

RENEW_INTERVAL_S = 10.0
RETRY_INTERVAL_S = 5.0


class LeaderLock:
    """A named lock of the whole library. Not thread-safe."""

    def __init__(self, maintenance: LibraryMaintenance, name: str) -> None:
        self._maintenance = maintenance
        self._name = name
        self._owner = _new_owner()
        self._renew_at = 0.0
        self._is_held = False

    def acquire(self) -> bool:
        """Acquire or renew the lock; return whether this process holds it.

        Cheap enough to be called often: the database is asked every RENEW_INTERVAL_S, or while another process holds
        the lock, every RETRY_INTERVAL_S.

        Raises:
            Unavailable: the database does not answer.
        """
        if time.monotonic() >= self._renew_at:
            self._is_held = self._maintenance.acquire_lease(self._name, self._owner)
            self._renew_at = time.monotonic() + (RENEW_INTERVAL_S if self._is_held else RETRY_INTERVAL_S)
        return self._is_held

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._is_held:
            self._is_held = False
            # Without the database the lease simply expires.
            with contextlib.suppress(Unavailable):
                self._maintenance.release_lease(self._name, self._owner)


class FolderLocks:
    """The locks of one task, scanning or hashing, on the folders of this machine. Not thread-safe."""

    def __init__(self, maintenance: LibraryMaintenance, task: str, folders: Sequence[str]) -> None:
        self._maintenance = maintenance
        self._task = task
        self._folders = tuple(folders)
        self._owner = _new_owner()
        self._renew_at = 0.0
        self._held: tuple[str, ...] = ()

    def acquire(self) -> tuple[str, ...]:
        """Acquire or renew the locks; return the folders whose lock this process holds.

        As cheap as ``LeaderLock.acquire``.

        Raises:
            Unavailable: the database does not answer.
        """
        if time.monotonic() >= self._renew_at:
            self._held = tuple(self._maintenance.acquire_folders(self._task, self._folders, self._owner))
            has_all = len(self._held) == len(self._folders)
            self._renew_at = time.monotonic() + (RENEW_INTERVAL_S if has_all else RETRY_INTERVAL_S)
        return self._held

    def acquire_all(self) -> bool:
        """Acquire or renew the locks; return whether this process holds those of all folders."""
        return len(self.acquire()) == len(self._folders)

    def release(self) -> None:
        """Release the locks that are held."""
        if self._held:
            held, self._held, self._renew_at = self._held, (), 0.0
            # Without the database the leases simply expire.
            with contextlib.suppress(Unavailable):
                self._maintenance.release_folders(self._task, held, self._owner)


def _new_owner() -> str:
    return f"{machine_name()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"


def machine_name() -> str:
    """Return the name under which this machine is known to the library."""
    return socket.gethostname()[:64]
