"""Simulated workers: everything that a worker says to Redis, and no browser.

Run as ``python -m gevent.monkey --module ops.bench.tools.fleet_workers FIRST WORKERS RUN_S``: each worker is a few
greenlets and has its own connections, as a worker process has. A job is claimed by a wakeup, accepted, shows previews
with progress for RUN_S, and ends with a picture.
"""

import contextlib
import random
import sys
import threading
import time

from ops.infra.broker import BlockingRedisBroker, HeartbeatThread
from ops.infra.logging import configure_logging
from ops.infra.settings import load_settings
from schemas.errors import LeaseLost, Unavailable
from schemas.jobs.job import GeneratedImage, Job, Progress
from schemas.messages import GENERATE_QUEUE, WORKER_QUEUES
from stores import Stores, open_stores
from stores.images.stored_results import MAX_BYTES_IN_REDIS
from stores.queue.worker_heartbeats import WorkerStatus
from workers.jobs.attempt_registry import LEASE_RENEWAL_INTERVAL_S
from workers.jobs.heartbeat import HEARTBEAT_INTERVAL_S

# What a job of 512 x 512 pixels shows meanwhile. As the page is looked at four times a second, a new preview and new
# progress are seen together.
PREVIEW, PREVIEWS = random.randbytes(18_000), 6
# It goes to the media store, of which Redis gets the keys alone, so it need not be larger than that takes.
ORIGINAL = random.randbytes(MAX_BYTES_IN_REDIS + 8_000)
START_INTERVAL_S = 0.005


class FleetWorker:
    """One worker with one slot, and what it has for one Redis server; those of other servers share ``slot``."""

    def __init__(self, stores: Stores, broker_url: str, number: int, run_s: float, slot: threading.Lock) -> None:
        self._stores = stores
        self._slot = slot
        self._broker = BlockingRedisBroker(broker_url, [])
        self._id = f"fleet:{number}"
        self._run_s = run_s
        self._has_job = False
        if len(stores.servers) > 1:
            self._broker.fetch_limits[GENERATE_QUEUE] = self._await_slot

    def _await_slot(self, timeout_s: float) -> int:
        if not self._slot.acquire(timeout=timeout_s or -1, blocking=timeout_s > 0):
            return 0
        self._slot.release()
        return 1

    def start(self) -> None:
        """Start its threads."""
        HeartbeatThread(self._broker, WORKER_QUEUES).start()
        for queue in WORKER_QUEUES:
            self._broker.declare_queue(queue)
            threading.Thread(target=self._consume, args=(queue,), daemon=True).start()
        threading.Thread(target=self._send_heartbeats, daemon=True).start()

    def _send_heartbeats(self) -> None:
        # Spread over the interval, as those of processes are that did not start together.
        time.sleep(random.uniform(0, HEARTBEAT_INTERVAL_S))
        while True:
            status = WorkerStatus(
                self._id,
                ready=True,
                browser="none",
                browser_restarts=0,
                contexts=int(self._has_job),
                slots=1,
                jobs=int(self._has_job),
                memory_bytes=300_000_000,
            )
            with contextlib.suppress(Unavailable):
                self._stores.workers.keep_alive(status)
            time.sleep(HEARTBEAT_INTERVAL_S)

    def _consume(self, queue: str) -> None:
        consumer = self._broker.consume(queue, prefetch=1, timeout=1000)
        for message in consumer:
            if message is not None:
                if queue == GENERATE_QUEUE:
                    self._run_next_job()
                consumer.ack(message)

    def _run_next_job(self) -> None:
        # In the order of arrival.
        with self._slot:
            self._has_job = True
            self._run_claimed()
            self._has_job = False

    def _run_claimed(self) -> None:
        job = self._stores.attempts.claim(self._id)
        if job is None:
            return
        try:
            self._run(job)
        except (LeaseLost, Unavailable) as error:
            sys.stderr.write(f"{job.id}: {error!r}\n")

    def _run(self, job: Job) -> None:
        attempts = self._stores.attempts
        attempts.mark_accepted(job)
        renewed_at = time.monotonic()
        for _ in range(PREVIEWS):
            time.sleep(self._run_s / PREVIEWS)
            if time.monotonic() - renewed_at >= LEASE_RENEWAL_INTERVAL_S:
                renewed_at = time.monotonic()
                attempts.renew(job)
            attempts.record_updates(job, Progress(50.0, 10, 20), PREVIEW)
        image = GeneratedImage(ORIGINAL, "image/png", 512, 512)
        keys = attempts.store_images(job, [image], ORIGINAL)
        attempts.complete(job, [image], keys)


def main(first: int, workers: int, run_s: float) -> None:
    """Run workers, numbered from ``first`` on, until this process ends."""
    configure_logging("bench", level="error")
    settings = load_settings()
    stores = open_stores(settings)
    for number in range(first, first + workers):
        slot = threading.Lock()
        for of_server, server in zip(stores.servers.members, settings.redis_servers, strict=True):
            worker = FleetWorker(of_server, server.broker_url, number, run_s, slot)
            worker.start()
        # So many new connections at once would overflow the server's queue of them.
        time.sleep(START_INTERVAL_S)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
