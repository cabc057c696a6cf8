"""Leader election: one process holds each of the library's locks, by a lease in SQL that it renews.

The lease is in SQL and not in Redis, so that the library commands work without Redis.
"""

import contextlib
import os
import secrets
import socket
import time

from schemas.errors import Unavailable
from stores.library.maintenance import LibraryMaintenance

RENEW_INTERVAL_S = 10.0
RETRY_INTERVAL_S = 5.0


class LeaderLock:
    """A named lock: scanning, hashing or sweeping. Not thread-safe."""

    def __init__(self, maintenance: LibraryMaintenance, name: str) -> None:
        self._maintenance = maintenance
        self._name = name
        self._owner = f"{machine_name()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
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


def machine_name() -> str:
    """Return the name under which this machine is known to the library."""
    return socket.gethostname()[:64]
