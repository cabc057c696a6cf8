"""Owns the watching of jobs: one subscription a process wakes everybody who waits for a job to change.

Called by ``api.watching`` for long-polls and by ``workers.boot`` for cancellations.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis
import structlog
from redis import Redis

CHANGES = "dr:changes"
CANCELS = "dr:cancels"
RECONNECT_AFTER_S = 0.5
LISTEN_FOR_S = 1.0

log = structlog.get_logger(__name__)


class Channel:
    """A thread that listens to one Redis channel and hands on every message, across reconnects."""

    def __init__(self, client: Redis, channel: str, receive: Callable[[str], None], missed: Callable[[], None]) -> None:
        """``receive`` gets each message; ``missed`` is called when some may have been lost."""
        self._redis = client
        self._channel = channel
        self._receive = receive
        self._missed = missed
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=channel, daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; returns when the thread has ended."""
        self._stopped.set()
        self._thread.join(timeout=LISTEN_FOR_S + 1)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except redis.RedisError as error:
                log.warning("channel.lost", channel=self._channel, error=str(error))
                self._stopped.wait(RECONNECT_AFTER_S)

    def _listen(self) -> None:
        with self._redis.pubsub() as subscription:
            subscription.subscribe(self._channel)
            while not self._stopped.is_set():
                message = subscription.get_message(timeout=LISTEN_FOR_S)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._missed()
                elif message["type"] == "message":
                    self._receive(message["data"].decode())


class Changes:
    """Lets threads (or greenlets) wait until a job changes, with one subscription for all of them."""

    def __init__(self, client: Redis) -> None:
        """Listens from the first ``watch`` on, so that processes which never wait never subscribe."""
        self._channel = Channel(client, CHANGES, self._wake, self._wake_all)
        self._lock = threading.Lock()
        self._started = False
        self._waiting: defaultdict[str, set[threading.Event]] = defaultdict(set)

    @contextmanager
    def watch(self, job_id: str) -> Iterator[threading.Event]:
        """An event that is set at each change of the job, for as long as the block lasts."""
        changed = threading.Event()
        with self._lock:
            if not self._started:
                self._started = True
                self._channel.start()
            self._waiting[job_id].add(changed)
        try:
            yield changed
        finally:
            with self._lock:
                self._waiting[job_id].discard(changed)
                if not self._waiting[job_id]:
                    del self._waiting[job_id]

    def stop(self) -> None:
        """Listen no more."""
        if self._started:
            self._channel.stop()

    def _wake(self, message: str) -> None:
        job_id = message.partition(" ")[0]
        with self._lock:
            waiting = tuple(self._waiting.get(job_id, ()))
        for changed in waiting:
            changed.set()

    def _wake_all(self) -> None:
        with self._lock:
            waiting = [changed for group in self._waiting.values() for changed in group]
        for changed in waiting:
            changed.set()
