"""Periodic sweeps that repair what crashes leave behind: expired leases, dead workers, missing wakeups, stale outbox.

A worker or lease that is not renewed in time counts as dead. During an outage of Redis or a suspend of this machine no
process can renew anything, so heartbeats and leases get a grace period afterwards.
"""

import math
import threading
import time
from collections.abc import Callable

import structlog

from ops.processes.liveness_file import touch_liveness_file
from schemas.errors import QueueWaitExceeded, Unavailable
from schemas.messages import CHECK_UPLOAD
from stores import Stores
from stores.jobs.attempts import list_retention_s
from stores.jobs.metrics_history import SAMPLE_INTERVAL_S
from stores.sites.canaries import CANARY_OWNER
from workers.clock.canaries import CanaryScheduler
from workers.gallery.uploads import sweep_uploads

TICK_S = 0.25
SWEEP_INTERVAL_S = 1.0
HEARTBEAT_GRACE_S = 3.0
LEASE_GRACE_S = 12.0
MAX_SWEEP_GAP_MS = 4_000
PURGE_INTERVAL_S = 300.0
UPLOAD_SWEEP_INTERVAL_S = 60.0
LISTING_INTERVAL_MS = 3_600_000
STORAGE_STOP_TIMEOUT_S = 3.0

log = structlog.get_logger(__name__)


class BusyServers:
    """Which of several servers have unfinished jobs, as their sweepers say."""

    def __init__(self) -> None:
        self._busy: dict[int, bool] = {}

    def share(self, slots: int, sweeper: object, *, is_busy: bool) -> int:
        """Return the part of the slots that the jobs of a server can count on; at least one, if there is any."""
        self._busy[id(sweeper)] = is_busy
        others = sum(each for number, each in self._busy.items() if number != id(sweeper))
        return max(min(slots, 1), slots // (1 + others))


class Sweeper:
    """The sweeps of one Redis. One process runs them; a second one does no harm."""

    def __init__(
        self, of_server: Stores, monotonic: Callable[[], float] = time.monotonic, busy: BusyServers | None = None
    ) -> None:
        """``of_server`` are the stores of that Redis; ``busy`` is shared with the sweepers of other ones.

        ``monotonic`` returns seconds.
        """
        self._of_all = of_server
        self._stores = stores = of_server.plain
        self._busy = busy or BusyServers()
        self._maintenance = stores.maintenance
        self._clock = stores.clock
        self._monotonic = monotonic
        self._grace_until = {"heartbeats": 0.0, "leases": 0.0}
        self._last_sweep_ms = self._clock.now_ms()
        self._next_sample_ms = 0
        self._next_listing_ms = self._clock.now_ms() + LISTING_INTERVAL_MS
        self._open_circuits: set[str] = set()
        self._is_repaired = False
        self._are_limits_applied = False
        self._canaries = CanaryScheduler(stores)
        has_canaries = of_server.servers.of(CANARY_OWNER) is of_server
        self._update_canaries = self._canaries.update_all if has_canaries else lambda: None

    @property
    def _is_first(self) -> bool:
        """Whether this is the sweeper that does what is done once for all servers: the first one that gets answers."""
        return self._of_all.servers.first_that_answers() is self._of_all

    def run(self, stop_event: threading.Event) -> None:
        """Sweep until ``stop_event`` is set."""
        # A media store that hangs must not delay the leases. A call that hangs at the end ends with the process.
        storage = threading.Thread(target=self._sweep_storage, args=(stop_event,), name="storage", daemon=True)
        storage.start()
        ticks = 0
        while not stop_event.wait(TICK_S):
            touch_liveness_file(self._stores.settings.liveness_file)
            try:
                self._stores.wakeups.top_up()
                if not self._is_repaired or ticks % round(SWEEP_INTERVAL_S / TICK_S) == 0:
                    self._is_repaired = self._maintenance.repair()
                if ticks % round(SWEEP_INTERVAL_S / TICK_S) == 0:
                    self.sweep()
                    self.drain_stale_outbox()
                    self.request_upload_checks()
                if ticks % round(PURGE_INTERVAL_S / TICK_S) == 0:
                    self.purge()
                    self.apply_default_limits()
            except Unavailable as error:
                self.reset_grace_periods()
                log.warning("sweep.failed", error=str(error))
            ticks += 1
        storage.join(STORAGE_STOP_TIMEOUT_S)

    def _sweep_storage(self, stop_event: threading.Event) -> None:
        """Run the sweeps that use the media store, until ``stop_event`` is set."""
        sweeps = (
            (SWEEP_INTERVAL_S, self.delete_expired_results, False),
            (UPLOAD_SWEEP_INTERVAL_S, self.sweep_uploads, True),
            (PURGE_INTERVAL_S, self.delete_orphaned_inputs, True),
        )
        due_at = [-math.inf] * len(sweeps)
        while not stop_event.is_set():
            for number, (interval_s, sweep, is_of_all) in enumerate(sweeps):
                if self._monotonic() < due_at[number] or (is_of_all and not self._is_first):
                    continue
                due_at[number] = self._monotonic() + interval_s
                try:
                    sweep()
                except Exception:
                    # The next round tries again, rather than leaving objects behind until the process is restarted.
                    log.exception("storage.not_swept")
            stop_event.wait(SWEEP_INTERVAL_S)

    def apply_default_limits(self) -> None:
        """Let jobs that wait already start under the settings of this process, once: it is restarted with new ones."""
        if self._are_limits_applied:
            return
        try:
            self._stores.quotas.limit_running_by_default(self._stores.api_keys.list_limits())
        except Unavailable as error:
            # Sweeps of leases must not depend on the database.
            log.warning("sweep.limits_not_applied", error=str(error))
        else:
            self._are_limits_applied = True

    def reset_grace_periods(self) -> None:
        """Ignore overdue heartbeats and leases for a while, after an outage of Redis or a suspend."""
        now_s = self._monotonic()
        self._grace_until = {"heartbeats": now_s + HEARTBEAT_GRACE_S, "leases": now_s + LEASE_GRACE_S}

    def sweep(self) -> None:
        """Run the sweeps that are due every second."""
        now_ms = self._clock.now_ms()
        if now_ms - self._last_sweep_ms > MAX_SWEEP_GAP_MS:
            # This process did not run for a while, so probably no other one did: the machine was suspended.
            self.reset_grace_periods()
        self._last_sweep_ms = now_ms
        self.sweep_jobs()
        self.log_circuit_changes()
        self._update_canaries()
        slots = sum(worker.slots for worker in self._stores.workers.list_alive() if worker.ready)
        # Servers that all have jobs share the slots, so each counts on its part.
        self._maintenance.publish_capacity(self._busy.share(slots, self, is_busy=bool(self._maintenance.list_open())))
        self.sample_metrics(now_ms)

    def sample_metrics(self, now_ms: int) -> None:
        """Add a sample to the history of metrics every SAMPLE_INTERVAL_S."""
        if now_ms >= self._next_sample_ms:
            self._stores.metrics_history.record(self._stores.metrics.read())
            self._next_sample_ms = now_ms + SAMPLE_INTERVAL_S * 1000

    def sweep_jobs(self) -> None:
        """Return jobs of lost workers to the queue, and fail those that have waited longer than MAX_WAIT_S.

        They have waited since they were submitted or requeued.
        """
        now_s = self._monotonic()
        checks = {name: now_s >= until_s for name, until_s in self._grace_until.items()}
        limit_s = self._stores.settings.max_wait_s
        error = QueueWaitExceeded(f"The job waited longer than {limit_s} s for a worker.")
        swept = self._maintenance.sweep(**checks, max_wait_s=limit_s, error=error)
        for job_id in swept.taken_back:
            log.warning("job.lapsed", job_id=job_id)
        for job_id in swept.orphans:
            self._maintenance.remove_orphan(job_id)
        if swept.taken_back:
            self._stores.wakeups.top_up()

    def log_circuit_changes(self) -> None:
        """Log circuits that have opened or closed since the last sweep."""
        circuits = self._stores.circuit_breakers.read([recipe.name for recipe in self._stores.recipes.list_all()])
        now_open = {site for site, circuit in circuits.items() if circuit.is_open}
        for site in now_open - self._open_circuits:
            log.error("circuit.opened", site=site, code=circuits[site].code)
        for site in self._open_circuits - now_open:
            log.info("circuit.closed", site=site)
        self._open_circuits = now_open

    def drain_stale_outbox(self) -> None:
        """Drain the outbox if no dispatcher does. The other sweeps do not depend on the database."""
        if self._stores.outbox.has_stale_entries():
            try:
                self._stores.outbox.drain()
            except Unavailable as error:
                log.warning("outbox.unavailable", error=str(error))

    def request_upload_checks(self) -> None:
        """Have the uploads looked at whose time has come."""
        for nonce in self._stores.gallery_media.checks.take_due():
            self._stores.queue.send(CHECK_UPLOAD, nonce)

    def delete_expired_results(self) -> None:
        """Delete pictures of expired jobs from the media store; every hour, those that the index does not name."""
        try:
            self._stores.stored_results.delete_expired()
            now_ms = self._clock.now_ms()
            if now_ms >= self._next_listing_ms and self._is_first:
                self._next_listing_ms = now_ms + LISTING_INTERVAL_MS
                self._stores.stored_results.delete_unlisted()
        except Unavailable as error:
            log.warning("results.not_swept", error=str(error))

    def sweep_uploads(self) -> None:
        """End abandoned uploads of the gallery, and delete the objects that no picture uses any more."""
        try:
            sweep_uploads(self._of_all)
        except Unavailable as error:
            log.warning("uploads.not_swept", error=str(error))

    def delete_orphaned_inputs(self) -> None:
        """Delete the pictures of inputs that no job uses any more."""
        try:
            self._of_all.input_images.delete_orphans()
        except Unavailable as error:
            log.warning("inputs.not_swept", error=str(error))

    def purge(self) -> None:
        """Delete entries of job lists and deliveries after their retention."""
        settings = self._stores.settings
        self._maintenance.trim_job_lists(list_retention_s(settings))
        try:
            if self._is_first:
                self._stores.deliveries.purge()
            # Restores the filter in case Redis has lost it.
            self._stores.subscriptions.sync_event_filter()
        except Unavailable as error:
            log.warning("purge.unavailable", error=str(error))
