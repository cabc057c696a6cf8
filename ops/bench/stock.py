"""Owns the baseline of the bench ``pickup``: a stock Dramatiq worker on Redis that says when it gets a message.

Run by ``ops.bench.pickup`` as a process of its own, with the address of Redis.
"""

import signal
import sys
import threading

from dramatiq import Worker, actor
from dramatiq.brokers.redis import RedisBroker
from redis import Redis

QUEUE = "stock"
THREADS = 4


def main(url: str) -> None:
    """Answer every message on a list until told to stop."""
    answers = Redis.from_url(url)
    broker = RedisBroker(url=url)

    @actor(broker=broker, queue_name=QUEUE)
    def ping(number: int) -> None:
        answers.rpush("stock:answers", number)

    worker = Worker(broker, worker_threads=THREADS)
    worker.start()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    answers.rpush("stock:answers", "ready")
    stopped.wait()


if __name__ == "__main__":
    main(sys.argv[1])
