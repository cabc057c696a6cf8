"""Owns the looking after the library: it is scanned at the beginning, when it changes, when asked and now and then.

Run by every courier, on threads of its own; of all couriers one has the duty.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable

import structlog

from schemas.errors import Conflict, Forbidden, Invalid, NotFound, ServiceError, Unavailable
from stores import Stores
from stores.library.hashing import Unhashed
from stores.library.upkeep import HASHING, SCANNING
from workers.library.hashing import Changed, Pace, Stopped, digest
from workers.library.scanning import Part, Progress, Scan
from workers.library.watching import Watching

RENEW_S = 10.0
LOOK_S = 1.0
AWAY_S = 5.0
TELL_EVERY_S = 0.5

log = structlog.get_logger(__name__)


class Duty:
    """One of the library's duties: held for as long as it is renewed, by one process of all."""

    def __init__(self, stores: Stores, name: str) -> None:
        """Nobody is asked yet."""
        self._upkeep = stores.library.upkeep
        self._name = name
        self._owner = f"{socket.gethostname()}-{os.getpid()}"[-80:]
        self._renew_at = 0.0
        self._held = False

    def held(self) -> bool:
        """Whether this process has it; asked of the database now and then."""
        if time.monotonic() >= self._renew_at:
            self._held = self._upkeep.take(self._name, self._owner)
            self._renew_at = time.monotonic() + (RENEW_S if self._held else AWAY_S)
        return self._held

    def give_back(self) -> None:
        """Let another have it."""
        if self._held:
            with contextlib.suppress(Unavailable):
                self._upkeep.give_back(self._name, self._owner)


class Librarian:
    """Looks after the folders of MODELS_DIR until told to stop."""

    def __init__(self, stores: Stores) -> None:
        """Nothing is scanned yet."""
        self._stores = stores
        self._roots = stores.settings.models_dir
        self._stopped = threading.Event()
        self._found = threading.Event()
        self._watching = Watching(self._roots)
        self._threads = [
            threading.Thread(target=lambda: self._serve(SCANNING, self._look_after), name="librarian"),
            threading.Thread(target=lambda: self._serve(HASHING, self._hash), name="hashing"),
        ]

    def start(self) -> None:
        """Begin, if there is a library."""
        if self._roots:
            self._watching.start()
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """End; what is begun is ended at its next step, and taken up by whoever comes next."""
        self._stopped.set()
        self._found.set()
        if self._roots:
            for thread in self._threads:
                thread.join()
            self._watching.stop()

    def _serve(self, name: str, work: Callable[[Duty], None]) -> None:
        """Do the work whenever it is ours, across outages."""
        duty = Duty(self._stores, name)
        while not self._stopped.is_set():
            try:
                if duty.held():
                    work(duty)
                    continue
            except (Unavailable, Conflict, Invalid) as error:
                log.warning("library.away", duty=name, error=error.message)
            self._stopped.wait(AWAY_S)
        duty.give_back()

    # Scanning

    def _look_after(self, duty: Duty) -> None:
        self._stores.library.recording.forget_roots([str(root) for root in self._roots])
        self._scan(duty, "boot", self._all())
        whole_at = time.monotonic() + self._stores.settings.rescan_every_s
        while duty.held() and not self._stopped.is_set():
            wanted = self._stores.scans.take(LOOK_S)
            if wanted:
                self._watching.take()
                self._scan(duty, wanted[-1].id, self._all(full=any(one.full for one in wanted)))
            elif changed := self._watching.take():
                self._scan(duty, "change", changed)
            elif time.monotonic() >= whole_at:
                self._scan(duty, "periodic", self._all())
                whole_at = time.monotonic() + self._stores.settings.rescan_every_s

    def _all(self, *, full: bool = False) -> list[Part]:
        return [Part(root, full=full) for root in self._roots]

    def _scan(self, duty: Duty, ident: str, parts: Iterable[Part]) -> None:
        told_at = 0.0

        def tell(progress: Progress) -> None:
            nonlocal told_at
            if time.monotonic() - told_at >= TELL_EVERY_S or progress.phase == "done":
                told_at = time.monotonic()
                state = "done" if progress.phase == "done" else "running"
                self._stores.scans.tell({"id": ident, "state": state, **progress.view()})

        def go_on() -> bool:
            return duty.held() and not self._stopped.is_set()

        done = Scan(self._stores.library.recording, self._roots, tell, go_on).run(parts)
        log.info("library.scanned", scan=ident, **done.view())
        self._found.set()

    # Hashing

    def _hash(self, duty: Duty) -> None:
        pace = Pace(self._stores.settings.hash_rate_mb_s, self._stopped.wait)
        skipped: set[int] = set()
        while duty.held() and not self._stopped.is_set():
            roots = [str(root) for root in self._roots]
            waiting = self._stores.library.hashing.waiting(roots, 1, skipped)
            if not waiting:
                self._found.wait(AWAY_S)
                if self._found.is_set():
                    # A scan has looked at all of them again.
                    self._found.clear()
                    skipped.clear()
            elif not self._settle(waiting[0], pace, lambda: duty.held() and not self._stopped.is_set()):
                skipped.add(waiting[0].id)

    def _settle(self, waiting: Unhashed, pace: Pace, go_on: Callable[[], bool]) -> bool:
        """Hash one file; whether that is done. One that changes or goes away is found by the next scan."""
        try:
            read = digest(waiting, self._roots, pace, go_on)
        except (Changed, Stopped):
            return False
        except (NotFound, Forbidden, Unavailable, OSError) as error:
            words = error.message if isinstance(error, ServiceError) else str(error)
            log.info("library.not_hashed", file=waiting.id, error=words)
            return False
        return self._stores.library.hashing.settle(waiting, read.content, read.found)
