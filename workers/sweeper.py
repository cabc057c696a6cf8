"""Owns the healing of what a crash leaves behind: lapsed leases, jobs without a message, jobs that wait too long.

Run by the ``clock`` process; safe to run twice, since each step is one of the fenced scripts of ``stores.jobs``.
"""

import threading

import structlog

from schemas.errors import Gone, NotFound, Unavailable, WaitedTooLong
from schemas.lifecycle import JobState
from stores import Stores

TICK_S = 0.25
SLOW_TICK_S = 1.0
STRANDED_AFTER_MS = 30_000
TRIM_EVERY_S = 300.0

log = structlog.get_logger(__name__)


class Sweeper:
    """The sweeps of one Redis."""

    def __init__(self, stores: Stores) -> None:
        """Nothing is swept yet."""
        self._stores = stores
        self._jobs = stores.jobs
        self._clock = stores.clock

    def run(self, stopped: threading.Event) -> None:
        """Sweep until ``stopped`` is set."""
        ticks = 0
        while not stopped.wait(TICK_S):
            try:
                self.send_due()
                if ticks % round(SLOW_TICK_S / TICK_S) == 0:
                    self.sweep()
                if ticks % round(TRIM_EVERY_S / TICK_S) == 0:
                    self.trim()
            except Unavailable as error:
                log.warning("sweep.failed", error=error.message)
            ticks += 1

    def sweep(self) -> None:
        """Every sweep that belongs to a second."""
        self.take_back()
        self.expire()
        self.resend_stranded()

    def send_due(self) -> None:
        """Send the messages that are due: retries, lapsed jobs, jobs whose submission was cut short."""
        for job_id in self._jobs.due():
            if not self._is_offered(job_id):
                self._stores.queue.generate(job_id)
            self._jobs.has_message(job_id)

    def _is_offered(self, job_id: str) -> bool:
        """Whether a job that nobody has taken yet has its message; one that was taken and given back needs another."""
        try:
            return self._jobs.get(job_id).attempt == 0 and self._stores.queue.offers(job_id)
        except (NotFound, Gone):
            return True

    def take_back(self) -> None:
        """Take jobs back from leases that are over and from workers that are dead."""
        for job_id in self._jobs.lapsed():
            if self._jobs.lapse(job_id):
                log.warning("job.lapsed", job_id=job_id)
        for job_id in self._jobs.running():
            owner = self._jobs.lease_owner(job_id)
            if owner and self._stores.fleet.is_dead(owner) and self._jobs.lapse(job_id, owner):
                log.warning("job.lapsed", job_id=job_id, worker=owner)

    def expire(self) -> None:
        """End the jobs that have waited longer than MAX_WAIT_S."""
        limit_s = self._stores.settings.max_wait_s
        for job_id in self._jobs.accepted_before(self._clock.now_ms() - limit_s * 1000):
            if self._state(job_id) is JobState.QUEUED:
                self._jobs.expire(job_id, WaitedTooLong(f"It waited longer than {limit_s} s for a worker."))

    def resend_stranded(self) -> None:
        """Send again what waits although the queue is empty: a message that was fetched and lost on its way."""
        if self._stores.queue.depth():
            return
        for job_id in self._jobs.accepted_before(self._clock.now_ms() - STRANDED_AFTER_MS):
            if self._state(job_id) is JobState.QUEUED and self._jobs.is_silent(job_id, STRANDED_AFTER_MS):
                self._stores.queue.generate(job_id)
                log.warning("job.resent", job_id=job_id)

    def trim(self) -> None:
        """Forget listings of jobs that have expired, and workers that are long dead."""
        settings = self._stores.settings
        kept_s = settings.max_wait_s + 4 * settings.job_deadline_s + settings.result_ttl_s
        self._jobs.trim_listing(self._clock.now_ms() - kept_s * 1000)
        self._stores.fleet.forget_dead()

    def _state(self, job_id: str) -> JobState | None:
        try:
            return self._jobs.get(job_id).state
        except (NotFound, Gone):
            self._jobs.forget(job_id)
            return None
