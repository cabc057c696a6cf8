"""The library indexer: scans, hashes and garbage-collects, each on a thread of the process that holds its lock.

A scan runs at the start, after changes on disk, on request and every RESCAN_EVERY_S. Hashing runs behind it, at most
HASH_RATE_MB_S fast. Any number of background processes may run an indexer: leader locks elect one for each folder and
task, and another takes over when it stops or dies. Redis carries only requests and progress; without it indexing goes
on.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog

from schemas.errors import Conflict, Forbidden, Invalid, NotFound, ServiceError, Unavailable
from stores import Stores
from stores.library.index.file_hashes import PendingFile
from stores.library.maintenance import HASHING, SCANNING, SWEEPING
from stores.library.scan_requests import ScanRequest
from workers.library.leader_lock import RETRY_INTERVAL_S, FolderLocks, LeaderLock, machine_name
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

# A folder is no longer waited for when its process has given no sign of life for that long: it may just restart.
GIVE_UP_SHARE_AFTER_MS = 120_000
RENEW_SHARES_INTERVAL_S = 10.0
Lock = TypeVar("Lock", LeaderLock, FolderLocks)

log = structlog.get_logger(__name__)


class LibraryIndexer:
    """Indexes the folders of MODELS_DIR and cleans the media store, on background threads."""

    def __init__(self, stores: Stores, on_scan_done: Callable[[ScanProgress], None] = lambda _progress: None) -> None:
        """``on_scan_done`` is called on the scanning thread after each scan."""
        self._stores = stores
        self._on_scan_done = on_scan_done
        # Without MODELS_DIR the library keeps its folders; see ``stores.library.index.roots``.
        self._roots = stores.settings.models_dir
        self._record_at = self._renew_shares_at = 0.0
        self._stop_event = threading.Event()
        self._scan_finished = threading.Event()
        self._watcher = FolderWatcher(self._roots)
        self._threads = [self._thread(SWEEPING, LeaderLock(stores.library.maintenance, SWEEPING), self._gc_loop)]
        if self._roots:
            for name, task in ((SCANNING, self._scan_loop), (HASHING, self._hash_loop)):
                locks = FolderLocks(stores.library.maintenance, name, [str(root) for root in self._roots])
                self._threads.append(self._thread(name, locks, task))

    def _thread(self, name: str, lock: Lock, task: Callable[[Lock], None]) -> threading.Thread:
        return threading.Thread(target=self._run_as_leader, args=(name, lock, task), name=f"library {name}")

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

    def _run_as_leader(self, name: str, lock: Lock, task: Callable[[Lock], None]) -> None:
        """Run a task whenever this process holds its lock, or some of them, across outages."""
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

    def _held(self, locks: FolderLocks) -> frozenset[str]:
        """Return the folders that this process may work on."""
        return frozenset() if self._stop_event.is_set() else frozenset(locks.acquire())

    # Scanning

    def _scan_loop(self, locks: FolderLocks) -> None:
        self._watcher.wait_until_ready(WATCH_READY_TIMEOUT_S)
        rescan_at = time.monotonic() + self._stores.settings.rescan_every_s
        scanned: frozenset[str] = frozenset()
        while held := self._held(locks):
            # Those of a process that has stopped are among them later.
            if held - scanned:
                self._scan(locks, ["boot"], self._scopes(held - scanned))
            scanned = held
            self._record_roots()
            if self._answer_requests(locks, held):
                continue
            if changed := [scope for scope in self._watcher.take_changes() if str(scope.root) in held]:
                self._scan(locks, ["change"], changed)
            elif time.monotonic() >= rescan_at:
                self._scan(locks, ["periodic"], self._scopes(held))
                rescan_at = time.monotonic() + self._stores.settings.rescan_every_s

    def _record_roots(self) -> None:
        """Record the folders of this machine, which need not be the one that scans, and renew the record."""
        if time.monotonic() >= self._record_at:
            self._stores.library.roots.record(machine_name(), [str(root) for root in self._roots])
            self._record_at = time.monotonic() + RECORD_INTERVAL_S

    def _answer_requests(self, locks: FolderLocks, held: frozenset[str]) -> bool:
        """Wait up to REQUEST_POLL_S for requests and answer all of them by one scan; return whether there were any.

        Others who scan get their share of each. If the scan is interrupted, the requests go back for the next process.
        """
        shared = self._take_shares(held)
        own = self._claim_requests()
        if not own and not shared:
            return False
        self._watcher.take_changes()
        try:
            if own and self._share(own, held):
                own, shared = [], [*shared, *own]
            scopes = self._scopes(held, full=any(request.full for request in (*own, *shared)))
            self._scan(locks, [request.id for request in own], scopes, [request.id for request in shared])
        except (Conflict, Unavailable):
            if own:
                with contextlib.suppress(Unavailable):
                    self._stores.scan_requests.requeue(own)
            raise
        return True

    def _claim_requests(self) -> list[ScanRequest]:
        try:
            return self._stores.scan_requests.claim(REQUEST_POLL_S)
        except Unavailable:
            self._stop_event.wait(REQUEST_POLL_S)
            return []

    def _share(self, requests: Sequence[ScanRequest], held: frozenset[str]) -> bool:
        """Have others scan their folders for some requests; return whether there are others."""
        roots = [root.path for root in self._stores.library.roots.list_all()]
        scanning = held.union(self._stores.library.maintenance.list_held(SCANNING, roots))
        if scanning == held:
            return False
        for request in requests:
            self._stores.scan_requests.share(request, scanning)
        return True

    def _take_shares(self, held: frozenset[str]) -> list[ScanRequest]:
        """Return the requests that wait for these folders; give up on folders whose process gives no sign of life.

        Leases do not tell: the process that holds one may use another Redis, and know nothing of the request.
        """
        taken, scans = [], self._stores.scan_requests
        with contextlib.suppress(Unavailable):
            for share in scans.list_shared():
                if not held.isdisjoint(share.waiting):
                    taken.append(share.request)
                    continue
                latest = self._stores.clock.now_ms() - GIVE_UP_SHARE_AFTER_MS
                if gone := frozenset(folder for folder, at in share.waiting.items() if at <= latest):
                    scans.finish_share(share.request.id, gone, ScanProgress(phase="done").to_json())
        return taken

    def _renew_shares(self, held: frozenset[str]) -> None:
        """Tell others every RENEW_SHARES_INTERVAL_S that these folders are being scanned, now or soon."""
        if time.monotonic() >= self._renew_shares_at:
            self._renew_shares_at = time.monotonic() + RENEW_SHARES_INTERVAL_S
            with contextlib.suppress(Unavailable):
                self._stores.scan_requests.renew_shares(held)

    def _scopes(self, folders: frozenset[str], *, full: bool = False) -> list[ScanScope]:
        return [ScanScope(root, full=full) for root in self._roots if str(root) in folders]

    def _scan(
        self, locks: FolderLocks, scan_ids: Sequence[str], scopes: Sequence[ScanScope], shared_ids: Sequence[str] = ()
    ) -> None:
        """Run a scan and publish its progress under each of the ids; others scan too for the shared ones."""
        published_at = 0.0
        folders = frozenset(str(scope.root) for scope in scopes)

        def publish(progress: ScanProgress) -> None:
            nonlocal published_at
            is_done = progress.phase == "done"
            if is_done or time.monotonic() - published_at >= PROGRESS_INTERVAL_S:
                published_at = time.monotonic()
                state = "done" if is_done else "running"
                with contextlib.suppress(Unavailable):
                    for scan_id in scan_ids:
                        self._stores.scan_requests.publish({"id": scan_id, "state": state, **progress.to_json()})
                    # They are done when the others are too.
                    for scan_id in () if is_done else shared_ids:
                        event = {"id": scan_id, "state": "running", **progress.to_json()}
                        self._stores.scan_requests.publish(event)

        def may_continue() -> bool:
            held = self._held(locks)
            self._renew_shares(held)
            return folders <= held

        scan = Scan(self._stores.library.scan_writer, self._roots, publish, may_continue)
        progress = scan.run(scopes)
        # A share that cannot be finished now stays, and its folders are scanned again.
        with contextlib.suppress(Unavailable):
            for scan_id in shared_ids:
                self._stores.scan_requests.finish_share(scan_id, folders, progress.to_json())
        log.info("library.scanned", scan=[*shared_ids, *scan_ids][-1], **progress.to_json())
        self._on_scan_done(progress)
        self._scan_finished.set()

    # Hashing

    def _hash_loop(self, locks: FolderLocks) -> None:
        rate_limiter = ByteRateLimiter(self._stores.settings.hash_rate_mb_s, self._stop_event.wait)
        last: PendingFile | None = None
        before: frozenset[str] = frozenset()
        while held := self._held(locks):
            if self._scan_finished.is_set() or held != before:
                # Start again from the first pending file: the scan may have found others, unreadable files may be
                # readable now, and those of a folder that has just been taken over may come before.
                before = held
                self._scan_finished.clear()
                last = None
            batch = self._stores.library.file_hashes.list_pending(sorted(held), HASH_BATCH, last)
            for pending in batch:
                if pending.root not in self._held(locks) or self._scan_finished.is_set():
                    break
                last = pending
                self._hash_file(pending, rate_limiter, partial(self._holds, locks, pending.root))
            if not batch:
                self._scan_finished.wait(RETRY_INTERVAL_S)

    def _holds(self, locks: FolderLocks, folder: str) -> bool:
        return folder in self._held(locks)

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
