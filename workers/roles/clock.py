"""The role ``clock``: periodic sweeps."""

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from ops.infra.settings import Settings
from stores import open_stores
from stores.environment.shared_settings import check_now_or_later
from stores.queue.process_monitor import make_monitors
from workers.clock.allotting import divide_limits
from workers.clock.sweeper import BusyServers, Sweeper
from workers.roles.serving import install_stop_signals

STOP_TIMEOUT_S = 10.0

log = structlog.get_logger(__name__)


def run_clock(settings: Settings) -> None:
    """Run the periodic sweeps until a stop signal."""
    stop_event = install_stop_signals()
    check_later = check_now_or_later(settings)
    stores = open_stores(settings)
    monitors = make_monitors(stores, "clock", check_later)
    for monitor in monitors:
        monitor.start()
    busy = BusyServers()
    sweepers = [Sweeper(each, busy=busy) for each in stores.servers.members]
    runs = [partial(sweeper.run, stop_event) for sweeper in sweepers]
    if len(sweepers) > 1:
        runs.append(partial(divide_limits, stores, stop_event))
    log.info("process.ready")
    run_all(runs)
    for monitor in monitors:
        monitor.stop()


def run_all(runs: Sequence[Callable[[], None]]) -> None:
    """Run functions at the same time, the first one in this thread; one that fails ends the process."""
    threads = [threading.Thread(target=_run_or_exit, args=(run,), daemon=True) for run in runs[1:]]
    for thread in threads:
        thread.start()
    runs[0]()
    for thread in threads:
        thread.join(STOP_TIMEOUT_S)


def _run_or_exit(run: Callable[[], None]) -> None:
    try:
        run()
    except BaseException:
        # The supervisor starts a new process, rather than leaving one Redis without its sweeps.
        log.critical("clock.thread_failed", exc_info=True)
        os._exit(1)
