"""A thread of every process that keeps its time right and reports on its machine's clock and disk."""

import contextlib
import os
import threading
from collections.abc import Callable

import structlog

from ops.infra.settings import SettingsError
from schemas.errors import Unavailable
from stores import Stores
from stores.queue.process_reports import REPORT_INTERVAL_S, ProcessReport, process_name
from stores.redis.server_clock import RedisClock

# While Redis does not answer. The pause and a call that times out are shorter together than the time for which the
# server counts as down (``stores.redis.client.DOWN_S``), so no other call of this process has to wait for it.
RETRY_INTERVAL_S = 1.0
# While a clock stays wrong, every so many reports.
WARNING_INTERVAL = 60
SETTINGS_EXIT_CODE = 2
# With any other code of a worker, gunicorn would start the next one.
EXIT_CODES = {"web": 4}

log = structlog.get_logger(__name__)


def make_monitors(stores: Stores, role: str, check_later: Callable[[], bool] | None = None) -> "list[ProcessMonitor]":
    """Return a monitor for each Redis server; ``check_later`` is as in ``ProcessMonitor``."""
    first, *others = stores.servers.members
    return [ProcessMonitor(first, role, check_later), *(ProcessMonitor(each, role) for each in others)]


class ProcessMonitor:
    """Reports on one process every REPORT_INTERVAL_S until it is stopped, and tries again soon if it cannot."""

    def __init__(self, stores: Stores, role: str, check_later: Callable[[], bool] | None = None) -> None:
        """``check_later`` is the result of ``stores.environment.shared_settings.check_now_or_later``."""
        self._stores = stores
        self._check_later = check_later
        self._role = role
        self._name = process_name(role)
        self._reports_until_warning = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="process monitor", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and withdraw the last report, unless Redis is down: then the report expires."""
        self._stopped.set()
        if self._stores.redis.availability.is_down:
            return
        self._thread.join(timeout=REPORT_INTERVAL_S)
        with contextlib.suppress(Unavailable):
            self._stores.process_reports.remove(self._name)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._check_shared_settings()
            pause_s = REPORT_INTERVAL_S
            try:
                self.report()
            except Unavailable as error:
                pause_s = RETRY_INTERVAL_S
                log.debug("report.failed", error=str(error))
            except Exception:
                # The process goes on without reports rather than with a thread that has died unnoticed.
                log.exception("report.failed")
            self._stopped.wait(pause_s)

    def _check_shared_settings(self) -> None:
        """End the process if the database, which did not answer at the start, now tells that a setting is another."""
        if self._check_later is None:
            return
        try:
            if self._check_later():
                self._check_later = None
        except SettingsError as error:
            log.critical("process.refused", error=str(error))
            os._exit(EXIT_CODES.get(self._role, SETTINGS_EXIT_CODE))

    def report(self) -> ProcessReport:
        """Read the time of Redis again and store a report; raises Unavailable."""
        # First, so that the log names a full disk even if Redis, on the same disk, refuses the report.
        problem = self._stores.disk.problem()
        clock = self._stores.plain.clock
        offset_ms = 0
        if isinstance(clock, RedisClock):
            clock.measure()
            offset_ms = clock.offset_ms or 0
        free_bytes = self._stores.disk.free_bytes()
        report = ProcessReport(self._name, self._role, offset_ms, free_bytes, problem)
        self._warn(report)
        self._stores.process_reports.record(report)
        return report

    def _warn(self, report: ProcessReport) -> None:
        if report.is_clock_off and self._reports_until_warning <= 0:
            # Jobs do not depend on it, but logs, webhook receivers and TLS do.
            log.warning("clock.off", offset_s=report.clock_offset_ms / 1000, advice="synchronise it, as by NTP")
            self._reports_until_warning = WARNING_INTERVAL
        self._reports_until_warning = self._reports_until_warning - 1 if report.is_clock_off else 0
