"""Entry point of the processes behind the queue: ``python -m workers.main worker|background|clock``.

Runs Dramatiq in this process instead of through its command line, so that start, drain and shutdown are under control.
On SIGTERM or SIGINT a process stops taking messages and finishes what is running, for at most DRAIN_GRACE_S. After
that a worker returns its unfinished jobs to the queue, or as soon as its browser is lost: Heroku, systemd and Ctrl-C
send the signal to the browser too.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from dramatiq import Broker, Worker
from dramatiq.asyncio import EventLoopThread, get_event_loop_thread
from dramatiq.middleware import AsyncIO, CurrentMessage, Middleware

from ops.infra.broker import BlockingRedisBroker, HeartbeatThread
from ops.infra.browser_install import BrowserNotFoundError
from ops.infra.files.private_files import set_private_umask
from ops.infra.logging import configure_logging, log_uncaught_exceptions
from ops.infra.redis_check import check_redis
from ops.infra.settings import Settings, SettingsError, load_settings
from ops.processes.init_process import run_below_init
from ops.processes.stopping.stop_limit import STOP_MARGIN_S, warn_of_stop_limit
from ops.processes.temp_dirs import use_private_temp_dir
from ops.processes.tracing import configure_tracing
from schemas.messages import BACKGROUND_QUEUES, WORKER_QUEUES
from stores import Stores, open_stores
from stores.environment.shared_settings import check_now_or_later
from stores.queue.process_monitor import ProcessMonitor
from stores.redis.keys import CANCELS_CHANNEL
from stores.redis.pubsub import RedisListener
from workers.actors import declare_background_actors, declare_worker_actors
from workers.browsers.launchers import BrowserSource, LocalBrowser, RemoteBrowser, browser_source
from workers.browsers.pool import BrowserPool, BrowserPoolConfig
from workers.clock.sweeper import Sweeper
from workers.gallery.posters import PosterRunner
from workers.jobs.attempt_registry import AttemptRegistry
from workers.jobs.heartbeat import Heartbeat, create_worker_id
from workers.jobs.runner import Runner
from workers.jobs.site_inspections import SiteInspector
from workers.jobs.site_queries import SiteQueryRunner
from workers.library.indexer import LibraryIndexer
from workers.webhooks.dispatcher import WebhookDispatcher

SITE_QUERY_SLOTS = 2
BACKGROUND_THREADS = 8
STORE_THREADS = 32
START_TIMEOUT_S = 60
SETTINGS_EXIT_CODE = 2

log = structlog.get_logger(__name__)


class BrowserMiddleware(Middleware):
    """Dramatiq middleware that ties the browser pool, the heartbeat and lease renewal to the worker's event loop.

    Add it after Dramatiq's AsyncIO: middleware boots in this order and shuts down in reverse, so the browser starts
    once the event loop runs and stops before the loop ends.
    """

    def __init__(
        self, stores: Stores, browsers: BrowserPool, attempts: AttemptRegistry, heartbeat: Heartbeat, worker_id: str
    ) -> None:
        self._stores = stores
        self._browsers = browsers
        self._attempts = attempts
        self._heartbeat = heartbeat
        self._worker_id = worker_id
        self._cancels = RedisListener(stores.redis, CANCELS_CHANNEL, self._cancel_job, on_gap=self._renew_leases)
        self._tasks: list[asyncio.Task[None]] = []

    def before_worker_boot(self, _broker: Broker, _worker: Worker) -> None:
        """Start the browser before the worker takes its first message."""
        try:
            _run_on_loop(self._start())
            self._cancels.start()
        except BaseException as error:  # noqa: BLE001 - Dramatiq logs any exception here and goes on without a browser
            log.critical("worker.not_started", error=str(error))
            os._exit(1)

    def after_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        """Stop the browser and deregister the worker, once no job is running."""
        self._cancels.stop()
        _run_on_loop(self._stop())
        self._stores.workers.remove(self._worker_id)

    async def _start(self) -> None:
        executor = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")
        asyncio.get_running_loop().set_default_executor(executor)
        await self._browsers.start()
        self._tasks = [
            asyncio.create_task(coroutine)
            for coroutine in (self._heartbeat.run_forever(), self._attempts.renew_forever())
        ]
        for task in self._tasks:
            task.add_done_callback(_exit_unless_cancelled)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._browsers.stop()

    def _cancel_job(self, job_id: str) -> None:
        _loop_thread().loop.call_soon_threadsafe(self._attempts.cancel, job_id)

    def _renew_leases(self) -> None:
        # Cancellations may have been missed while the listener was disconnected. Renewing a lease reports them.
        asyncio.run_coroutine_threadsafe(self._attempts.renew_all(), _loop_thread().loop)


def _exit_unless_cancelled(task: "asyncio.Task[None]") -> None:
    """Exit if a heartbeat or renewal task has failed: without either, every job of this worker would be lost.

    The supervisor starts a new process.
    """
    if not task.cancelled():
        log.critical("worker.task_failed", error=str(task.exception()))
        os._exit(1)


def run_worker(settings: Settings) -> None:
    """Run jobs and site queries in a browser until a stop signal."""
    check_later = check_now_or_later(settings)
    middleware: list[Middleware] = [AsyncIO(), CurrentMessage()]
    broker = BlockingRedisBroker(settings.broker_url, middleware)
    stores = open_stores(settings, broker=broker)
    worker_id = create_worker_id()
    source = browser_source(settings)
    slots = _job_slots(settings, source)
    use_private_temp_dir(settings.data_dir)
    log.info("browser.found", source=str(source), sandbox=isinstance(source, LocalBrowser) and source.sandbox)
    browsers = BrowserPool(BrowserPoolConfig.from_settings(settings, source, slots + SITE_QUERY_SLOTS))
    attempts = AttemptRegistry(stores.attempts)
    heartbeat = Heartbeat(stores, browsers, attempts, worker_id, slots)
    broker.add_middleware(BrowserMiddleware(stores, browsers, attempts, heartbeat, worker_id))
    runner = Runner(stores, browsers, attempts, worker_id)
    queries, inspector = SiteQueryRunner(stores, browsers), SiteInspector(stores, browsers)
    declare_worker_actors(broker, runner, queries, inspector, PosterRunner(stores, browsers))

    def begin_draining() -> None:
        _loop_thread().loop.call_soon_threadsafe(attempts.begin_draining)
        _loop_thread().loop.call_soon_threadsafe(browsers.stop_replacing)

    def release_unfinished() -> None:
        _loop_thread().loop.call_soon_threadsafe(attempts.release_all)

    worker = Worker(broker, worker_threads=slots + SITE_QUERY_SLOTS)
    worker.queue_prefetch = slots
    monitor = ProcessMonitor(stores, "worker", check_later)
    monitor.start()
    _serve(
        broker,
        worker,
        WORKER_QUEUES,
        grace_s=settings.drain_grace_s,
        on_stop=begin_draining,
        on_grace_expired=release_unfinished,
    )
    monitor.stop()


def run_background(settings: Settings) -> None:
    """Convert and inspect images, deliver webhooks and index the library until a stop signal."""
    check_later = check_now_or_later(settings)
    broker = BlockingRedisBroker(settings.broker_url, [])
    stores = open_stores(settings, broker=broker)
    use_private_temp_dir(settings.data_dir)
    declare_background_actors(broker, stores)
    worker = Worker(broker, worker_threads=BACKGROUND_THREADS)
    threading.excepthook = _exit_on_thread_error
    parts = (
        LibraryIndexer(stores),
        WebhookDispatcher(stores),
        ProcessMonitor(stores, "background", check_later),
    )
    for part in parts:
        part.start()
    _serve(broker, worker, BACKGROUND_QUEUES, grace_s=settings.drain_grace_s)
    for part in parts:
        part.stop()


def run_clock(settings: Settings) -> None:
    """Run the periodic sweeps until a stop signal."""
    stop_event = _install_stop_signals()
    check_later = check_now_or_later(settings)
    stores = open_stores(settings)
    sweeper, monitor = Sweeper(stores), ProcessMonitor(stores, "clock", check_later)
    monitor.start()
    log.info("process.ready")
    sweeper.run(stop_event)
    monitor.stop()


def _serve(
    broker: BlockingRedisBroker,
    worker: Worker,
    queues: frozenset[str],
    *,
    grace_s: int,
    on_stop: Callable[[], object] = lambda: None,
    on_grace_expired: Callable[[], object] = lambda: None,
) -> None:
    """Consume the queues until a stop signal, then drain for at most ``grace_s``."""
    stop_event = _install_stop_signals()
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


def _job_slots(settings: Settings, source: BrowserSource) -> int:
    """Return how many jobs this worker runs at once, limited by a remote browser's reported capacity."""
    capacity = source.read_capacity() if isinstance(source, RemoteBrowser) else None
    return min(settings.worker_concurrency, capacity or settings.worker_concurrency)


def _install_stop_signals() -> threading.Event:
    stop_event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_event.set())
    return stop_event


def _loop_thread() -> EventLoopThread:
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("the event loop has not been started")
    return thread


def _exit_on_thread_error(hook_args: threading.ExceptHookArgs) -> None:
    """Exit if any thread dies, so that the supervisor replaces a process that no longer does all of its work."""
    log.critical("background.thread_failed", exc_info=hook_args.exc_value)
    os._exit(1)


def _run_on_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run_coroutine_threadsafe(coroutine, _loop_thread().loop).result(START_TIMEOUT_S)


# "courier" is the old name of "background". It remains for one release.
ROLES = {"worker": run_worker, "background": run_background, "courier": run_background, "clock": run_clock}


def main(role: str) -> int:
    """Run one of the roles. Return exit code 2 on an invalid setting or a missing browser."""
    set_private_umask()
    try:
        settings = load_settings()
        configure_logging(role, level=settings.log_level, style=settings.log_format, secrets=[settings.api_key])
        log_uncaught_exceptions()
        configure_tracing(role)
        check_redis(settings)
        if role != "clock":
            warn_of_stop_limit(settings)
        ROLES[role](settings)
    except (SettingsError, BrowserNotFoundError) as error:
        sys.stderr.write(f"darkroom {role}: {error}\n")
        return SETTINGS_EXIT_CODE
    return 0


if __name__ == "__main__":
    run_below_init()
    sys.exit(main(sys.argv[1]))
