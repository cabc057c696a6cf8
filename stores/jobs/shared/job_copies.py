"""Copies of jobs in the memory of a process, for reads that come many times a second.

A copy is served only if nothing has changed since it was read from Redis. The subscription to changes tells so, once
everything has arrived that was published before the call (``JobNotifier.catch_up``): what is served is never older than
what any other process has shown before. Without a subscription, and for unknown jobs, reads go to Redis.

Not every figure of an estimate has a message of its own, so the copy of an unfinished job is read again after
``MAX_AGE_S``.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ops.infra.clock import Clock
from schemas.jobs.job import Job, QueueEstimate
from stores.jobs.jobs import Jobs
from stores.redis.pubsub import JobNotifier

MAX_AGE_S = 1.0
CATCH_UP_TIMEOUT_S = 1.0
# A job is deleted at a time that only Redis' clock knows; ours is read from it and a little off.
EXPIRY_MARGIN_MS = 1_000
MAX_BYTES = 64 * 1024 * 1024
# Of a copy without its texts; and of the texts, which are kept decoded and in several responses, with escapes.
COPY_BYTES, BYTES_PER_CHARACTER = 6_000, 16


@dataclass(frozen=True, slots=True)
class JobCopy:
    """A job and its estimate, as Redis had them; ``responses`` caches responses made from them, by name."""

    job: Job
    estimate: QueueEstimate
    read_at: float
    entry_version: int
    queue_version: int
    subscription: int
    responses: dict[str, Any] = field(default_factory=dict)


class _Entry:
    """The copy of one job and its state; ``version`` counts its changes."""

    __slots__ = ("copy", "size", "version")

    def __init__(self) -> None:
        self.version = 0
        self.copy: JobCopy | None = None
        self.size = COPY_BYTES


class JobCopies:
    """The copies of one process; safe to share between threads."""

    def __init__(
        self,
        jobs: Jobs,
        notifier: JobNotifier,
        clock: Clock,
        *,
        max_bytes: int = MAX_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """The subscription begins with the first read. ``monotonic`` measures the age of copies, in seconds."""
        self._jobs = jobs
        self._notifier = notifier
        self._clock = clock
        self._max_bytes = max_bytes
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._is_observing = False
        self._is_live = False
        self._subscription = 0
        self._queue_version = 0

    def read(self, job_id: str) -> JobCopy:
        """Return the job as it is at some moment during this call.

        Raises:
            NotFound, Gone, Unavailable: as ``Jobs.get_with_estimate``.
        """
        entry = self._entries.get(job_id)
        if entry is not None and self._current_copy(entry) and self._notifier.catch_up(CATCH_UP_TIMEOUT_S):
            # Changes have arrived meanwhile, and perhaps a newer copy.
            copy = self._current_copy(entry)
            # If it was evicted or dropped meanwhile, it has missed changes.
            if copy is not None and self._touch(job_id, entry):
                return copy
        return self._read_from_redis(job_id)

    def _current_copy(self, entry: _Entry) -> JobCopy | None:
        copy = entry.copy
        if copy is None or copy.entry_version != entry.version or copy.subscription != self._subscription:
            return None
        if copy.job.state.is_final:
            expires_at = copy.job.expires_at or 0
            return copy if self._clock.now_ms() < expires_at - EXPIRY_MARGIN_MS else None
        is_young = self._monotonic() - copy.read_at < MAX_AGE_S
        return copy if is_young and copy.queue_version == self._queue_version else None

    def _read_from_redis(self, job_id: str) -> JobCopy:
        entry = self._get_entry(job_id)
        # Before the read: the result may lack a change that happens during it.
        versions = entry.version, self._queue_version, self._subscription
        is_live, read_at = self._is_live, self._monotonic()
        try:
            job, estimate = self._jobs.get_with_estimate(job_id)
        except BaseException:
            self._forget(job_id, entry)
            raise
        copy = JobCopy(job, estimate, read_at, *versions)
        if is_live:
            self._keep(job_id, entry, copy)
        return copy

    def _get_entry(self, job_id: str) -> _Entry:
        with self._lock:
            if not self._is_observing:
                self._is_observing = True
                self._notifier.observe(self)
            entry = self._entries.get(job_id)
            if entry is None:
                entry = self._entries[job_id] = _Entry()
                self._bytes += entry.size
                self._evict()
            else:
                self._entries.move_to_end(job_id)
            return entry

    def _touch(self, job_id: str, entry: _Entry) -> bool:
        """Make the entry the last to be evicted; return False if it is no longer there."""
        with self._lock:
            if self._entries.get(job_id) is not entry:
                return False
            self._entries.move_to_end(job_id)
            return True

    def _keep(self, job_id: str, entry: _Entry, copy: JobCopy) -> None:
        request = copy.job.request
        size = COPY_BYTES + BYTES_PER_CHARACTER * (len(request.prompt) + len(str(request.inputs)))
        with self._lock:
            # Evicted or dropped meanwhile: it receives no changes any more.
            if self._entries.get(job_id) is not entry:
                return
            self._bytes += size - entry.size
            entry.copy, entry.size = copy, size
            self._evict()

    def _evict(self) -> None:
        while self._bytes > self._max_bytes:
            self._bytes -= self._entries.popitem(last=False)[1].size

    def _forget(self, job_id: str, entry: _Entry) -> None:
        with self._lock:
            if self._entries.get(job_id) is entry:
                del self._entries[job_id]
                self._bytes -= entry.size

    # ChangeObserver

    def on_change(self, job_id: str, *, moves_queue: bool) -> None:
        """Make the copy of the job stale, and with ``moves_queue`` those of all unfinished jobs."""
        if moves_queue:
            self._queue_version += 1
        entry = self._entries.get(job_id)
        if entry is not None:
            entry.version += 1

    def on_live(self) -> None:
        """Keep copies from now on."""
        self._is_live = True

    def on_loss(self) -> None:
        """Drop all copies, also those that are being read."""
        self._is_live = False
        with self._lock:
            self._subscription += 1
            self._entries.clear()
            self._bytes = 0
