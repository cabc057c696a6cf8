"""Notification of waiting threads when jobs change: one Redis subscription per process wakes all of them."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import redis
import structlog
from redis import Redis

from stores.redis.keys import CHANGES_CHANNEL

RECONNECT_DELAY_S = 0.5
POLL_TIMEOUT_S = 1.0

log = structlog.get_logger(__name__)


class RedisListener:
    """A thread that listens to one Redis channel and reconnects when the connection is lost."""

    def __init__(
        self, client: Redis, channel: str, on_message: Callable[[str], None], on_gap: Callable[[], None]
    ) -> None:
        """``on_gap`` is called after each (re)connection, when messages may have been missed."""
        self._redis = client
        self._channel = channel
        self._on_message = on_message
        self._on_gap = on_gap
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=channel, daemon=True)

    def start(self) -> None:
        """Start listening."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and wait for the thread to end."""
        self._stopped.set()
        self._thread.join(timeout=POLL_TIMEOUT_S + 1)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except redis.RedisError as error:
                log.warning("channel.lost", channel=self._channel, error=str(error))
                self._stopped.wait(RECONNECT_DELAY_S)

    def _listen(self) -> None:
        with self._redis.pubsub() as subscription:
            subscription.subscribe(self._channel)
            while not self._stopped.is_set():
                message = subscription.get_message(timeout=POLL_TIMEOUT_S)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._on_gap()
                elif message["type"] == "message":
                    self._on_message(message["data"].decode())


class ChangeSignal:
    """Wakes one thread that waits for changes.

    ``newest_seq`` is the newest event number it was notified of, 0 if unknown; it has no meaning for several jobs.
    ``closing`` becomes true when this process stops, ``revoked`` when the waiting caller's key is no longer valid.
    """

    def __init__(self) -> None:
        self.newest_seq = 0
        self.closing = False
        self.revoked = False
        self._changed = threading.Event()

    def wait(self, timeout_s: float) -> bool:
        """Wait for a notification; False after ``timeout_s``. A notification since the last wait counts."""
        changed = self._changed.wait(max(0.0, timeout_s))
        self._changed.clear()
        return changed

    def notify(self, seq: int = 0) -> None:
        """Wake the thread. Without the number of the newest event, everything read before is stale."""
        self.newest_seq = max(self.newest_seq, seq) if seq else 0
        self._changed.set()


class JobNotifier:
    """Lets threads or greenlets wait until jobs change."""

    def __init__(self, client: Redis) -> None:
        """The subscription begins with the first watch, so processes that never wait never subscribe."""
        self._listener = RedisListener(client, CHANGES_CHANNEL, self._dispatch, self.notify_all)
        self._lock = threading.Lock()
        self._started = False
        self._closing = False
        self._signals: defaultdict[str, set[ChangeSignal]] = defaultdict(set)

    def watch(self, *job_ids: str) -> AbstractContextManager[ChangeSignal]:
        """Return a context manager with a signal for changes of one job, or of any of several."""
        return self._watch(*job_ids)

    def watch_owner(self, owner: str) -> AbstractContextManager[ChangeSignal]:
        """Return a context manager with a signal for changes of all jobs of one owner."""
        return self._watch(_owner_topic(owner))

    @contextmanager
    def _watch(self, *topics: str) -> Iterator[ChangeSignal]:
        signal = ChangeSignal()
        with self._lock:
            signal.closing = self._closing
            if not self._started:
                self._started = True
                self._listener.start()
            for topic in topics:
                self._signals[topic].add(signal)
        try:
            yield signal
        finally:
            with self._lock:
                for topic in set(topics):
                    self._signals[topic].discard(signal)
                    if not self._signals[topic]:
                        del self._signals[topic]

    def stop(self) -> None:
        """End the subscription."""
        if self._started:
            self._listener.stop()

    def announce_shutdown(self) -> None:
        """Mark all present and future signals as closing, and wake the present ones."""
        with self._lock:
            self._closing = True
        for signal in self._all_signals():
            signal.closing = True
            signal.notify()

    def notify_all(self) -> None:
        """Wake all threads: a change may have been missed."""
        for signal in self._all_signals():
            signal.notify()

    def _all_signals(self) -> list[ChangeSignal]:
        with self._lock:
            return [signal for signals in self._signals.values() for signal in signals]

    def _dispatch(self, message: str) -> None:
        job_id, seq, owner = message.split(" ", 2)
        with self._lock:
            signals = (*self._signals.get(job_id, ()), *self._signals.get(_owner_topic(owner), ()))
        for signal in signals:
            signal.notify(int(seq))


def _owner_topic(owner: str) -> str:
    # Job ids contain no space, so topics of owners and of jobs do not collide.
    return f"owner {owner}"
