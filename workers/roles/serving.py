"""Consuming queues until a stop signal, with a drain at the end."""

import signal
import threading
from collections.abc import Callable

import structlog
from dramatiq import Worker

from ops.infra.broker import BlockingRedisBroker, HeartbeatThread
from ops.processes.stopping.stop_limit import STOP_MARGIN_S

log = structlog.get_logger(__name__)


def serve(
    broker: BlockingRedisBroker,
    worker: Worker,
    queues: frozenset[str],
    *,
    grace_s: int,
    on_stop: Callable[[], object] = lambda: None,
    on_grace_expired: Callable[[], object] = lambda: None,
) -> None:
    """Consume the queues until a stop signal, then drain for at most ``grace_s``."""
    stop_event = install_stop_signals()
    heartbeat = HeartbeatThread(broker, queues)
    worker.start()
    heartbeat.start()
    log.info("process.ready")
    stop_event.wait()
    on_stop()
    log.info("process.draining", grace_s=grace_s)
    timer = threading.Timer(grace_s, on_grace_expired)
    timer.daemon = True
    timer.start()
    worker.stop(timeout=(grace_s + STOP_MARGIN_S) * 1000)
    timer.cancel()
    heartbeat.stop()
    log.info("process.stopped")


def install_stop_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop_event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_event.set())
    return stop_event
