"""A stock Dramatiq worker and its client: the baseline of the benchmarks ``pickup`` and ``recovery``.

``python -m ops.bench.baselines.stock_dramatiq URL HOLD_S`` runs the worker; it pushes its process id to a Redis list
for each message, then holds the message for HOLD_S seconds.
"""

import os
import signal
import sys
import threading
from typing import cast

from dramatiq import Message, Worker, actor
from dramatiq.brokers.redis import RedisBroker
from redis import Redis

QUEUE = "stock"
ANSWERS = "stock:answers"
THREADS = 4
START_TIMEOUT_S = 30.0
# Added to the socket's timeout, so that BLPOP ends first.
SOCKET_MARGIN_S = 10.0


class StockQueue:
    """The client side: sends messages and waits for the workers' answers."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        """``timeout_s`` is the longest wait for an answer."""
        self._timeout_s = timeout_s
        self._answers = Redis.from_url(url, socket_timeout=max(timeout_s, START_TIMEOUT_S) + SOCKET_MARGIN_S)
        self._broker = RedisBroker(url=url)
        self._broker.declare_queue(QUEUE)

    @staticmethod
    def worker_command(url: str, *, hold_s: float = 0) -> list[str]:
        """Return the command that runs a worker."""
        return [sys.executable, "-m", __name__, url, str(hold_s)]

    def await_worker(self) -> None:
        """Wait until one more worker is ready; raises TimeoutError."""
        if self._answers.blpop([ANSWERS], timeout=START_TIMEOUT_S) is None:
            raise TimeoutError("the stock worker did not start")

    def send(self) -> None:
        """Enqueue a message."""
        message: Message[None] = Message(QUEUE, "ping", (1,), {}, {})
        self._broker.enqueue(message)

    def await_answer(self, timeout_s: float | None = None) -> int | None:
        """Wait for a worker to take a message; return its process id, or None after the timeout."""
        answer = cast(tuple[bytes, bytes] | None, self._answers.blpop([ANSWERS], timeout=timeout_s or self._timeout_s))
        return int(answer[1]) if answer else None


def main(url: str, hold_s: float) -> None:
    """Run a worker until SIGTERM."""
    answers = Redis.from_url(url)
    broker = RedisBroker(url=url)

    @actor(broker=broker, queue_name=QUEUE)
    def ping(_number: int) -> None:
        answers.rpush(ANSWERS, os.getpid())
        stopped.wait(hold_s)

    stopped = threading.Event()
    worker = Worker(broker, worker_threads=THREADS)
    worker.start()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    answers.rpush(ANSWERS, "ready")
    stopped.wait()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
