"""The watching of jobs: one subscription a process wakes everybody who waits for a job to change."""

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
    """A thread that listens to one Redis channel and hands on every message, across reconnects."""

    def __init__(
        self, client: Redis, channel: str, on_message: Callable[[str], None], on_gap: Callable[[], None]
    ) -> None:
        """``receive`` gets each message; ``missed`` is called when some may have been lost."""
        self._redis = client
        self._channel = channel
        self._receive = on_message
        self._missed = on_gap
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=channel, daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; returns when the thread has ended."""
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
                    self._missed()
                elif message["type"] == "message":
                    self._receive(message["data"].decode())


class ChangeSignal:
    """Somebody's wait for changes of one job or of all jobs of one owner."""

    def __init__(self) -> None:
        """Nothing has changed yet; ``closing`` becomes true when this process stops, ``revoked`` when a key does."""
        self.newest_seq = 0
        self.closing = False
        self.revoked = False
        self._changed = threading.Event()

    def wait(self, timeout_s: float) -> bool:
        """Whether something has, or may have, changed since the last wait; at the latest after ``timeout_s``."""
        changed = self._changed.wait(max(0.0, timeout_s))
        self._changed.clear()
        return changed

    def notify(self, seq: int = 0) -> None:
        """Something has changed; ``seq`` is the number of the newest event, if one knows.

        If not, nothing that was read before may be believed: ``newest`` is 0.
        """
        self.newest_seq = max(self.newest_seq, seq) if seq else 0
        self._changed.set()


class JobNotifier:
    """Lets threads (or greenlets) wait until jobs change, with one subscription for all of them."""

    def __init__(self, client: Redis) -> None:
        """Listens from the first ``watch`` on, so that processes which never wait never subscribe."""
        self._channel = RedisListener(client, CHANGES_CHANNEL, self._hear, self.notify_all)
        self._lock = threading.Lock()
        self._started = False
        self._closing = False
        self._signals: defaultdict[str, set[ChangeSignal]] = defaultdict(set)

    def watch(self, job_id: str) -> AbstractContextManager[ChangeSignal]:
        """A wait for changes of one job, for as long as the block lasts."""
        return self._watch(job_id)

    def watch_owner(self, owner: str) -> AbstractContextManager[ChangeSignal]:
        """A wait for changes of all jobs of one owner, for as long as the block lasts."""
        return self._watch(_topic(owner))

    @contextmanager
    def _watch(self, topic: str) -> Iterator[ChangeSignal]:
        watch = ChangeSignal()
        with self._lock:
            watch.closing = self._closing
            if not self._started:
                self._started = True
                self._channel.start()
            self._signals[topic].add(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._signals[topic].discard(watch)
                if not self._signals[topic]:
                    del self._signals[topic]

    def stop(self) -> None:
        """Listen no more."""
        if self._started:
            self._channel.stop()

    def announce_shutdown(self) -> None:
        """Let everybody who waits know that this process stops; who comes later knows at once."""
        with self._lock:
            self._closing = True
        for watch in self._all():
            watch.closing = True
            watch.notify()

    def notify_all(self) -> None:
        """Let everybody look again: something may have been missed."""
        for watch in self._all():
            watch.notify()

    def _all(self) -> list[ChangeSignal]:
        with self._lock:
            return [watch for group in self._signals.values() for watch in group]

    def _hear(self, message: str) -> None:
        job_id, seq, owner = message.split(" ", 2)
        with self._lock:
            watches = (*self._signals.get(job_id, ()), *self._signals.get(_topic(owner), ()))
        for watch in watches:
            watch.notify(int(seq))


def _topic(owner: str) -> str:
    """Among the ids of jobs, which contain no space."""
    return f"owner {owner}"
