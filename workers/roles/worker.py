"""The role ``worker``: jobs and site queries in a browser."""

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from dramatiq import Broker, Worker
from dramatiq.asyncio import EventLoopThread, get_event_loop_thread
from dramatiq.middleware import AsyncIO, CurrentMessage, Middleware

from ops.infra.broker import BlockingRedisBroker
from ops.infra.settings import Settings
from ops.processes.temp_dirs import use_private_temp_dir
from schemas.messages import WORKER_QUEUES
from stores import Stores, open_stores
from stores.environment.shared_settings import check_now_or_later
from stores.queue.process_monitor import ProcessMonitor
from stores.redis.keys import CANCELS_CHANNEL
from stores.redis.pubsub import RedisListener
from workers.browsers.launchers import BrowserSource, LocalBrowser, RemoteBrowser, browser_source
from workers.browsers.pool import BrowserPool, BrowserPoolConfig
from workers.gallery.posters import PosterRunner
from workers.jobs.attempt_registry import AttemptRegistry
from workers.jobs.heartbeat import Heartbeat, create_worker_id
from workers.jobs.runner import Runner
from workers.jobs.site_inspections import SiteInspector
from workers.jobs.site_queries import SiteQueryRunner
from workers.roles.serving import serve
from workers.roles.worker_actors import declare_worker_actors

SITE_QUERY_SLOTS = 2
STORE_THREADS = 32
START_TIMEOUT_S = 60

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
    serve(
        broker,
        worker,
        WORKER_QUEUES,
        grace_s=settings.drain_grace_s,
        on_stop=begin_draining,
        on_grace_expired=release_unfinished,
    )
    monitor.stop()


def _job_slots(settings: Settings, source: BrowserSource) -> int:
    """Return how many jobs this worker runs at once, limited by a remote browser's reported capacity."""
    capacity = source.read_capacity() if isinstance(source, RemoteBrowser) else None
    return min(settings.worker_concurrency, capacity or settings.worker_concurrency)


def _loop_thread() -> EventLoopThread:
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("the event loop has not been started")
    return thread


def _run_on_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run_coroutine_threadsafe(coroutine, _loop_thread().loop).result(START_TIMEOUT_S)
