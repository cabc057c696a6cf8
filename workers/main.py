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

from ops.infra.broker import BlockingRedisBroker, HeartbeatThread
from ops.infra.browser_install import BrowserNotFoundError
from ops.infra.logging import configure_logging
from ops.infra.settings import Settings, SettingsError, load_settings
from ops.processes.temp_dirs import use_private_temp_dir
from schemas.messages import BACKGROUND_QUEUES, WORKER_QUEUES
from stores import Stores, open_stores
from stores.redis.pubsub import CANCELS_CHANNEL, RedisListener
from workers.actors import declare_background_actors, declare_worker_actors
from workers.browsers.launchers import BrowserSource, LocalBrowser, RemoteBrowser, browser_source
from workers.browsers.pool import BrowserPool, BrowserPoolConfig
from workers.clock.sweeper import Sweeper
from workers.jobs.attempt_registry import AttemptRegistry
from workers.jobs.heartbeat import Heartbeat, create_worker_id
from workers.jobs.runner import Runner
from workers.jobs.site_queries import SiteQueryRunner
from workers.library.indexer import LibraryIndexer
from workers.webhooks.dispatcher import WebhookDispatcher

SITE_QUERY_SLOTS = 2
BACKGROUND_THREADS = 8
SHUTDOWN_MARGIN_S = 8
START_TIMEOUT_S = 60
SETTINGS_EXIT_CODE = 2

log = structlog.get_logger(__name__)


class BrowserMiddleware(Middleware):
    """Starts a worker's browser once its event loop runs, and closes it before the loop ends."""

    def __init__(
        self, stores: Stores, browsers: BrowserPool, attempts: AttemptRegistry, heartbeat: Heartbeat, worker_id: str
    ) -> None:
        """To be added to the broker after Dramatiq's AsyncIO."""
        self._stores = stores
        self._browsers = browsers
        self._attempts = attempts
        self._heartbeat = heartbeat
        self._worker_id = worker_id
        self._cancels = RedisListener(stores.redis, CANCELS_CHANNEL, self._cancel_job, on_gap=self._renew_leases)
        self._tasks: list[asyncio.Task[None]] = []

    def before_worker_boot(self, _broker: Broker, _worker: Worker) -> None:
        """The browser first: a worker takes no job before it could do one."""
        try:
            _run_on_loop(self._start())
            self._cancels.start()
        except BaseException as error:  # noqa: BLE001 - whatever it was, Dramatiq would go on without a browser
            log.critical("worker.not_started", error=str(error))
            os._exit(1)

    def after_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        """Nothing is in hand any more."""
        self._cancels.stop()
        _run_on_loop(self._stop())
        self._stores.workers.remove(self._worker_id)

    async def _start(self) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32, thread_name_prefix="store"))
        await self._browsers.start()
        self._tasks = [
            asyncio.create_task(duty) for duty in (self._heartbeat.run_forever(), self._attempts.renew_forever())
        ]
        for duty in self._tasks:
            duty.add_done_callback(_exit_unless_cancelled)

    async def _stop(self) -> None:
        for duty in self._tasks:
            duty.cancel()
        await self._browsers.stop()

    def _cancel_job(self, job_id: str) -> None:
        _loop_thread().loop.call_soon_threadsafe(self._attempts.cancel, job_id)

    def _renew_leases(self) -> None:
        # What was cancelled while nobody listened is found by asking for every lease.
        asyncio.run_coroutine_threadsafe(self._attempts.renew_all(), _loop_thread().loop)


def _exit_unless_cancelled(task: "asyncio.Task[None]") -> None:
    """A worker without heart or renewal loses every job it takes; a new process does not."""
    if not task.cancelled():
        log.critical("duty.ended", error=str(task.exception()))
        os._exit(1)


def run_worker(settings: Settings) -> None:
    """Take jobs until told to stop."""
    middleware: list[Middleware] = [AsyncIO(), CurrentMessage()]
    broker = BlockingRedisBroker(settings.broker_url, middleware)
    stores = open_stores(settings, broker=broker)
    name = create_worker_id()
    source = browser_source(settings)
    slots = _job_slots(settings, source)
    use_private_temp_dir(settings.data_dir)
    log.info("browser.found", source=str(source), sandbox=isinstance(source, LocalBrowser) and source.sandbox)
    browsers = BrowserPool(BrowserPoolConfig.from_settings(settings, source, slots + SITE_QUERY_SLOTS))
    attempts = AttemptRegistry(stores.attempts)
    heartbeat = Heartbeat(stores, browsers, attempts, name, slots)
    broker.add_middleware(BrowserMiddleware(stores, browsers, attempts, heartbeat, name))
    runner = Runner(stores, browsers, attempts, name)
    declare_worker_actors(broker, runner, SiteQueryRunner(stores, browsers))

    def drain() -> None:
        # Long drains end here: what still runs then goes back to the queue.
        _loop_thread().loop.call_soon_threadsafe(attempts.release_all)

    worker = Worker(broker, worker_threads=slots + SITE_QUERY_SLOTS)
    worker.queue_prefetch = slots
    _serve(broker, worker, WORKER_QUEUES, grace_s=settings.drain_grace_s, on_grace_expired=drain)


def run_background(settings: Settings) -> None:
    """Do what needs no browser until told to stop."""
    broker = BlockingRedisBroker(settings.broker_url, [])
    stores = open_stores(settings, broker=broker)
    use_private_temp_dir(settings.data_dir)
    declare_background_actors(broker, stores)
    worker = Worker(broker, worker_threads=BACKGROUND_THREADS)
    threading.excepthook = _exit_on_thread_error
    courier, librarian = WebhookDispatcher(stores), LibraryIndexer(stores)
    courier.start()
    librarian.start()
    _serve(broker, worker, BACKGROUND_QUEUES, grace_s=settings.drain_grace_s, on_grace_expired=_do_nothing)
    librarian.stop()
    courier.stop()


def run_clock(settings: Settings) -> None:
    """Sweep until told to stop."""
    stopped = _install_stop_signals()
    sweeper = Sweeper(open_stores(settings))
    log.info("process.ready")
    sweeper.run(stopped)


def _serve(
    broker: BlockingRedisBroker, worker: Worker, queues: frozenset[str], *, grace_s: int, on_grace_expired: Any
) -> None:
    stopped = _install_stop_signals()
    heart = HeartbeatThread(broker, queues)
    worker.start()
    heart.start()
    log.info("process.ready")
    stopped.wait()
    log.info("process.draining", grace_s=grace_s)
    alarm = threading.Timer(grace_s, on_grace_expired)
    alarm.daemon = True
    alarm.start()
    worker.stop(timeout=(grace_s + SHUTDOWN_MARGIN_S) * 1000)
    alarm.cancel()
    heart.stop()
    log.info("process.stopped")


def _job_slots(settings: Settings, source: BrowserSource) -> int:
    """How many jobs this worker takes at once: no more than an endpoint allows, where it tells."""
    most = source.read_capacity() if isinstance(source, RemoteBrowser) else None
    return min(settings.worker_concurrency, most or settings.worker_concurrency)


def _install_stop_signals() -> threading.Event:
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _loop_thread() -> EventLoopThread:
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("the event loop has not been started")
    return thread


def _exit_on_thread_error(hook_args: threading.ExceptHookArgs) -> None:
    """A courier that delivers nothing more is of no use; a new process is."""
    log.critical("thread.ended", exc_info=hook_args.exc_value)
    os._exit(1)


def _run_on_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run_coroutine_threadsafe(coroutine, _loop_thread().loop).result(START_TIMEOUT_S)


def _do_nothing() -> None:
    """A courier's work cannot be given back half done; its messages go to another when it dies."""


ROLES = {"worker": run_worker, "courier": run_background, "clock": run_clock}


def main(role: str) -> int:
    """Run one of the roles; the exit code is 2 where a setting or the browser is at fault."""
    try:
        settings = load_settings()
        configure_logging(role, level=settings.log_level, style=settings.log_format)
        ROLES[role](settings)
    except (SettingsError, BrowserNotFoundError) as error:
        sys.stderr.write(f"darkroom {role}: {error}\n")
        return SETTINGS_EXIT_CODE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
