"""The broker: blocking fetches, and messages of dead processes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dramatiq import Message, Worker, actor
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware
from redis import Redis, ResponseError, TimeoutError  # noqa: A004 - redis-py's own

from ops.infra.broker import BlockingRedisBroker, HeartbeatThread
from ops.infra.broker.scripts import MAX_WAKEUP_TOKENS
from ops.infra.settings import Settings
from schemas.errors import Unavailable
from schemas.messages import GENERATE, GENERATE_QUEUE
from stores.queue.messages import Queue
from tests.conftest import eventually


class Receiver:
    """A process's broker and worker: records what it receives, and can be blocked."""

    def __init__(self, settings: Settings, prefetch: int = 2) -> None:
        self.broker = BlockingRedisBroker(settings.broker_url, [])
        self.received: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

        @actor(broker=self.broker, actor_name="generate", queue_name=GENERATE_QUEUE)
        def generate(job_id: str) -> None:
            self.received.append(job_id)
            self.go_on.wait(30)

        self.worker = Worker(self.broker, worker_threads=2)
        self.worker.queue_prefetch = prefetch


@contextmanager
def run_receiver(settings: Settings, prefetch: int = 2) -> Iterator[Receiver]:
    """A running receiver."""
    receiver = Receiver(settings, prefetch)
    receiver.worker.start()
    try:
        yield receiver
    finally:
        receiver.go_on.set()
        receiver.worker.stop(timeout=60_000)
        receiver.broker.client.close()


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    """The sending side."""
    broker = BlockingRedisBroker(settings.broker_url, [])
    yield Queue(broker)
    broker.client.close()


def test_messages_arrive_in_order_and_once(settings: Settings, queue: Queue) -> None:
    """They may be sent before or after the receiver starts."""
    ids = [str(number) for number in range(20)]
    for message_id in ids[:10]:
        queue.send(GENERATE, message_id)
    with run_receiver(settings) as receiver:
        eventually(lambda: len(receiver.received) == 10)
        for message_id in ids[10:]:
            queue.send(GENERATE, message_id)
        eventually(lambda: len(receiver.received) == 20)

    assert ids == sorted(receiver.received, key=int)
    assert queue.depth() == 0


def test_a_busy_receiver_fetches_no_further_messages(settings: Settings, queue: Queue) -> None:
    """Other receivers can fetch the rest; wakeup tokens do not accumulate."""
    with run_receiver(settings) as receiver:
        receiver.go_on.clear()
        for number in range(MAX_WAKEUP_TOKENS + 20):
            queue.send(GENERATE, str(number))
        eventually(lambda: len(receiver.received) == 2)
        assert queue.depth() == MAX_WAKEUP_TOKENS + 18
        assert receiver.broker.client.llen(f"bell:{GENERATE_QUEUE}") <= MAX_WAKEUP_TOKENS
        receiver.go_on.set()
        eventually(lambda: len(receiver.received) == MAX_WAKEUP_TOKENS + 20)


def test_messages_of_a_dead_process_are_requeued(settings: Settings, queue: Queue) -> None:
    """Living processes take the messages of a process without heartbeats."""
    dead = BlockingRedisBroker(settings.broker_url, [])
    dead.heartbeat_timeout = 0
    queue.send(GENERATE, "from the dead")
    assert len(dead.fetch(GENERATE_QUEUE, 1)[0]) == 1
    assert queue.depth() == 0

    with run_receiver(settings) as receiver:
        receiver.broker.heartbeat_timeout = 0
        heartbeats = HeartbeatThread(receiver.broker, frozenset({GENERATE_QUEUE}))
        heartbeats.start()
        eventually(lambda: receiver.received == ["from the dead"])
        heartbeats.stop()
    dead.client.close()


def test_a_heartbeat_says_whether_it_did_the_maintenance(settings: Settings, queue: Queue) -> None:
    """A message that returns to its queue has a token again, so that a waiting consumer need not time out."""
    first, second = (BlockingRedisBroker(settings.broker_url, []) for _ in range(2))
    queue.send(GENERATE, "from the dead")
    first.fetch(GENERATE_QUEUE, 1)
    assert first.wait_for_token(GENERATE_QUEUE)
    first.do_requeue(GENERATE_QUEUE, first.client.srandmember(f"dramatiq:__acks__.{first.broker_id}.{GENERATE_QUEUE}"))
    first.client.delete(f"bell:{GENERATE_QUEUE}")

    assert [broker.send_heartbeat(GENERATE_QUEUE) for broker in (first, second)] == [True, False]
    assert first.client.llen(f"bell:{GENERATE_QUEUE}") == 1
    assert second.wait_for_token(GENERATE_QUEUE)
    for broker in (first, second):
        broker.client.close()


def test_fetched_messages_are_returned_at_shutdown(settings: Settings, queue: Queue) -> None:
    """A process that stops gracefully leaves no message behind."""
    with run_receiver(settings, prefetch=5) as receiver:
        receiver.go_on.clear()
        for number in range(5):
            queue.send(GENERATE, str(number))
        eventually(lambda: queue.depth() == 0 and len(receiver.received) == 2)
        stopping = threading.Thread(target=receiver.worker.stop, kwargs={"timeout": 10_000})
        stopping.start()
        eventually(lambda: not any(thread.running for thread in receiver.worker.workers))
        receiver.go_on.set()
        stopping.join()
        receiver.worker.stop = lambda **_: None  # type: ignore[method-assign] # it has stopped

        assert queue.depth() == 3


def test_a_process_that_drains_takes_no_message(settings: Settings, queue: Queue) -> None:
    """It would keep it until its last job has ended; another one handles it meanwhile."""
    with run_receiver(settings) as draining:
        draining.go_on.clear()
        queue.send(GENERATE, "1")
        eventually(lambda: draining.received == ["1"])
        stopping = threading.Thread(target=draining.worker.stop, kwargs={"timeout": 60_000})
        stopping.start()
        eventually(draining.broker.stopping.is_set)
        queue.send(GENERATE, "2")
        with run_receiver(settings) as other:
            eventually(lambda: other.received == ["2"])
        draining.go_on.set()
        stopping.join()
        draining.worker.stop = lambda **_: None  # type: ignore[method-assign] # it has stopped

    assert (draining.received, queue.depth()) == (["1"], 0)


def test_a_consumer_passes_on_what_it_does_not_hand_out(settings: Settings, queue: Queue) -> None:
    """Messages that it has fetched return to their queue, and a token that it has taken to others, once."""
    bell = f"bell:{GENERATE_QUEUE}"
    for number in range(4):
        queue.send(GENERATE, str(number))
    brokers = [BlockingRedisBroker(settings.broker_url, []) for _ in range(2)]
    closed, stopping = (broker.consume(GENERATE_QUEUE, prefetch=3) for broker in brokers)
    assert next(closed)
    assert queue.depth() == 1
    closed.close()
    assert queue.depth() == 3
    assert next(stopping)
    assert queue.depth() == 0
    brokers[1].stopping.set()
    assert next(stopping) is None
    assert queue.depth() == 2

    late = brokers[1].consume(GENERATE_QUEUE)
    queue.client.delete(bell)
    assert [next(late), next(late)] == [None, None]
    assert (queue.depth(), queue.client.llen(bell)) == (2, 1)
    for broker in brokers:
        broker.client.close()


def test_a_process_that_stops_waits_for_redis_once(settings: Settings, queue: Queue) -> None:
    """After a call that was not answered it returns no message, until a heartbeat is answered."""
    broker = BlockingRedisBroker(settings.broker_url, [])
    queue.send(GENERATE, "1")
    consumer = broker.consume(GENERATE_QUEUE)
    message = next(consumer)
    assert message
    broker.stopping.set()
    with pytest.raises(ConnectionClosed), broker.closed_connections():
        raise TimeoutError
    consumer.requeue([message])
    assert queue.depth() == 0

    broker.send_heartbeat(GENERATE_QUEUE)
    consumer.requeue([message])
    assert queue.depth() == 1
    broker.client.close()


def test_a_wait_outlasts_the_timeout_of_other_commands(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL may set a shorter one; the wait ends without a token, not with an error."""
    monkeypatch.setattr("ops.infra.broker.WAKEUP_TIMEOUT_S", 0.5)
    url = settings.broker_url
    broker = BlockingRedisBroker(f"{url}{'&' if '?' in url else '?'}socket_timeout=0.2", [])
    assert not broker.wait_for_token(GENERATE_QUEUE)
    broker.client.close()


def test_an_idle_queue_costs_about_two_commands_a_second(settings: Settings) -> None:
    """Heartbeats, the command inside each, and waits are counted together, by the server and over its own time."""
    with run_receiver(settings) as receiver:
        heartbeats = HeartbeatThread(receiver.broker, frozenset({GENERATE_QUEUE}))
        client: Redis = receiver.broker.client
        before = _calls(client)
        heartbeats.start()
        # The first calls of scripts fail until these have been loaded.
        eventually(lambda: _calls(client).get("evalsha", 0) - before.get("evalsha", 0) >= 4)
        before, began = _calls(client), client.time()
        # Heartbeats measure the time by the server's own commands.
        eventually(lambda: _calls(client)["evalsha"] - before["evalsha"] >= 8)
        after, ended = _calls(client), client.time()
        heartbeats.stop()

    seconds = ended[0] - began[0] + (ended[1] - began[1]) / 1e6
    names = ("evalsha", "eval", "sadd", "blpop", "llen", "rpush", "ltrim")
    used = sum(after.get(name, 0) - before.get(name, 0) for name in names)
    assert used / seconds <= 2.5


def _calls(client: Redis) -> dict[str, int]:
    stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()}


def test_delayed_messages_are_refused(settings: Settings) -> None:
    """A job's record has its due time, so a delayed message is a bug."""
    broker = BlockingRedisBroker(settings.broker_url, [])
    message: Message[None] = Message(GENERATE_QUEUE, "generate", (), {}, {})

    with pytest.raises(ValueError, match="delayed messages are not supported"):
        broker.enqueue(message, delay=1000)
    broker.client.close()


def test_an_unavailable_queue_raises(settings: Settings) -> None:
    """The sender gets an error that becomes a 503."""
    queue = Queue(BlockingRedisBroker(f"unix://{settings.data_dir}/none.sock", [Middleware()]))

    with pytest.raises(Unavailable):
        queue.send(GENERATE, "a")
    with pytest.raises(Unavailable):
        queue.depth()


@contextmanager
def refused_ack(receiver: Receiver, queue: Queue) -> Iterator[None]:
    """Let a receiver hold a message while the server refuses all writes."""
    receiver.go_on.clear()
    queue.send(GENERATE, "1")
    eventually(lambda: receiver.received == ["1"])
    queue.client.config_set("min-replicas-to-write", 1)
    try:
        yield
    finally:
        queue.client.config_set("min-replicas-to-write", 0)


def test_an_ack_is_repeated_while_the_server_stores_nothing(settings: Settings, queue: Queue) -> None:
    """A server without its replicas, or with a full disk, refuses it; the message is handled once, and others are."""
    client = queue.client
    with run_receiver(settings) as receiver:
        with refused_ack(receiver, queue):
            with pytest.raises(ResponseError, match="NOREPLICAS"):
                client.set("x", "y")
            receiver.go_on.set()
            with pytest.raises(ConnectionClosed):
                next(receiver.broker.consume(GENERATE_QUEUE))
        eventually(lambda: not client.exists(f"{queue.wakeups_key}.msgs"))
        queue.send(GENERATE, "2")
        eventually(lambda: receiver.received == ["1", "2"])


def test_a_process_that_stops_gives_up_an_ack(settings: Settings, queue: Queue) -> None:
    """It ends although the server refuses the ack; the message stays, for a process that notices the death."""
    with run_receiver(settings) as receiver, refused_ack(receiver, queue):
        receiver.go_on.set()
        receiver.broker.stopping.set()
        for thread in receiver.worker.workers:
            thread.stop()
        eventually(lambda: not any(thread.is_alive() for thread in receiver.worker.workers))
        assert queue.client.exists(f"{queue.wakeups_key}.msgs")


def test_a_burst_wakes_every_idle_receiver(settings: Settings, queue: Queue) -> None:
    """Messages without tokens of their own are passed on from one receiver to the next."""
    for number in range(3):
        queue.send(GENERATE, str(number))
    queue.client.delete(f"bell:{GENERATE_QUEUE}")
    brokers = [BlockingRedisBroker(settings.broker_url, []) for _ in range(3)]

    assert [brokers[0].fetch(GENERATE_QUEUE, 1)[1], queue.client.llen(f"bell:{GENERATE_QUEUE}")] == [2, 1]
    assert brokers[1].wait_for_token(GENERATE_QUEUE)
    assert [brokers[1].fetch(GENERATE_QUEUE, 1)[1], queue.client.llen(f"bell:{GENERATE_QUEUE}")] == [1, 1]
    assert brokers[2].wait_for_token(GENERATE_QUEUE)
    assert [brokers[2].fetch(GENERATE_QUEUE, 1)[1], queue.client.llen(f"bell:{GENERATE_QUEUE}")] == [0, 0]
    assert brokers[0].fetch(GENERATE_QUEUE, 1) == ([], 0)
    for broker in brokers:
        broker.client.close()


def test_a_message_of_an_earlier_version_s_process_is_handled(settings: Settings, queue: Queue) -> None:
    """Dramatiq's own scripts and these use the same keys, so processes of both may share a queue."""
    earlier, present = (BlockingRedisBroker(settings.broker_url, []) for _ in range(2))
    for number in range(2):
        queue.send(GENERATE, str(number))
    acks = f"dramatiq:__acks__.{{}}.{GENERATE_QUEUE}"
    assert len(earlier.do_fetch(GENERATE_QUEUE, 1)) == 1
    assert present.fetch(GENERATE_QUEUE, 1)[1] == 0
    message_ids = [queue.client.srandmember(acks.format(broker.broker_id)) for broker in (earlier, present)]

    # One that another process has taken is not removed.
    present.ack(GENERATE_QUEUE, message_ids[0].decode())
    assert queue.client.hlen(f"{queue.wakeups_key}.msgs") == 2
    present.ack(GENERATE_QUEUE, message_ids[1].decode())
    earlier.do_ack(GENERATE_QUEUE, message_ids[0])
    assert not queue.client.hlen(f"{queue.wakeups_key}.msgs")
    for broker in (earlier, present):
        broker.client.close()


def test_a_waiting_receiver_stops_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its wait ends with it, and with nothing lost."""
    monkeypatch.setattr("ops.infra.broker.WAKEUP_TIMEOUT_S", 60)
    with run_receiver(settings) as receiver:
        client = receiver.broker.client
        eventually(lambda: client.info("clients")["blocked_clients"] == 1)
        # Without an end of its own, the wait would outlast the test.
        receiver.worker.stop(timeout=20_000)
        assert not any(consumer.is_alive() for consumer in receiver.worker.consumers.values())
        receiver.worker.stop = lambda **_: None  # type: ignore[method-assign] # it has stopped
    assert not receiver.received


def test_an_ack_needs_no_memory(settings: Settings, queue: Queue) -> None:
    """A server whose memory is full forgets a handled message, and has room for another one."""
    with run_receiver(settings) as receiver:
        receiver.go_on.clear()
        queue.send(GENERATE, "1")
        eventually(lambda: receiver.received == ["1"])
        queue.client.config_set("maxmemory", 1)
        try:
            receiver.go_on.set()
            eventually(lambda: not queue.client.exists(f"{queue.wakeups_key}.msgs"))
        finally:
            queue.client.config_set("maxmemory", 0)
