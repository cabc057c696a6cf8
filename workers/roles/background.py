"""The role ``background``: pictures, webhooks and the library, without a browser."""

import os
import threading

import structlog
from dramatiq import Worker

from ops.infra.broker import BlockingRedisBroker
from ops.infra.settings import Settings
from ops.processes.temp_dirs import use_private_temp_dir
from schemas.messages import BACKGROUND_QUEUES
from stores import open_stores
from stores.environment.shared_settings import check_now_or_later
from stores.queue.process_monitor import ProcessMonitor, make_monitors
from workers.actors import declare_background_actors
from workers.library.indexer import LibraryIndexer
from workers.roles.serving import serve
from workers.webhooks.dispatcher import WebhookDispatcher

BACKGROUND_THREADS = 8
# For each of several Redis servers.
MIN_THREADS = 3

log = structlog.get_logger(__name__)


def run_background(settings: Settings) -> None:
    """Convert and inspect images, deliver webhooks and index the library until a stop signal."""
    check_later = check_now_or_later(settings)
    brokers = [BlockingRedisBroker(server.broker_url, []) for server in settings.redis_servers]
    stores = open_stores(settings, brokers=brokers)
    use_private_temp_dir(settings.data_dir)
    consumers = []
    for broker, of_server in zip(brokers, stores.servers.members, strict=True):
        declare_background_actors(broker, of_server)
        consumers.append((broker, Worker(broker, worker_threads=max(MIN_THREADS, BACKGROUND_THREADS // len(brokers)))))
    threading.excepthook = _exit_on_thread_error
    parts: tuple[LibraryIndexer | WebhookDispatcher | ProcessMonitor, ...] = (
        LibraryIndexer(stores),
        WebhookDispatcher(stores),
        *make_monitors(stores, "background", check_later),
    )
    for part in parts:
        part.start()
    serve(consumers, BACKGROUND_QUEUES, grace_s=settings.drain_grace_s)
    for part in parts:
        part.stop()


def _exit_on_thread_error(hook_args: threading.ExceptHookArgs) -> None:
    """Exit if any thread dies, so that the supervisor replaces a process that no longer does all of its work."""
    log.critical("background.thread_failed", exc_info=hook_args.exc_value)
    os._exit(1)
