"""The healing of what a crash leaves behind: lapsed leases, missing tickets, jobs that wait too long."""

import threading
import time
from collections.abc import Callable

import structlog

from schemas.errors import Gone, NotFound, QueueWaitExceeded, Unavailable
from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from stores import Stores
from workers.clock.canaries import CanaryScheduler

TICK_S = 0.25
SWEEP_INTERVAL_S = 1.0
HEARTBEAT_GRACE_S = 3.0
LEASE_GRACE_S = 12.0
MAX_SWEEP_GAP_MS = 4_000
PURGE_INTERVAL_S = 300.0

log = structlog.get_logger(__name__)


class Sweeper:
    """The sweeps of one Redis."""

    def __init__(self, stores: Stores, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Nothing is swept yet; ``tick`` counts seconds."""
        self._stores = stores
        self._maintenance = stores.maintenance
        self._clock = stores.clock
        self._monotonic = monotonic
        self._grace_until = {"hearts": 0.0, "leases": 0.0}
        self._last_sweep_ms = self._clock.now_ms()
        self._open_circuits: set[str] = set()
        self._canaries = CanaryScheduler(stores)

    def run(self, stop_event: threading.Event) -> None:
        """Sweep until ``stopped`` is set."""
        ticks = 0
        while not stop_event.wait(TICK_S):
            try:
                self._stores.wakeups.top_up()
                if ticks % round(SWEEP_INTERVAL_S / TICK_S) == 0:
                    self.sweep()
                    self.drain_stale_outbox()
                if ticks % round(PURGE_INTERVAL_S / TICK_S) == 0:
                    self.purge()
            except Unavailable as error:
                self.reset_grace_periods()
                log.warning("sweep.failed", error=error.message)
            ticks += 1

    def reset_grace_periods(self) -> None:
        """Redis was away, or this machine slept: let hearts beat and leases be renewed before judging by them."""
        now_s = self._monotonic()
        self._grace_until = {"hearts": now_s + HEARTBEAT_GRACE_S, "leases": now_s + LEASE_GRACE_S}

    def sweep(self) -> None:
        """Every sweep that belongs to a second."""
        now_ms = self._clock.now_ms()
        if now_ms - self._last_sweep_ms > MAX_SWEEP_GAP_MS:
            self.reset_grace_periods()
        self._last_sweep_ms = now_ms
        self.requeue_lost()
        self.expire_overdue()
        self.log_circuit_changes()
        self._canaries.update_all()
        self._maintenance.publish_capacity(
            sum(worker.slots for worker in self._stores.workers.list_alive() if worker.ready)
        )

    def requeue_lost(self) -> None:
        """Take jobs back from leases that are over and from workers that are dead; somebody claims them at once."""
        now_s = self._monotonic()
        lapsed: list[str] = []
        if now_s >= self._grace_until["leases"]:
            lapsed += [
                job_id
                for job_id in self._maintenance.list_expired_leases()
                if self._maintenance.requeue_expired(job_id)
            ]
        if now_s >= self._grace_until["hearts"]:
            lapsed += [job_id for job_id in self._maintenance.list_running() if self._requeue_if_orphaned(job_id)]
        for job_id in lapsed:
            log.warning("job.lapsed", job_id=job_id)
        if lapsed:
            self._stores.wakeups.top_up()

    def _requeue_if_orphaned(self, job_id: str) -> bool:
        """Whether the job's worker was dead, and the job has been taken back from it."""
        owner = self._maintenance.get_lease_owner(job_id)
        return (
            owner is not None
            and self._stores.workers.is_dead(owner)
            and self._maintenance.requeue_expired(job_id, owner)
        )

    def expire_overdue(self) -> None:
        """End the jobs that have waited longer than MAX_WAIT_S since they were accepted or given back."""
        limit_s = self._stores.settings.max_wait_s
        latest = self._clock.now_ms() - limit_s * 1000
        for job_id in self._maintenance.list_open_before(latest):
            job = self._find_job(job_id)
            if job and job.state is JobState.QUEUED and job.queued_at <= latest:
                self._maintenance.fail_queued(
                    job_id, QueueWaitExceeded(f"It waited longer than {limit_s} s for a worker.")
                )

    def log_circuit_changes(self) -> None:
        """Say in the log which circuits have opened or closed."""
        circuits = self._stores.circuit_breakers.read([recipe.name for recipe in self._stores.recipes.list_all()])
        now_open = {site for site, circuit in circuits.items() if circuit.is_open}
        for site in now_open - self._open_circuits:
            log.error("circuit.opened", site=site, code=circuits[site].code)
        for site in self._open_circuits - now_open:
            log.info("circuit.closed", site=site)
        self._open_circuits = now_open

    def drain_stale_outbox(self) -> None:
        """Write down what no courier has; without the database everything else goes on."""
        if self._stores.outbox.has_stale_entries():
            try:
                self._stores.outbox.drain()
            except Unavailable as error:
                log.warning("outbox.away", error=error.message)

    def purge(self) -> None:
        """Forget listings of jobs that have expired, and workers that are long dead."""
        settings = self._stores.settings
        kept_s = settings.max_wait_s + 4 * settings.job_deadline_s + settings.result_ttl_s
        self._maintenance.trim_job_lists(self._clock.now_ms() - kept_s * 1000)
        self._stores.workers.purge_dead()
        try:
            self._stores.deliveries.purge()
            # Should Redis have lost it.
            self._stores.subscriptions.sync_event_filter()
        except Unavailable as error:
            log.warning("trim.away", error=error.message)

    def _find_job(self, job_id: str) -> Job | None:
        try:
            return self._stores.jobs.get(job_id)
        except (NotFound, Gone):
            self._maintenance.remove_orphan(job_id)
            return None
