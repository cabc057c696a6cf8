"""The holding of one of the library's duties: by one process of all, for as long as it is renewed."""

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
    """A duty that is wanted: looking after the folders, hashing, sweeping."""

    def __init__(self, maintenance: LibraryMaintenance, name: str) -> None:
        """Nobody is asked yet."""
        self._maintenance = maintenance
        self._name = name
        self._owner = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._renew_at = 0.0
        self._is_held = False

    def acquire(self) -> bool:
        """Whether this process has it; asked of the database now and then.

        Raises:
            Unavailable: the database does not answer.
        """
        if time.monotonic() >= self._renew_at:
            self._is_held = self._maintenance.acquire_lease(self._name, self._owner)
            self._renew_at = time.monotonic() + (RENEW_INTERVAL_S if self._is_held else RETRY_INTERVAL_S)
        return self._is_held

    def release(self) -> None:
        """Let another have it."""
        if self._is_held:
            self._is_held = False
            with contextlib.suppress(Unavailable):
                self._maintenance.release_lease(self._name, self._owner)
