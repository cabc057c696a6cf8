"""The baseline of the benches ``pickup`` and ``recovery``: a stock worker that says when it gets a message.

Run as a process of its own, with the address of Redis and how many seconds it holds each message. Its
answer to a message is the number of its process.
"""

import os
import signal
import sys
import threading

from dramatiq import Worker, actor
from dramatiq.brokers.redis import RedisBroker
from redis import Redis

QUEUE = "stock"
THREADS = 4


def main(url: str, hold_s: float) -> None:
    """Answer every message on a list, and hold it, until told to stop."""
    answers = Redis.from_url(url)
    broker = RedisBroker(url=url)

    @actor(broker=broker, queue_name=QUEUE)
    def ping(_number: int) -> None:
        answers.rpush("stock:answers", os.getpid())
        stopped.wait(hold_s)

    stopped = threading.Event()
    worker = Worker(broker, worker_threads=THREADS)
    worker.start()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    answers.rpush("stock:answers", "ready")
    stopped.wait()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
