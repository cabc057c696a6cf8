"""The healing of what a crash leaves behind: lapsed leases, missing tickets, jobs that wait too long."""

import threading
import time
from collections.abc import Callable

import structlog

from schemas.errors import Gone, NotFound, Unavailable, WaitedTooLong
from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from stores import Stores
from workers.clock.canaries import Canaries

TICK_S = 0.25
SLOW_TICK_S = 1.0
HEARTS_RESUME_S = 3.0
LEASES_RESUME_S = 12.0
GAP_MS = 4_000
TRIM_EVERY_S = 300.0

log = structlog.get_logger(__name__)


class Sweeper:
    """The sweeps of one Redis."""

    def __init__(self, stores: Stores, tick: Callable[[], float] = time.monotonic) -> None:
        """Nothing is swept yet; ``tick`` counts seconds."""
        self._stores = stores
        self._upkeep = stores.upkeep
        self._clock = stores.clock
        self._tick = tick
        self._believed_from = {"hearts": 0.0, "leases": 0.0}
        self._last_ms = self._clock.now_ms()
        self._open_circuits: set[str] = set()
        self._canaries = Canaries(stores)

    def run(self, stopped: threading.Event) -> None:
        """Sweep until ``stopped`` is set."""
        ticks = 0
        while not stopped.wait(TICK_S):
            try:
                self._stores.tickets.refill()
                if ticks % round(SLOW_TICK_S / TICK_S) == 0:
                    self.sweep()
                    self.deliver()
                if ticks % round(TRIM_EVERY_S / TICK_S) == 0:
                    self.trim()
            except Unavailable as error:
                self.nobody_was_heard()
                log.warning("sweep.failed", error=error.message)
            ticks += 1

    def nobody_was_heard(self) -> None:
        """Redis was away, or this machine slept: let hearts beat and leases be renewed before judging by them."""
        now_s = self._tick()
        self._believed_from = {"hearts": now_s + HEARTS_RESUME_S, "leases": now_s + LEASES_RESUME_S}

    def sweep(self) -> None:
        """Every sweep that belongs to a second."""
        now_ms = self._clock.now_ms()
        if now_ms - self._last_ms > GAP_MS:
            self.nobody_was_heard()
        self._last_ms = now_ms
        self.take_back()
        self.expire()
        self.watch_circuits()
        self._canaries.look_after()
        self._upkeep.know_slots(sum(worker.slots for worker in self._stores.fleet.alive() if worker.ready))

    def take_back(self) -> None:
        """Take jobs back from leases that are over and from workers that are dead; somebody claims them at once."""
        now_s = self._tick()
        lapsed: list[str] = []
        if now_s >= self._believed_from["leases"]:
            lapsed += [job_id for job_id in self._upkeep.lapsed() if self._upkeep.lapse(job_id)]
        if now_s >= self._believed_from["hearts"]:
            lapsed += [job_id for job_id in self._upkeep.running() if self._is_orphan(job_id)]
        for job_id in lapsed:
            log.warning("job.lapsed", job_id=job_id)
        if lapsed:
            self._stores.tickets.refill()

    def _is_orphan(self, job_id: str) -> bool:
        """Whether the job's worker was dead, and the job has been taken back from it."""
        owner = self._upkeep.lease_owner(job_id)
        return owner is not None and self._stores.fleet.is_dead(owner) and self._upkeep.lapse(job_id, owner)

    def expire(self) -> None:
        """End the jobs that have waited longer than MAX_WAIT_S since they were accepted or given back."""
        limit_s = self._stores.settings.max_wait_s
        latest = self._clock.now_ms() - limit_s * 1000
        for job_id in self._upkeep.accepted_before(latest):
            job = self._get(job_id)
            if job and job.state is JobState.QUEUED and job.queued_at <= latest:
                self._upkeep.expire(job_id, WaitedTooLong(f"It waited longer than {limit_s} s for a worker."))

    def watch_circuits(self) -> None:
        """Say in the log which circuits have opened or closed."""
        circuits = self._stores.circuits.read([recipe.name for recipe in self._stores.recipes.all()])
        now_open = {site for site, circuit in circuits.items() if circuit.open}
        for site in now_open - self._open_circuits:
            log.error("circuit.opened", site=site, code=circuits[site].code)
        for site in self._open_circuits - now_open:
            log.info("circuit.closed", site=site)
        self._open_circuits = now_open

    def deliver(self) -> None:
        """Write down what no courier has; without the database everything else goes on."""
        if self._stores.outbox.overdue():
            try:
                self._stores.outbox.empty()
            except Unavailable as error:
                log.warning("outbox.away", error=error.message)

    def trim(self) -> None:
        """Forget listings of jobs that have expired, and workers that are long dead."""
        settings = self._stores.settings
        kept_s = settings.max_wait_s + 4 * settings.job_deadline_s + settings.result_ttl_s
        self._upkeep.trim_listing(self._clock.now_ms() - kept_s * 1000)
        self._stores.fleet.forget_dead()
        try:
            self._stores.deliveries.trim()
            # Should Redis have lost it.
            self._stores.webhooks.publish()
        except Unavailable as error:
            log.warning("trim.away", error=error.message)

    def _get(self, job_id: str) -> Job | None:
        try:
            return self._stores.jobs.get(job_id)
        except (NotFound, Gone):
            self._upkeep.forget(job_id)
            return None
