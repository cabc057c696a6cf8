"""The role ``worker``: jobs and site queries in a browser."""

import asyncio
import os
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from dramatiq import Broker, Worker
from dramatiq.asyncio import EventLoopThread, get_event_loop_thread
from dramatiq.middleware import AsyncIO, CurrentMessage, Middleware

from ops.infra.broker import BlockingRedisBroker
from ops.infra.browser_install import find_driver_problem
from ops.infra.settings import Settings
from ops.processes.temp_dirs import use_private_temp_dir
from schemas.errors import Unavailable
from schemas.messages import GENERATE_QUEUE, WORKER_QUEUES
from stores import Stores, open_stores
from stores.environment.shared_settings import check_now_or_later
from stores.queue.process_monitor import make_monitors
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
from workers.jobs.slot_pool import SlotPool
from workers.roles.serving import serve
from workers.roles.worker_actors import declare_worker_actors

SITE_QUERY_SLOTS = 2
STORE_THREADS = 32
START_TIMEOUT_S = 60
# As for an invalid setting.
MACHINE_EXIT_CODE = 2

log = structlog.get_logger(__name__)


class BrowserMiddleware(Middleware):
    """Dramatiq middleware that ties the browser pool, the heartbeat and lease renewal to the worker's event loop.

    Add it after Dramatiq's AsyncIO: middleware boots in this order and shuts down in reverse, so the browser starts
    once the event loop runs and stops before the loop ends.
    """

    def __init__(self, browsers: BrowserPool, parts: "Sequence[ServerPart]", worker_id: str) -> None:
        self._browsers = browsers
        self._parts = parts
        self._worker_id = worker_id
        self._tasks: list[asyncio.Task[None]] = []

    def before_worker_boot(self, _broker: Broker, _worker: Worker) -> None:
        """Start the browser before the worker takes its first message."""
        try:
            _run_on_loop(self._start())
            for part in self._parts:
                part.cancels.start()
        except BaseException as error:  # noqa: BLE001 - Dramatiq logs any exception here and goes on without a browser
            problem = find_driver_problem()
            log.critical("worker.not_started", error=problem or str(error))
            # A new start of the process does not help if this machine lacks something.
            os._exit(MACHINE_EXIT_CODE if problem else 1)

    def after_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        """Stop the browser and deregister the worker, once no job is running."""
        for part in self._parts:
            part.cancels.stop()
        _run_on_loop(self._stop())
        for part in self._parts:
            if part.stores.redis.availability.is_down:
                continue
            try:
                part.stores.workers.remove(self._worker_id)
            except Unavailable as error:
                # It counts as dead when its heartbeats are missed.
                log.warning("worker.not_removed", error=str(error))

    async def _start(self) -> None:
        # A server that hangs holds threads of its own number.
        executor = ThreadPoolExecutor(STORE_THREADS * len(self._parts), thread_name_prefix="store")
        asyncio.get_running_loop().set_default_executor(executor)
        await self._browsers.start()
        self._tasks = [
            asyncio.create_task(coroutine)
            for part in self._parts
            for coroutine in (part.heartbeat.run_forever(), part.attempts.renew_forever())
        ]
        for task in self._tasks:
            task.add_done_callback(_exit_unless_cancelled)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._browsers.stop()


class ServerPart:
    """What a worker has for one Redis server: its jobs there, their leases and cancellations, and its heartbeat."""

    def __init__(self, stores: Stores, attempts: AttemptRegistry, heartbeat: Heartbeat) -> None:
        self.stores = stores
        self.attempts = attempts
        self.heartbeat = heartbeat
        self.cancels = RedisListener(stores.redis, CANCELS_CHANNEL, self._cancel_job, on_gap=self._renew_leases)

    def _cancel_job(self, job_id: str) -> None:
        _loop_thread().loop.call_soon_threadsafe(self.attempts.cancel, job_id)

    def _renew_leases(self) -> None:
        # Cancellations may have been missed while the listener was disconnected. Renewing a lease reports them.
        asyncio.run_coroutine_threadsafe(self.attempts.renew_all(), _loop_thread().loop)


class AllAttempts:
    """The attempts of a worker at jobs of all servers."""

    def __init__(self, registries: Sequence[AttemptRegistry]) -> None:
        self.registries = registries

    def __len__(self) -> int:
        """The number of running attempts."""
        return sum(map(len, self.registries))

    def begin_draining(self) -> None:
        """Record that this worker has been told to stop."""
        for registry in self.registries:
            registry.begin_draining()

    def release_all(self) -> None:
        """Give all jobs back because the worker stops."""
        for registry in self.registries:
            registry.release_all()


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
    # The event loop is that of the first broker's middleware; actors of all brokers run on it.
    brokers = [
        BlockingRedisBroker(server.broker_url, [CurrentMessage()] if number else [AsyncIO(), CurrentMessage()])
        for number, server in enumerate(settings.redis_servers)
    ]
    stores = open_stores(settings, brokers=brokers)
    worker_id = create_worker_id()
    source = browser_source(settings)
    slots = _job_slots(settings, source)
    use_private_temp_dir(settings.data_dir)
    log.info("browser.found", source=str(source), sandbox=isinstance(source, LocalBrowser) and source.sandbox)
    browsers = BrowserPool(BrowserPoolConfig.from_settings(settings, source, _max_contexts(slots, len(brokers))))
    attempts = AllAttempts([AttemptRegistry(each.attempts) for each in stores.servers.members])
    parts = [
        ServerPart(each, registry, Heartbeat(each, browsers, attempts, worker_id, slots))
        for each, registry in zip(stores.servers.members, attempts.registries, strict=True)
    ]
    brokers[0].add_middleware(BrowserMiddleware(browsers, parts, worker_id))
    pool = SlotPool(slots) if len(brokers) > 1 else None
    for broker, part in zip(brokers, parts, strict=True):
        runner = Runner(part.stores, browsers, part.attempts, worker_id, pool)
        queries, inspector = SiteQueryRunner(part.stores, browsers), SiteInspector(part.stores, browsers)
        declare_worker_actors(broker, runner, queries, inspector, PosterRunner(part.stores, browsers))
        if pool:
            broker.fetch_limits[GENERATE_QUEUE] = pool.await_free

    def begin_draining() -> None:
        _loop_thread().loop.call_soon_threadsafe(attempts.begin_draining)
        _loop_thread().loop.call_soon_threadsafe(browsers.stop_replacing)

    def release_unfinished() -> None:
        _loop_thread().loop.call_soon_threadsafe(attempts.release_all)

    workers = [Worker(broker, worker_threads=slots + SITE_QUERY_SLOTS) for broker in brokers]
    for worker in workers:
        worker.queue_prefetch = slots
    monitors = make_monitors(stores, "worker", check_later)
    for monitor in monitors:
        monitor.start()
    serve(
        list(zip(brokers, workers, strict=True)),
        WORKER_QUEUES,
        grace_s=settings.drain_grace_s,
        on_stop=begin_draining,
        on_grace_expired=release_unfinished,
    )
    for monitor in monitors:
        monitor.stop()


def _job_slots(settings: Settings, source: BrowserSource) -> int:
    """Return how many jobs this worker runs at once, limited by a remote browser's reported capacity."""
    capacity = source.read_capacity() if isinstance(source, RemoteBrowser) else None
    return min(settings.worker_concurrency, capacity or settings.worker_concurrency)


def _max_contexts(slots: int, servers: int) -> int:
    """Return how many contexts may be open; jobs of a Redis server that is down keep theirs beside those of others."""
    return slots * min(servers, 2) + SITE_QUERY_SLOTS * servers


def _loop_thread() -> EventLoopThread:
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("the event loop has not been started")
    return thread


def _run_on_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run_coroutine_threadsafe(coroutine, _loop_thread().loop).result(START_TIMEOUT_S)
