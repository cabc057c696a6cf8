"""The looking after the library: it is scanned at the beginning, when it changes, when asked and now and then."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from schemas.errors import Conflict, Forbidden, Invalid, NotFound, ServiceError, Unavailable
from stores import Stores
from stores.library.index.file_hashes import Unhashed
from stores.library.maintenance import HASHING, SCANNING, SWEEPING
from stores.library.scan_requests import Wanted
from workers.library.leader_lock import AWAY_S, Duty
from workers.library.media_gc import DAY_S, Known, sweep_orphans
from workers.library.scanner.hash_file import Changed, Pace, Stopped, digest
from workers.library.scanner.scan import Part, Progress, Scan
from workers.library.scanner.watch_folders import Watching

LOOK_S = 1.0
TELL_EVERY_S = 0.5
READY_S = 5.0
# How many files are looked up at once; a scan that finds others interrupts them.
HASH_BATCH = 100

log = structlog.get_logger(__name__)


class Librarian:
    """Looks after the folders of MODELS_DIR, and after the pictures that were given, until told to stop."""

    def __init__(self, stores: Stores, done: Callable[[Progress], None] = lambda _progress: None) -> None:
        """Nothing is scanned yet; ``done`` is told of every scan when it is ended."""
        self._stores = stores
        self._done = done
        self._roots = stores.settings.models_dir
        self._stopped = threading.Event()
        self._found = threading.Event()
        self._watching = Watching(self._roots)
        work = {SWEEPING: self._sweep}
        if self._roots:
            work |= {SCANNING: self._look_after, HASHING: self._hash}
        self._threads = [
            threading.Thread(target=self._serve, args=one, name=f"library {one[0]}") for one in work.items()
        ]
        if not self._roots:
            self._threads.append(threading.Thread(target=self._let_go, name="library reach"))

    def start(self) -> None:
        """Begin. The folders are looked after only if there are any."""
        for root in self._roots:
            if not root.is_dir():
                log.warning("library.root_away", root=str(root))
        if self._roots:
            self._watching.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; what is begun is ended at its next step, and taken up by whoever comes next."""
        self._stopped.set()
        self._found.set()
        for thread in self._threads:
            thread.join()
        self._watching.stop()

    def _serve(self, name: str, work: Callable[[Duty], None]) -> None:
        """Do the work whenever it is ours, across outages."""
        duty = Duty(self._stores.library.upkeep, name)
        while not self._stopped.is_set():
            try:
                if duty.held():
                    work(duty)
                    continue
            except Conflict:
                # Another has the duty now, or this process stops.
                log.info("library.left", duty=name)
            except (Unavailable, Invalid) as error:
                log.warning("library.away", duty=name, error=error.message)
            self._stopped.wait(AWAY_S)
        duty.give_back()

    def _let_go(self) -> None:
        """Without folders nothing is within reach: written down once, unless somebody who has some looks after them."""
        duty = Duty(self._stores.library.upkeep, SCANNING)
        while not self._stopped.is_set():
            try:
                if duty.held():
                    self._stores.library.recording.forget_roots([])
                break
            except Unavailable as error:
                log.warning("library.away", duty=SCANNING, error=error.message)
            self._stopped.wait(AWAY_S)
        duty.give_back()

    def _goes_on(self, duty: Duty) -> bool:
        return not self._stopped.is_set() and duty.held()

    # Scanning

    def _look_after(self, duty: Duty) -> None:
        self._stores.library.recording.forget_roots([str(root) for root in self._roots])
        self._watching.wait_until_ready(READY_S)
        self._scan(duty, ["boot"], self._all())
        whole_at = time.monotonic() + self._stores.settings.rescan_every_s
        while self._goes_on(duty):
            wanted = self._wanted()
            if wanted:
                self._scan_for(duty, wanted)
            elif changed := self._watching.take():
                self._scan(duty, ["change"], changed)
            elif time.monotonic() >= whole_at:
                self._scan(duty, ["periodic"], self._all())
                whole_at = time.monotonic() + self._stores.settings.rescan_every_s

    def _wanted(self) -> list[Wanted]:
        """What is asked for within a while; without Redis nobody can ask."""
        try:
            return self._stores.scans.take(LOOK_S)
        except Unavailable:
            self._stopped.wait(LOOK_S)
            return []

    def _scan_for(self, duty: Duty, wanted: Sequence[Wanted]) -> None:
        """One scan for all who ask; if it is not ended here, it is whoever comes next that they ask."""
        self._watching.take()
        try:
            self._scan(duty, [one.id for one in wanted], self._all(full=any(one.full for one in wanted)))
        except (Conflict, Unavailable):
            with contextlib.suppress(Unavailable):
                self._stores.scans.give_back(wanted)
            raise

    def _all(self, *, full: bool = False) -> list[Part]:
        return [Part(root, full=full) for root in self._roots]

    def _scan(self, duty: Duty, idents: Sequence[str], parts: Iterable[Part]) -> None:
        told_at = 0.0

        def tell(progress: Progress) -> None:
            nonlocal told_at
            done = progress.phase == "done"
            if done or time.monotonic() - told_at >= TELL_EVERY_S:
                told_at = time.monotonic()
                with contextlib.suppress(Unavailable):
                    for ident in idents:
                        self._stores.scans.tell(
                            {"id": ident, "state": "done" if done else "running", **progress.view()}
                        )

        done = Scan(self._stores.library.recording, self._roots, tell, lambda: self._goes_on(duty)).run(parts)
        log.info("library.scanned", scan=idents[-1], **done.view())
        self._done(done)
        self._found.set()

    # Hashing

    def _hash(self, duty: Duty) -> None:
        pace = Pace(self._stores.settings.hash_rate_mb_s, self._stopped.wait)
        roots = [str(root) for root in self._roots]
        last: Unhashed | None = None
        while self._goes_on(duty):
            if self._found.is_set():
                # A scan has looked at all of them again, also at those that could not be read.
                self._found.clear()
                last = None
            waiting = self._stores.library.hashing.waiting(roots, HASH_BATCH, last)
            for one in waiting:
                if not self._goes_on(duty) or self._found.is_set():
                    break
                last = one
                self._settle(one, pace, lambda: self._goes_on(duty))
            if not waiting:
                self._found.wait(AWAY_S)

    def _settle(self, waiting: Unhashed, pace: Pace, go_on: Callable[[], bool]) -> None:
        """Hash one file. One that changes or goes away meanwhile is found by the next scan."""
        try:
            read = digest(waiting, self._roots, pace, go_on)
        except (Changed, Stopped):
            return
        except (NotFound, Forbidden, Unavailable, OSError) as error:
            words = error.message if isinstance(error, ServiceError) else str(error)
            log.info("library.not_hashed", file=waiting.id, error=words)
            return
        self._stores.library.hashing.settle(waiting, read.content, read.found)

    # Sweeping

    def _sweep(self, duty: Duty) -> None:
        """Once at the beginning, and daily."""
        while self._goes_on(duty):
            known = Known(self._stores.library.pictures.media_keys)
            sweep_orphans(self._stores.media, known, now_ms=self._stores.clock.now_ms())
            next_at = time.monotonic() + DAY_S
            while time.monotonic() < next_at and self._goes_on(duty):
                self._stopped.wait(AWAY_S)
