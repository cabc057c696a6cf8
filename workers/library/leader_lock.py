"""The holding of one of the library's duties: by one process of all, for as long as it is renewed."""

import contextlib
import os
import secrets
import socket
import time

from schemas.errors import Unavailable
from stores.library.maintenance import Upkeep

RENEW_S = 10.0
AWAY_S = 5.0


class Duty:
    """A duty that is wanted: looking after the folders, hashing, sweeping."""

    def __init__(self, upkeep: Upkeep, name: str) -> None:
        """Nobody is asked yet."""
        self._upkeep = upkeep
        self._name = name
        self._owner = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._ask_at = 0.0
        self._held = False

    def held(self) -> bool:
        """Whether this process has it; asked of the database now and then.

        Raises:
            Unavailable: the database does not answer.
        """
        if time.monotonic() >= self._ask_at:
            self._held = self._upkeep.take(self._name, self._owner)
            self._ask_at = time.monotonic() + (RENEW_S if self._held else AWAY_S)
        return self._held

    def give_back(self) -> None:
        """Let another have it."""
        if self._held:
            self._held = False
            with contextlib.suppress(Unavailable):
                self._upkeep.give_back(self._name, self._owner)
