"""The message broker: Dramatiq over Redis with blocking consumers and a separate heartbeat thread.

A stock Dramatiq consumer polls an empty queue up to once a second. Here an idle consumer adds its process to the set
``bell:QUEUE:waiting`` and blocks on a list of its own, ``bell:QUEUE:PROCESS`` (BLPOP); every enqueue takes one process
out of the set and pushes a token to its list, in the same script. So it wakes within milliseconds, sends almost no
commands while idle, and a message costs the same however many consumers wait: Redis looks at every client that blocks
on a list whenever something is pushed to it. If the set is empty, the token goes to the list ``bell:QUEUE``, on which
all consumers block as well. A fetch that leaves messages behind such a list without tokens gives one to the next
consumer, and so does the maintenance: a lost token delays a message by two seconds, a spare one costs an empty fetch.

A message's id is also its key in Redis, so that its existence can be checked.
"""

import itertools
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
import structlog
from dramatiq import Broker, Message, MessageProxy, Worker
from dramatiq.broker import Consumer
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed, DecodeError
from dramatiq.middleware import Middleware

from ops.infra.broker.scripts import OWN_SCRIPTS
from ops.infra.redis import SOCKET_TIMEOUT_S, connect, refuses_writes, run_script

WAKEUP_TIMEOUT_S = 5.0
STOPPING_TIMEOUT_S = 0.5
# After so many waits without a token a consumer looks at the queue itself.
WAITS_UNTIL_LOOK = 3
FETCH_LIMIT_TIMEOUT_S = 1.0
FINISH_RETRY_INTERVAL_S = 1.0
STOP_TIMEOUT_S = 1.0
# Longer than one call that hangs until its timeout, with the time before and after it.
HEARTBEAT_TIMEOUT_MS = 10_000
HEARTBEAT_INTERVAL_S = 1.0
# Of a process whose last heartbeat found the maintenance done by another one.
RELAXED_HEARTBEAT_INTERVAL_S = 2.5
# Far below what a script can return.
MAX_FETCHED = 1000

log = structlog.get_logger(__name__)


class BlockingRedisBroker(RedisBroker):
    """Dramatiq's Redis broker without polling and without delay queues: the job record holds a job's due time."""

    def __init__(self, url: str, middleware: list[Middleware], *, retries: int = 0) -> None:
        """``middleware`` replaces Dramatiq's defaults, because retries and time limits belong to the job.

        ``retries`` of a command whose response was lost are for processes that only enqueue: a fetch must not run
        twice.
        """
        super().__init__(  # type: ignore[no-untyped-call] # Dramatiq leaves it untyped
            client=connect(url, retries=retries),
            middleware=[*middleware, _EndOfWaits()],
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
            maintenance_chance=0,
        )
        self.scripts |= {name: self.client.register_script(text) for name, text in OWN_SCRIPTS.items()}
        # Set when this process is to stop: what Redis cannot be told then is not told later.
        self.stopping = threading.Event()
        # Whether a call has waited for Redis in vain, and none has been answered since.
        self.is_down = False
        self._waiting: set[Any] = set()
        self._waiting_lock = threading.Lock()
        # By queue: waits for so many seconds until a message may be fetched, and returns how many may.
        self.fetch_limits: dict[str, Callable[[float], int]] = {}

    @property
    def consumer_class(self) -> type["BlockingRedisConsumer"]:
        """The consumer class that Dramatiq instantiates."""
        return BlockingRedisConsumer

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue without the delay queue (and its polling consumer) that Dramatiq adds to each."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Put ``message`` on its queue and wake a consumer.

        Raises:
            ValueError: ``delay`` is set; delayed messages are not supported.
        """
        if delay is not None:
            raise ValueError("delayed messages are not supported; a job record holds its due time")
        message.options["redis_message_id"] = message.message_id
        self._dispatch_script("enqueue", message.queue_name, message.message_id, message.encode())
        return message

    def ticket(self, message: Message[Any]) -> dict[str, str | int]:
        """Return what ``enqueue`` would write, for a script that writes it together with something else."""
        message.options["redis_message_id"] = message.message_id
        queue = self.queue_key(message.queue_name)
        return {
            "queue": queue,
            "messages": f"{queue}.msgs",
            "id": message.message_id,
            "message": message.encode().decode(),
            "bell": _wakeup_key(message.queue_name),
            "heartbeats": f"{self.namespace}:__heartbeats__",
        }

    def fetch(self, queue_name: str, number: int) -> tuple[list[bytes], int]:
        """Take at most so many messages from the queue, for this process; return them and how many are left."""
        number = min(number, MAX_FETCHED)
        # Once: messages whose response was lost stay with this process.
        left, *messages = self.scripts["fetch"]([self.namespace], (queue_name, self.broker_id, number))
        self.is_down = False
        return [message for message in messages if message is not None], left

    def ack(self, queue_name: str, message_id: str) -> None:
        """Remove a message that this process has taken and handled."""
        run_script(self.client, self.scripts["ack"], [self.namespace], (queue_name, self.broker_id, message_id))

    def wait_for_token(self, queue_name: str) -> bool:
        """Take a wakeup token; False after ``WAKEUP_TIMEOUT_S`` without one, or when this process stops."""
        pool = self.client.connection_pool
        connection = pool.get_connection()
        try:
            with self._waiting_lock:
                self._waiting.add(connection)
                timeout_s = STOPPING_TIMEOUT_S if self.stopping.is_set() else WAKEUP_TIMEOUT_S
            bell = _wakeup_key(queue_name)
            announcement = ("SADD", f"{bell}:waiting", self.broker_id)
            wait = ("BLPOP", f"{bell}:{self.broker_id}", bell, timeout_s)
            connection.send_packed_command(connection.pack_commands((announcement, wait)))
            # A server without memory refuses it. The tokens for all consumers remain.
            with suppress(redis.ResponseError):
                connection.read_response()
            # Whatever the timeout of other commands is, which the URL may set.
            return connection.read_response(timeout=timeout_s + SOCKET_TIMEOUT_S) is not None
        except BaseException as error:
            # A later response must not be taken for that of another command.
            connection.disconnect()
            if self.stopping.is_set() and isinstance(error, redis.ConnectionError):
                return False
            raise
        finally:
            with self._waiting_lock:
                self._waiting.discard(connection)
            pool.release(connection)

    def end_waits(self) -> None:
        """End all waits for tokens now, and later ones after a short time, because this process stops."""
        with self._waiting_lock:
            self.stopping.set()
            for connection in self._waiting:
                # The thread that waits reads the end of the stream; a token that was on its way, or that is sent
                # because Redis reads of this wait only now, is replaced by the maintenance.
                with suppress(OSError, AttributeError):
                    connection._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 - redis-py's own way closes it under the reader

    def leave(self, queue_name: str, may_have_token: str) -> None:
        """Get no more tokens, and pass on those that this process has got, or ``may_have_token`` ("1") of a message."""
        run_script(self.client, self.scripts["leave"], [self.namespace], (queue_name, self.broker_id, may_have_token))

    def send_heartbeat(self, queue_name: str) -> bool:
        """Record that this process is alive, and requeue messages that dead ones had fetched from the queue.

        At most one process of all does the latter in each MAINTENANCE_INTERVAL_MS. Returns whether it was this one.
        """
        has_maintained = bool(self._dispatch_script("heartbeat", queue_name))
        self.is_down = False
        return has_maintained

    def _dispatch_script(self, command: str, queue_name: str, *args: str | bytes) -> Any:
        head = (command, 0, queue_name, self.broker_id)
        limits = (self.heartbeat_timeout, self.dead_message_ttl, 0, self._max_unpack_size())  # type: ignore[no-untyped-call] # as above
        return run_script(self.client, self.scripts["dispatch"], [self.namespace], (*head, *limits, *args))

    @contextmanager
    def closed_connections(self) -> Iterator[None]:
        """Raise Dramatiq's ConnectionClosed, after which it tries again, if Redis does not answer or refuses writes."""
        try:
            yield
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self.is_down = True
            raise ConnectionClosed(error) from None
        except redis.ResponseError as error:
            if not refuses_writes(error):
                raise
            raise ConnectionClosed(error) from None

    def queue_length(self, queue_name: str) -> int:
        """Return the number of messages that no consumer has fetched yet."""
        return int(self.client.llen(self.queue_key(queue_name)))

    def queue_key(self, queue_name: str) -> str:
        """Return the Redis key of the list of messages that no consumer has fetched yet."""
        return f"{self.namespace}:{queue_name}"


class BlockingRedisConsumer(Consumer):
    """Fetch up to ``prefetch`` messages; wait for a token when the queue is empty, for an ack when all are out."""

    def __init__(self, broker: BlockingRedisBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        """Dramatiq's signature; ``timeout`` is its poll interval and is ignored here."""
        self.broker = broker
        self.queue_name = queue_name
        self.prefetch = prefetch
        self.cache: list[bytes] = []
        self.unacked: set[str] = set()
        self.acked = threading.Event()
        self._may_have_messages = True
        self._has_passed_on = False
        self._has_left = False
        self._waits_until_look = WAITS_UNTIL_LOOK

    def __next__(self) -> MessageProxy | None:
        """Return the next message, or None after a wait.

        Raises:
            ConnectionClosed: Redis did not respond.
        """
        if not (self.cache or self.broker.stopping.is_set()):
            self._fetch()
        if self.broker.stopping.is_set():
            self._pass_on()
            self.acked.wait(STOPPING_TIMEOUT_S)
            self.acked.clear()
        if not self.cache:
            return None
        message: Message[Any] = Message.decode(self.cache.pop(0))
        self.unacked.add(message.message_id)
        return MessageProxy(message)

    def _fetch(self) -> None:
        free = self.prefetch - len(self.unacked)
        if free <= 0:
            self.acked.wait(timeout=1.0)
            self.acked.clear()
            return
        if limit := self.broker.fetch_limits.get(self.queue_name):
            free = min(free, limit(0) or self._await_limit(limit))
            if free <= 0:
                return
            self._has_passed_on = False
        may_have_messages, self._may_have_messages = self._may_have_messages, True
        with self.broker.closed_connections():
            if may_have_messages:
                self.cache, left = self.broker.fetch(self.queue_name, free)
                # Each message that comes later has a token.
                self._may_have_messages = left > 0
            if not self.cache:
                self._may_have_messages = self._await_message()

    def _await_message(self) -> bool:
        if self.broker.wait_for_token(self.queue_name):
            self._waits_until_look = WAITS_UNTIL_LOOK
            return True
        self._waits_until_look -= 1
        if self._waits_until_look > 0:
            return False
        self._waits_until_look = WAITS_UNTIL_LOOK
        return self.broker.queue_length(self.queue_name) > 0

    def _await_limit(self, limit: Callable[[float], int]) -> int:
        # This process may have taken the token of a message that it cannot fetch now, and another one can; nor can it
        # take a later one.
        if not self._has_passed_on:
            with self.broker.closed_connections():
                self.broker.leave(self.queue_name, "1" if self._may_have_messages else "0")
            self._has_passed_on = True
        return limit(FETCH_LIMIT_TIMEOUT_S)

    def ack(self, message: MessageProxy) -> None:
        """Remove a processed message."""
        self._finish("ack", message)

    def nack(self, message: MessageProxy) -> None:
        """Move a failed message to the dead-letter queue."""
        self._finish("nack", message)

    def _finish(self, command: str, message: MessageProxy) -> None:
        """Tell Redis that a message is done, again while it does not respond; a process that stops does not wait.

        Dramatiq's worker would repeat this for as long as an outage lasts, and so not stop.
        """
        finish = self.broker.ack if command == "ack" else self.broker.do_nack
        try:
            while True:
                try:
                    with self.broker.closed_connections():
                        finish(self.queue_name, message.options["redis_message_id"])
                except ConnectionClosed as error:
                    if self.broker.stopping.wait(FINISH_RETRY_INTERVAL_S):
                        # Other processes requeue the message once this process's heartbeat has expired.
                        log.warning("message.not_finished", command=command, error=str(error))
                        return
                else:
                    return
        finally:
            self.unacked.discard(message.message_id)
            self.acked.set()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Put back messages that were fetched and not started."""
        ids = [message.options["redis_message_id"] for message in messages]
        if ids:
            # If that fails, other processes requeue them once this process's heartbeat has expired.
            self._call_if_up(self.broker.do_requeue, *ids)

    def close(self) -> None:
        """Put back messages that were fetched and not handed out."""
        cached, self.cache = self.cache, []
        messages = []
        for data in cached:
            with suppress(DecodeError):
                messages.append(MessageProxy(Message.decode(data)))
        self.requeue(messages)

    def _pass_on(self) -> None:
        """Leave messages to other processes, because this one, which stops, would keep them until its last job ends."""
        self.close()
        if not self._has_left:
            self._has_left = True
            self._call_if_up(self.broker.leave, "1" if self._may_have_messages else "0")

    def _call_if_up(self, call: Callable[..., Any], *args: str) -> None:
        """Make a call for this queue that may fail; a process that stops does not wait for Redis several times."""
        if self.broker.stopping.is_set() and self.broker.is_down:
            log.warning("queue.unreachable", queue=self.queue_name, error="Redis has not answered a moment ago")
            return
        try:
            with self.broker.closed_connections():
                call(self.queue_name, *args)
        except ConnectionClosed as error:
            log.warning("queue.unreachable", queue=self.queue_name, error=str(error))


class HeartbeatThread:
    """Send heartbeats for one queue after another, independent of what the consumers are doing.

    In a large fleet, where other processes do the maintenance, they are less frequent.
    """

    def __init__(self, broker: BlockingRedisBroker, queues: frozenset[str]) -> None:
        self.broker = broker
        self.queues = queues
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for the current heartbeat to finish, unless Redis does not answer."""
        self.stopped.set()
        self.thread.join(timeout=STOP_TIMEOUT_S)

    def _run(self) -> None:
        queues = itertools.cycle(sorted(self.queues))
        interval_s = HEARTBEAT_INTERVAL_S
        while not self.stopped.wait(interval_s):
            try:
                with self.broker.closed_connections():
                    is_needed = self.broker.send_heartbeat(next(queues))
                interval_s = HEARTBEAT_INTERVAL_S if is_needed else RELAXED_HEARTBEAT_INTERVAL_S
            except (redis.RedisError, ConnectionClosed) as error:
                interval_s = HEARTBEAT_INTERVAL_S
                log.warning("heartbeat.failed", error=str(error))


class _EndOfWaits(Middleware):
    """Ends the waits of a broker whose worker stops."""

    def before_worker_shutdown(self, broker: Broker, _worker: Worker) -> None:
        """End them."""
        if isinstance(broker, BlockingRedisBroker):
            broker.end_waits()


def _wakeup_key(queue_name: str) -> str:
    return f"bell:{queue_name}"
