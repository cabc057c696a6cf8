"""The role ``clock``: periodic sweeps."""

import structlog

from ops.infra.settings import Settings
from stores import open_stores
from stores.environment.shared_settings import check_now_or_later
from stores.queue.process_monitor import ProcessMonitor
from workers.clock.sweeper import Sweeper
from workers.roles.serving import install_stop_signals

log = structlog.get_logger(__name__)


def run_clock(settings: Settings) -> None:
    """Run the periodic sweeps until a stop signal."""
    stop_event = install_stop_signals()
    check_later = check_now_or_later(settings)
    stores = open_stores(settings)
    sweeper, monitor = Sweeper(stores), ProcessMonitor(stores, "clock", check_later)
    monitor.start()
    log.info("process.ready")
    sweeper.run(stop_event)
    monitor.stop()
