"""The library indexer: scans, hashes and garbage-collects, each on a thread of the process that holds its lock.

A scan runs at the start, after changes on disk, on request and every RESCAN_EVERY_S. Hashing runs behind it, at most
HASH_RATE_MB_S fast. Any number of background processes may run an indexer: leader locks elect one for each task, and
another takes over when it stops or dies. Redis carries only requests and progress; without it indexing goes on.
"""

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
from workers.library.leader_lock import RETRY_INTERVAL_S, LeaderLock, machine_name
from workers.library.media_gc import DAY_S, ReferencedKeys, delete_orphans
from workers.library.scanner.hash_file import ByteRateLimiter, FileChangedError, HashingStoppedError, hash_file
from workers.library.scanner.scan import Scan, ScanProgress, ScanScope
from workers.library.scanner.watch_folders import FolderWatcher

REQUEST_POLL_S = 1.0
PROGRESS_INTERVAL_S = 0.5
WATCH_READY_TIMEOUT_S = 5.0
HASH_BATCH = 100
# Much shorter than the time after which the library forgets a machine.
RECORD_INTERVAL_S = 6 * 3600.0

log = structlog.get_logger(__name__)


class LibraryIndexer:
    """Indexes the folders of MODELS_DIR and cleans the media store, on background threads."""

    def __init__(self, stores: Stores, on_scan_done: Callable[[ScanProgress], None] = lambda _progress: None) -> None:
        """``on_scan_done`` is called on the scanning thread after each scan."""
        self._stores = stores
        self._on_scan_done = on_scan_done
        # Without MODELS_DIR the library keeps its folders; see ``stores.library.index.roots``.
        self._roots = stores.settings.models_dir
        self._record_at = 0.0
        self._stop_event = threading.Event()
        self._scan_finished = threading.Event()
        self._watcher = FolderWatcher(self._roots)
        tasks = {SWEEPING: self._gc_loop}
        if self._roots:
            tasks |= {SCANNING: self._scan_loop, HASHING: self._hash_loop}
        self._threads = [
            threading.Thread(target=self._run_as_leader, args=task, name=f"library {task[0]}") for task in tasks.items()
        ]

    def start(self) -> None:
        """Start the threads; without MODELS_DIR only garbage collection."""
        for root in self._roots:
            if not root.is_dir():
                log.warning("library.root_missing", root=str(root))
        if self._roots:
            self._watcher.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop after the current file and wait for the threads. Another process continues the work."""
        self._stop_event.set()
        # Ends the wait of the hashing thread.
        self._scan_finished.set()
        for thread in self._threads:
            thread.join()
        self._watcher.stop()

    def _run_as_leader(self, name: str, task: Callable[[LeaderLock], None]) -> None:
        """Run a task whenever this process holds the lock of this name, across outages."""
        lock = LeaderLock(self._stores.library.maintenance, name)
        while not self._stop_event.is_set():
            try:
                if name == SCANNING:
                    self._record_roots()
                if lock.acquire():
                    task(lock)
                    continue
            except Conflict:
                # This process stops, or another one holds the lock now.
                log.info("library.interrupted", task=name)
            except (Unavailable, Invalid) as error:
                log.warning("library.unavailable", task=name, error=str(error))
            self._stop_event.wait(RETRY_INTERVAL_S)
        lock.release()

    def _may_continue(self, lock: LeaderLock) -> bool:
        return not self._stop_event.is_set() and lock.acquire()

    # Scanning

    def _scan_loop(self, lock: LeaderLock) -> None:
        self._watcher.wait_until_ready(WATCH_READY_TIMEOUT_S)
        self._scan(lock, ["boot"], self._all_roots())
        rescan_at = time.monotonic() + self._stores.settings.rescan_every_s
        while self._may_continue(lock):
            self._record_roots()
            requests = self._take_requests()
            if requests:
                self._scan_requested(lock, requests)
            elif changed := self._watcher.take_changes():
                self._scan(lock, ["change"], changed)
            elif time.monotonic() >= rescan_at:
                self._scan(lock, ["periodic"], self._all_roots())
                rescan_at = time.monotonic() + self._stores.settings.rescan_every_s

    def _record_roots(self) -> None:
        """Record the folders of this machine, which need not be the one that scans, and renew the record."""
        if time.monotonic() >= self._record_at:
            self._stores.library.roots.record(machine_name(), [str(root) for root in self._roots])
            self._record_at = time.monotonic() + RECORD_INTERVAL_S

    def _take_requests(self) -> list[ScanRequest]:
        """Wait up to REQUEST_POLL_S for requests."""
        try:
            return self._stores.scan_requests.claim(REQUEST_POLL_S)
        except Unavailable:
            self._stop_event.wait(REQUEST_POLL_S)
            return []

    def _scan_requested(self, lock: LeaderLock, requests: Sequence[ScanRequest]) -> None:
        """Answer all requests by one scan. If it is interrupted, the requests go back for the next process."""
        self._watcher.take_changes()
        try:
            is_full = any(request.full for request in requests)
            self._scan(lock, [request.id for request in requests], self._all_roots(full=is_full))
        except (Conflict, Unavailable):
            with contextlib.suppress(Unavailable):
                self._stores.scan_requests.requeue(requests)
            raise

    def _all_roots(self, *, full: bool = False) -> list[ScanScope]:
        return [ScanScope(root, full=full) for root in self._roots]

    def _scan(self, lock: LeaderLock, scan_ids: Sequence[str], scopes: Iterable[ScanScope]) -> None:
        """Run a scan and publish its progress under each of the ids."""
        published_at = 0.0

        def publish(progress: ScanProgress) -> None:
            nonlocal published_at
            is_done = progress.phase == "done"
            if is_done or time.monotonic() - published_at >= PROGRESS_INTERVAL_S:
                published_at = time.monotonic()
                state = "done" if is_done else "running"
                with contextlib.suppress(Unavailable):
                    for scan_id in scan_ids:
                        self._stores.scan_requests.publish({"id": scan_id, "state": state, **progress.to_json()})

        scan = Scan(self._stores.library.scan_writer, self._roots, publish, lambda: self._may_continue(lock))
        progress = scan.run(scopes)
        log.info("library.scanned", scan=scan_ids[-1], **progress.to_json())
        self._on_scan_done(progress)
        self._scan_finished.set()

    # Hashing

    def _hash_loop(self, lock: LeaderLock) -> None:
        rate_limiter = ByteRateLimiter(self._stores.settings.hash_rate_mb_s, self._stop_event.wait)
        roots = [str(root) for root in self._roots]
        last: PendingFile | None = None
        while self._may_continue(lock):
            if self._scan_finished.is_set():
                # Start again from the first pending file: the scan may have found others, and unreadable files may
                # be readable now.
                self._scan_finished.clear()
                last = None
            batch = self._stores.library.file_hashes.list_pending(roots, HASH_BATCH, last)
            for pending in batch:
                if not self._may_continue(lock) or self._scan_finished.is_set():
                    break
                last = pending
                self._hash_file(pending, rate_limiter, lambda: self._may_continue(lock))
            if not batch:
                self._scan_finished.wait(RETRY_INTERVAL_S)

    def _hash_file(self, pending: PendingFile, rate_limiter: ByteRateLimiter, may_continue: Callable[[], bool]) -> None:
        """Hash one file. A file that has changed or vanished is left to the next scan."""
        try:
            result = hash_file(pending, self._roots, rate_limiter, may_continue)
        except (FileChangedError, HashingStoppedError):
            return
        except (NotFound, Forbidden, Unavailable, OSError) as error:
            message = error.message if isinstance(error, ServiceError) else str(error)
            log.info("library.not_hashed", file=pending.id, error=message)
            return
        self._stores.library.file_hashes.record(pending, result.content, result.hashes)

    # Garbage collection

    def _gc_loop(self, lock: LeaderLock) -> None:
        """Collect garbage at the start and then daily."""
        while self._may_continue(lock):
            referenced = ReferencedKeys(self._stores.library.images.list_media_keys)
            delete_orphans(self._stores.media, referenced, now_ms=self._stores.clock.now_ms())
            next_at = time.monotonic() + DAY_S
            while time.monotonic() < next_at and self._may_continue(lock):
                self._stop_event.wait(RETRY_INTERVAL_S)
