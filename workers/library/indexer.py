"""The looking after the library: it is scanned at the beginning, when it changes, when asked and now and then."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from schemas.errors import Conflict, Forbidden, Invalid, NotFound, ServiceError, Unavailable
from stores import Stores
from stores.library.index.file_hashes import PendingFile
from stores.library.maintenance import HASHING, SCANNING, SWEEPING
from stores.library.scan_requests import ScanRequest
from workers.library.leader_lock import RETRY_INTERVAL_S, LeaderLock
from workers.library.media_gc import DAY_S, ReferencedKeys, delete_orphans
from workers.library.scanner.hash_file import ByteRateLimiter, FileChangedError, HashingStoppedError, hash_file
from workers.library.scanner.scan import Scan, ScanProgress, ScanScope
from workers.library.scanner.watch_folders import FolderWatcher

REQUEST_POLL_S = 1.0
PROGRESS_INTERVAL_S = 0.5
WATCH_READY_TIMEOUT_S = 5.0
# How many files are looked up at once; a scan that finds others interrupts them.
HASH_BATCH = 100

log = structlog.get_logger(__name__)


class LibraryIndexer:
    """Looks after the folders of MODELS_DIR, and after the pictures that were given, until told to stop."""

    def __init__(self, stores: Stores, on_scan_done: Callable[[ScanProgress], None] = lambda _progress: None) -> None:
        """Nothing is scanned yet; ``done`` is told of every scan when it is ended."""
        self._stores = stores
        self._on_scan_done = on_scan_done
        self._roots = stores.settings.models_dir
        self._stop_event = threading.Event()
        self._scan_finished = threading.Event()
        self._watcher = FolderWatcher(self._roots)
        work = {SWEEPING: self._gc_loop}
        if self._roots:
            work |= {SCANNING: self._scan_loop, HASHING: self._hash_loop}
        self._threads = [
            threading.Thread(target=self._run_as_leader, args=one, name=f"library {one[0]}") for one in work.items()
        ]
        if not self._roots:
            self._threads.append(threading.Thread(target=self._forget_roots, name="library reach"))

    def start(self) -> None:
        """Begin. The folders are looked after only if there are any."""
        for root in self._roots:
            if not root.is_dir():
                log.warning("library.root_away", root=str(root))
        if self._roots:
            self._watcher.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; what is begun is ended at its next step, and taken up by whoever comes next."""
        self._stop_event.set()
        self._scan_finished.set()
        for thread in self._threads:
            thread.join()
        self._watcher.stop()

    def _run_as_leader(self, name: str, work: Callable[[LeaderLock], None]) -> None:
        """Do the work whenever it is ours, across outages."""
        duty = LeaderLock(self._stores.library.maintenance, name)
        while not self._stop_event.is_set():
            try:
                if duty.acquire():
                    work(duty)
                    continue
            except Conflict:
                # Another has the duty now, or this process stops.
                log.info("library.left", duty=name)
            except (Unavailable, Invalid) as error:
                log.warning("library.away", duty=name, error=error.message)
            self._stop_event.wait(RETRY_INTERVAL_S)
        duty.release()

    def _forget_roots(self) -> None:
        """Without folders nothing is within reach: written down once, unless somebody who has some looks after them."""
        duty = LeaderLock(self._stores.library.maintenance, SCANNING)
        while not self._stop_event.is_set():
            try:
                if duty.acquire():
                    self._stores.library.scan_writer.drop_roots_except([])
                break
            except Unavailable as error:
                log.warning("library.away", duty=SCANNING, error=error.message)
            self._stop_event.wait(RETRY_INTERVAL_S)
        duty.release()

    def _may_continue(self, duty: LeaderLock) -> bool:
        return not self._stop_event.is_set() and duty.acquire()

    # Scanning

    def _scan_loop(self, duty: LeaderLock) -> None:
        self._stores.library.scan_writer.drop_roots_except([str(root) for root in self._roots])
        self._watcher.wait_until_ready(WATCH_READY_TIMEOUT_S)
        self._scan(duty, ["boot"], self._all_roots())
        whole_at = time.monotonic() + self._stores.settings.rescan_every_s
        while self._may_continue(duty):
            wanted = self._take_requests()
            if wanted:
                self._scan_requested(duty, wanted)
            elif changed := self._watcher.take_changes():
                self._scan(duty, ["change"], changed)
            elif time.monotonic() >= whole_at:
                self._scan(duty, ["periodic"], self._all_roots())
                whole_at = time.monotonic() + self._stores.settings.rescan_every_s

    def _take_requests(self) -> list[ScanRequest]:
        """What is asked for within a while; without Redis nobody can ask."""
        try:
            return self._stores.scan_requests.claim(REQUEST_POLL_S)
        except Unavailable:
            self._stop_event.wait(REQUEST_POLL_S)
            return []

    def _scan_requested(self, duty: LeaderLock, wanted: Sequence[ScanRequest]) -> None:
        """One scan for all who ask; if it is not ended here, it is whoever comes next that they ask."""
        self._watcher.take_changes()
        try:
            self._scan(duty, [one.id for one in wanted], self._all_roots(full=any(one.full for one in wanted)))
        except (Conflict, Unavailable):
            with contextlib.suppress(Unavailable):
                self._stores.scan_requests.requeue(wanted)
            raise

    def _all_roots(self, *, full: bool = False) -> list[ScanScope]:
        return [ScanScope(root, full=full) for root in self._roots]

    def _scan(self, duty: LeaderLock, scan_ids: Sequence[str], scopes: Iterable[ScanScope]) -> None:
        told_at = 0.0

        def tell(progress: ScanProgress) -> None:
            nonlocal told_at
            done = progress.phase == "done"
            if done or time.monotonic() - told_at >= PROGRESS_INTERVAL_S:
                told_at = time.monotonic()
                with contextlib.suppress(Unavailable):
                    for ident in scan_ids:
                        self._stores.scan_requests.publish(
                            {"id": ident, "state": "done" if done else "running", **progress.to_json()}
                        )

        done = Scan(self._stores.library.scan_writer, self._roots, tell, lambda: self._may_continue(duty)).run(scopes)
        log.info("library.scanned", scan=scan_ids[-1], **done.to_json())
        self._on_scan_done(done)
        self._scan_finished.set()

    # Hashing

    def _hash_loop(self, duty: LeaderLock) -> None:
        pace = ByteRateLimiter(self._stores.settings.hash_rate_mb_s, self._stop_event.wait)
        roots = [str(root) for root in self._roots]
        last: PendingFile | None = None
        while self._may_continue(duty):
            if self._scan_finished.is_set():
                # A scan has looked at all of them again, also at those that could not be read.
                self._scan_finished.clear()
                last = None
            waiting = self._stores.library.file_hashes.list_pending(roots, HASH_BATCH, last)
            for one in waiting:
                if not self._may_continue(duty) or self._scan_finished.is_set():
                    break
                last = one
                self._hash_file(one, pace, lambda: self._may_continue(duty))
            if not waiting:
                self._scan_finished.wait(RETRY_INTERVAL_S)

    def _hash_file(self, waiting: PendingFile, pace: ByteRateLimiter, go_on: Callable[[], bool]) -> None:
        """Hash one file. One that changes or goes away meanwhile is found by the next scan."""
        try:
            read = hash_file(waiting, self._roots, pace, go_on)
        except (FileChangedError, HashingStoppedError):
            return
        except (NotFound, Forbidden, Unavailable, OSError) as error:
            words = error.message if isinstance(error, ServiceError) else str(error)
            log.info("library.not_hashed", file=waiting.id, error=words)
            return
        self._stores.library.file_hashes.record(waiting, read.content, read.hashes)

    # Sweeping

    def _gc_loop(self, duty: LeaderLock) -> None:
        """Once at the beginning, and daily."""
        while self._may_continue(duty):
            known = ReferencedKeys(self._stores.library.images.list_media_keys)
            delete_orphans(self._stores.media, known, now_ms=self._stores.clock.now_ms())
            next_at = time.monotonic() + DAY_S
            while time.monotonic() < next_at and self._may_continue(duty):
                self._stop_event.wait(RETRY_INTERVAL_S)
