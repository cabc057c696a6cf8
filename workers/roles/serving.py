"""Consuming queues until a stop signal, with a drain at the end."""

import signal
import threading
from collections.abc import Callable, Sequence

import structlog
from dramatiq import Broker, Worker
from dramatiq.middleware import Middleware

from ops.infra.broker import BlockingRedisBroker, HeartbeatThread
from ops.processes.stopping.stop_limit import STOP_MARGIN_S

log = structlog.get_logger(__name__)


def serve(
    consumers: Sequence[tuple[BlockingRedisBroker, Worker]],
    queues: frozenset[str],
    *,
    grace_s: int,
    on_stop: Callable[[], object] = lambda: None,
    on_grace_expired: Callable[[], object] = lambda: None,
) -> None:
    """Consume the queues of each broker until a stop signal, then drain for at most ``grace_s``.

    The first worker starts before the others, and its middleware is shut down after them.
    """
    stop_event = install_stop_signals()
    heartbeats = [HeartbeatThread(broker, queues) for broker, _ in consumers]
    for (_, worker), heartbeat in zip(consumers, heartbeats, strict=True):
        worker.start()
        heartbeat.start()
    log.info("process.ready")
    stop_event.wait()
    for broker, _ in consumers:
        broker.stopping.set()
    on_stop()
    log.info("process.draining", grace_s=grace_s)
    timer = threading.Timer(grace_s, on_grace_expired)
    timer.daemon = True
    timer.start()
    _stop_all(consumers, timeout_ms=(grace_s + STOP_MARGIN_S) * 1000)
    timer.cancel()
    for heartbeat in heartbeats:
        heartbeat.stop()
    log.info("process.stopped")


def _stop_all(consumers: Sequence[tuple[BlockingRedisBroker, Worker]], *, timeout_ms: int) -> None:
    (first_broker, first), *others = consumers
    threads = [threading.Thread(target=worker.stop, kwargs={"timeout": timeout_ms}) for _, worker in others]
    for thread in threads:
        thread.start()
    # Behind all middleware that was added before it, which is shut down in reverse order.
    first_broker.add_middleware(_Joining(threads))
    first.stop(timeout=timeout_ms)


class _Joining(Middleware):
    """Middleware that waits for threads when the worker has stopped."""

    def __init__(self, threads: Sequence[threading.Thread]) -> None:
        self._threads = threads

    def after_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        """Wait for the threads."""
        for thread in self._threads:
            thread.join()


def install_stop_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop_event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_event.set())
    return stop_event
