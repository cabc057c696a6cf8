"""The start and the orderly end of the processes behind the queue: worker, courier and clock.

Run as ``python -m workers.main ROLE``; nothing imports it.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from dramatiq import Broker, Worker
from dramatiq.asyncio import EventLoopThread, get_event_loop_thread
from dramatiq.middleware import AsyncIO, CurrentMessage, Middleware

from ops.infra.broker import DoorbellBroker, Heart
from ops.infra.browser_install import NoBrowserError
from ops.infra.logging import configure_logging
from ops.infra.settings import Settings, SettingsError, load_settings
from ops.processes.temp_dirs import use_own_scratch
from schemas.messages import COURIER_QUEUES, WORKER_QUEUES
from stores import Stores, open_stores
from stores.redis.pubsub import CANCELS, Channel
from workers.actors import declare_courier_actors, declare_worker_actors
from workers.browsers.launchers import BrowserSource, LocalBrowser, RemoteBrowser, source_of
from workers.browsers.pool import BrowserPool, BrowserRules
from workers.clock.sweeper import Sweeper
from workers.jobs.heartbeat import Presence, worker_id
from workers.jobs.runner import Runner
from workers.jobs.site_queries import Lookups
from workers.library.indexer import Librarian
from workers.webhooks.dispatcher import Courier

LOOKUP_SLOTS = 2
COURIER_THREADS = 8
SHUTDOWN_MARGIN_S = 8
START_TIMEOUT_S = 60
SETTINGS_EXIT_CODE = 2

log = structlog.get_logger(__name__)


class BrowserHost(Middleware):
    """Starts a worker's browser once its event loop runs, and closes it before the loop ends."""

    def __init__(self, stores: Stores, browsers: BrowserPool, runner: Runner, presence: Presence, worker: str) -> None:
        """To be added to the broker after Dramatiq's AsyncIO."""
        self._stores = stores
        self._browsers = browsers
        self._runner = runner
        self._presence = presence
        self._worker = worker
        self._cancels = Channel(stores.redis, CANCELS, self._cancel, missed=self._renew_all)
        self._duties: list[asyncio.Task[None]] = []

    def before_worker_boot(self, _broker: Broker, _worker: Worker) -> None:
        """The browser first: a worker takes no job before it could do one."""
        try:
            _on_loop(self._start())
            self._cancels.start()
        except BaseException as error:  # noqa: BLE001 - whatever it was, Dramatiq would go on without a browser
            log.critical("worker.not_started", error=str(error))
            os._exit(1)

    def after_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        """Nothing is in hand any more."""
        self._cancels.stop()
        _on_loop(self._stop())
        self._stores.fleet.leave(self._worker)

    async def _start(self) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32, thread_name_prefix="store"))
        await self._browsers.start()
        self._duties = [
            asyncio.create_task(duty) for duty in (self._presence.beat_for_ever(), self._runner.renew_for_ever())
        ]
        for duty in self._duties:
            duty.add_done_callback(_exit_unless_cancelled)

    async def _stop(self) -> None:
        for duty in self._duties:
            duty.cancel()
        await self._browsers.stop()

    def _cancel(self, job_id: str) -> None:
        _loop_thread().loop.call_soon_threadsafe(self._runner.cancel, job_id)

    def _renew_all(self) -> None:
        # What was cancelled while nobody listened is found by asking for every lease.
        asyncio.run_coroutine_threadsafe(self._runner.renew_all(), _loop_thread().loop)


def _exit_unless_cancelled(duty: "asyncio.Task[None]") -> None:
    """A worker without heart or renewal loses every job it takes; a new process does not."""
    if not duty.cancelled():
        log.critical("duty.ended", error=str(duty.exception()))
        os._exit(1)


def run_worker(settings: Settings) -> None:
    """Take jobs until told to stop."""
    middleware: list[Middleware] = [AsyncIO(), CurrentMessage()]
    broker = DoorbellBroker(settings.broker_url, middleware)
    stores = open_stores(settings, broker=broker)
    name = worker_id()
    source = source_of(settings)
    slots = _slots(settings, source)
    use_own_scratch(settings.data_dir)
    log.info("browser.found", source=str(source), sandbox=isinstance(source, LocalBrowser) and source.sandbox)
    browsers = BrowserPool(BrowserRules.of(settings, source, slots + LOOKUP_SLOTS))
    runner = Runner(stores, browsers, name)
    presence = Presence(stores, browsers, runner, name, slots)
    broker.add_middleware(BrowserHost(stores, browsers, runner, presence, name))
    declare_worker_actors(broker, runner, Lookups(stores, browsers))

    def drain() -> None:
        # Long drains end here: what still runs then goes back to the queue.
        _loop_thread().loop.call_soon_threadsafe(runner.release_all)

    worker = Worker(broker, worker_threads=slots + LOOKUP_SLOTS)
    worker.queue_prefetch = slots
    _serve(broker, worker, WORKER_QUEUES, grace_s=settings.drain_grace_s, last_resort=drain)


def run_courier(settings: Settings) -> None:
    """Do what needs no browser until told to stop."""
    broker = DoorbellBroker(settings.broker_url, [])
    stores = open_stores(settings, broker=broker)
    use_own_scratch(settings.data_dir)
    declare_courier_actors(broker, stores)
    worker = Worker(broker, worker_threads=COURIER_THREADS)
    threading.excepthook = _exit_on_fault
    courier, librarian = Courier(stores), Librarian(stores)
    courier.start()
    librarian.start()
    _serve(broker, worker, COURIER_QUEUES, grace_s=settings.drain_grace_s, last_resort=_nothing)
    librarian.stop()
    courier.stop()


def run_clock(settings: Settings) -> None:
    """Sweep until told to stop."""
    stopped = _stopped_by_signal()
    sweeper = Sweeper(open_stores(settings))
    log.info("process.ready")
    sweeper.run(stopped)


def _serve(broker: DoorbellBroker, worker: Worker, queues: frozenset[str], *, grace_s: int, last_resort: Any) -> None:
    stopped = _stopped_by_signal()
    heart = Heart(broker, queues)
    worker.start()
    heart.start()
    log.info("process.ready")
    stopped.wait()
    log.info("process.draining", grace_s=grace_s)
    alarm = threading.Timer(grace_s, last_resort)
    alarm.daemon = True
    alarm.start()
    worker.stop(timeout=(grace_s + SHUTDOWN_MARGIN_S) * 1000)
    alarm.cancel()
    heart.stop()
    log.info("process.stopped")


def _slots(settings: Settings, source: BrowserSource) -> int:
    """How many jobs this worker takes at once: no more than an endpoint allows, where it tells."""
    most = source.capacity() if isinstance(source, RemoteBrowser) else None
    return min(settings.worker_concurrency, most or settings.worker_concurrency)


def _stopped_by_signal() -> threading.Event:
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _loop_thread() -> EventLoopThread:
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("the event loop has not been started")
    return thread


def _exit_on_fault(fault: threading.ExceptHookArgs) -> None:
    """A courier that delivers nothing more is of no use; a new process is."""
    log.critical("thread.ended", exc_info=fault.exc_value)
    os._exit(1)


def _on_loop(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run_coroutine_threadsafe(work, _loop_thread().loop).result(START_TIMEOUT_S)


def _nothing() -> None:
    """A courier's work cannot be given back half done; its messages go to another when it dies."""


ROLES = {"worker": run_worker, "courier": run_courier, "clock": run_clock}


def main(role: str) -> int:
    """Run one of the roles; the exit code is 2 where a setting or the browser is at fault."""
    try:
        settings = load_settings()
        configure_logging(role, level=settings.log_level, style=settings.log_format)
        ROLES[role](settings)
    except (SettingsError, NoBrowserError) as error:
        sys.stderr.write(f"darkroom {role}: {error}\n")
        return SETTINGS_EXIT_CODE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
