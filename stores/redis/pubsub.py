"""Notification of waiting threads when jobs change: one Redis subscription per process wakes all of them."""

import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import redis
import structlog
from redis import Redis
from redis.client import PubSub

from stores.redis.fences import Fences
from stores.redis.keys import CHANGES_CHANNEL

RECONNECT_DELAY_S = 0.5
POLL_TIMEOUT_S = 1.0

log = structlog.get_logger(__name__)


class RedisListener:
    """A thread that listens to one Redis channel and reconnects when the connection is lost."""

    def __init__(
        self,
        client: Redis,
        channel: str,
        on_message: Callable[[str], None],
        on_gap: Callable[[], None],
        on_loss: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the thread.

        ``on_gap`` is called after each (re)connection, when messages may have been missed, and ``on_loss`` before it.
        """
        self._redis = client
        self._channel = channel
        self._on_message = on_message
        self._on_gap = on_gap
        self._on_loss = on_loss
        self._subscription: PubSub | None = None
        # The socket on which the subscription is confirmed. redis-py replaces a lost socket automatically.
        self._socket: socket.socket | None = None
        self._fences = Fences(self._send_ping)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=channel, daemon=True)

    def start(self) -> None:
        """Start listening."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and wait for the thread to end."""
        self._stopped.set()
        self._thread.join(timeout=POLL_TIMEOUT_S + 1)

    def catch_up(self, timeout_s: float) -> bool:
        """Return True once everything has been handled that was published before; False if this is unknown."""
        return self._fences.wait(timeout_s)

    def _send_ping(self, token: bytes) -> bool:
        subscription, confirmed = self._subscription, self._socket
        connection = subscription.connection if subscription else None
        # On any other socket an answer would prove nothing.
        if connection is None or confirmed is None or connection._sock is not confirmed:  # noqa: SLF001 - redis-py does not tell
            return False
        try:
            # Not by redis-py, which would disconnect after a failure, while the listening thread reads.
            confirmed.sendall(b"*2\r\n$4\r\nPING\r\n$%d\r\n%b\r\n" % (len(token), token))
        except OSError:
            return False
        return True

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
            self._subscription = subscription
            try:
                while not self._stopped.is_set():
                    message = subscription.get_message(timeout=POLL_TIMEOUT_S)
                    if message is not None:
                        self._handle(message["type"], message["data"])
            finally:
                self._subscription = None
                self._lose()

    def _handle(self, kind: str, data: bytes) -> None:
        if kind == "message":
            self._on_message(data.decode())
        elif kind == "pong":
            self._fences.pass_through(data)
        elif kind == "subscribe":
            self._lose()
            connection = self._subscription.connection if self._subscription else None
            self._socket = connection._sock if connection else None  # noqa: SLF001 - as above
            self._on_gap()

    def _lose(self) -> None:
        self._socket = None
        self._on_loss()
        self._fences.fail_all()


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


class ChangeObserver(Protocol):
    """Follows all changes: the listening thread calls it for each, in their order."""

    def on_change(self, job_id: str, *, moves_queue: bool) -> None:
        """A job has changed; ``moves_queue`` if positions or estimates of other jobs may have changed too."""

    def on_live(self) -> None:
        """From now on there is a call for each change."""

    def on_loss(self) -> None:
        """Changes may be missed from now on."""


class WaitingThreads:
    """The threads that wait for changes, by what they wait for; shared by the notifiers of several servers."""

    def __init__(self) -> None:
        self.sources: list[JobNotifier] = []
        self._lock = threading.Lock()
        self._closing = False
        self._signals: defaultdict[str, set[ChangeSignal]] = defaultdict(set)

    @contextmanager
    def watch(self, *topics: str) -> Iterator[ChangeSignal]:
        """Yield a signal for changes of any of these, from any source."""
        signal = ChangeSignal()
        with self._lock:
            signal.closing = self._closing
            for topic in topics:
                self._signals[topic].add(signal)
        for source in self.sources:
            source.start()
        try:
            yield signal
        finally:
            with self._lock:
                for topic in set(topics):
                    self._signals[topic].discard(signal)
                    if not self._signals[topic]:
                        del self._signals[topic]

    def notify(self, seq: int, *topics: str) -> None:
        """Wake those who wait for one of these."""
        with self._lock:
            signals = [signal for topic in topics for signal in self._signals.get(topic, ())]
        for signal in signals:
            signal.notify(seq)

    def notify_all(self) -> None:
        """Wake all threads: a change may have been missed."""
        for signal in self._all():
            signal.notify()

    def close(self) -> None:
        """Mark all present and future signals as closing, and wake the present ones."""
        with self._lock:
            self._closing = True
        for signal in self._all():
            signal.closing = True
            signal.notify()

    def _all(self) -> list[ChangeSignal]:
        with self._lock:
            return [signal for signals in self._signals.values() for signal in signals]


class JobNotifier:
    """Lets threads or greenlets wait until jobs change."""

    def __init__(self, client: Redis, waiting: WaitingThreads | None = None) -> None:
        """The subscription begins with the first watch, so processes that never wait never subscribe.

        Threads wait for changes on all servers whose notifiers share ``waiting``.
        """
        self._listener = RedisListener(client, CHANGES_CHANNEL, self._dispatch, self._on_gap, self._on_loss)
        self._observers: list[ChangeObserver] = []
        self._lock = threading.Lock()
        self._started = False
        self._is_live = False
        self._waiting = waiting or WaitingThreads()
        self._waiting.sources.append(self)

    def watch(self, *job_ids: str) -> AbstractContextManager[ChangeSignal]:
        """Return a context manager with a signal for changes of one job, or of any of several."""
        return self._waiting.watch(*job_ids)

    def watch_owner(self, owner: str) -> AbstractContextManager[ChangeSignal]:
        """Return a context manager with a signal for changes of all jobs of one owner."""
        return self._waiting.watch(_owner_topic(owner))

    def observe(self, observer: ChangeObserver) -> None:
        """Call ``observer`` for every change from now on."""
        with self._lock:
            self._observers.append(observer)
        self.start()
        # A thread that waits may have begun the subscription long ago. If it is lost at this moment, no fence passes
        # until it is back, and observers are told of the loss once more before that.
        if self._is_live:
            observer.on_live()

    def catch_up(self, timeout_s: float) -> bool:
        """Return True once observers know all changes from before this call; False if this is unknown."""
        return self._listener.catch_up(timeout_s)

    def start(self) -> None:
        """Begin the subscription, if it has not begun."""
        with self._lock:
            is_first, self._started = not self._started, True
        if is_first:
            self._listener.start()

    def stop(self) -> None:
        """End the subscription."""
        if self._started:
            self._listener.stop()

    def announce_shutdown(self) -> None:
        """Mark all present and future signals as closing, and wake the present ones."""
        self._waiting.close()

    def notify_all(self) -> None:
        """Wake all threads: a change may have been missed."""
        self._waiting.notify_all()

    def _on_gap(self) -> None:
        # Before the calls: an observer that is added meanwhile is notified here or there.
        self._is_live = True
        for observer in self._observers:
            observer.on_live()
        self.notify_all()

    def _on_loss(self) -> None:
        self._is_live = False
        for observer in self._observers:
            observer.on_loss()

    def _dispatch(self, message: str) -> None:
        job_id, seq, owner = message.split(" ", 2)
        for observer in self._observers:
            observer.on_change(job_id, moves_queue=seq.startswith("+"))
        self._waiting.notify(int(seq), job_id, _owner_topic(owner))


def _owner_topic(owner: str) -> str:
    # Job ids contain no space, so topics of owners and of jobs do not collide.
    return f"owner {owner}"
