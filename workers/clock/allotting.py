"""Divides the limits that hold over several Redis servers, in the one clock that holds the lease."""

import threading

import structlog

from stores import Stores
from stores.shards.allotments import Allotter
from workers.clock.timed_lease import TimedLease
from workers.library.leader_lock import LeaderLock

LEASE = "allotments"
INTERVAL_S = 0.25

log = structlog.get_logger(__name__)


def divide_limits(stores: Stores, stop_event: threading.Event) -> None:
    """Divide the limits until ``stop_event`` is set; another clock may do so instead."""
    # A database that hangs must not keep the servers from getting their parts again.
    lease = TimedLease(LeaderLock(stores.library.maintenance, LEASE))
    servers = stores.servers.of_each([each.plain for each in stores.servers.members])
    allotter = Allotter(servers, stores.settings, acquire=lease.acquire)
    while not stop_event.wait(INTERVAL_S):
        try:
            allotter.divide()
        except Exception:
            # What the servers have lasts for a while; the next round tries again.
            log.exception("allotments.failed")
    allotter.close()
    lease.release()
