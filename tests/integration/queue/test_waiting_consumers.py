"""Which consumer gets the token of a message: one of those that wait, however many there are."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from redis import Redis

from ops.infra.broker import BlockingRedisBroker
from ops.infra.redis import connect
from ops.infra.settings import Settings
from schemas.errors import Unavailable
from schemas.jobs.job import JobRequest
from schemas.messages import GENERATE, GENERATE_QUEUE
from stores import Stores, open_stores
from tests.conftest import TIMEOUT_S, eventually

BELL = f"bell:{GENERATE_QUEUE}"
WAITING = f"{BELL}:waiting"
HEARTBEATS = "dramatiq:__heartbeats__"
Send = Callable[[], None]


@pytest.fixture(autouse=True)
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits end by tokens alone."""
    monkeypatch.setattr("ops.infra.broker.WAKEUP_TIMEOUT_S", TIMEOUT_S)


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    """All stores, on a real server."""
    opened = open_stores(settings)
    yield opened
    opened.close()


@pytest.fixture(params=["with a job", "alone"])
def send(request: pytest.FixtureRequest, stores: Stores) -> Send:
    """Send a message, by the script that accepts a job or by the broker's own."""
    numbers = iter(range(100))

    def send_with_job() -> None:
        job_id = f"{next(numbers):032x}"
        stores.jobs.create(job_id, "owner", JobRequest("studio", "a boat"), "r", ticket=stores.wakeups.ticket())

    return send_with_job if request.param == "with a job" else lambda: stores.queue.send(GENERATE)


@contextmanager
def waiting(settings: Settings, number: int) -> Iterator[tuple[list[BlockingRedisBroker], list[Future[bool]]]]:
    """Brokers that wait for a token, each in a thread of its own."""
    brokers = [BlockingRedisBroker(settings.broker_url, []) for _ in range(number)]
    with ThreadPoolExecutor(number) as pool:
        for broker in brokers:
            # The first one of them does the maintenance.
            broker.send_heartbeat(GENERATE_QUEUE)
        client, ids = brokers[0].client, [broker.broker_id for broker in brokers]
        before = blocked_clients(client)
        waits = [pool.submit(broker.wait_for_token, GENERATE_QUEUE) for broker in brokers]
        try:
            eventually(lambda: all(client.smismember(WAITING, ids)) and blocked_clients(client) == before + number)
            yield brokers, waits
        finally:
            for broker in brokers:
                broker.end_waits()
    for broker in brokers:
        broker.client.close()


def blocked_clients(client: Redis) -> int:
    """How many clients of the server wait for a push."""
    return int(client.info("clients")["blocked_clients"])


@contextmanager
def earlier_version(settings: Settings) -> Iterator[Future[object]]:
    """A consumer of an earlier version, which has blocked first on the list for all, and on no other."""
    client = connect(settings.broker_url)
    with ThreadPoolExecutor(1) as pool:
        wait = pool.submit(client.blpop, BELL, TIMEOUT_S)
        eventually(lambda: blocked_clients(client) == 1)
        try:
            yield wait
        finally:
            client.rpush(BELL, "")
    client.close()


def test_a_message_wakes_one_consumer(settings: Settings, stores: Stores, send: Send) -> None:
    """The others do not notice it: nothing is pushed to the list on which all of them block."""
    client = stores.queue.client
    with earlier_version(settings) as earlier, waiting(settings, 3) as (brokers, waits):
        send()
        eventually(lambda: [wait.done() and wait.result() for wait in waits].count(True) == 1)
        woken = next(broker for broker, wait in zip(brokers, waits, strict=True) if wait.done())
        assert (client.scard(WAITING), blocked_clients(client), earlier.done()) == (2, 3, False)
        assert not client.sismember(WAITING, woken.broker_id)
        assert not client.exists(BELL, f"{BELL}:{woken.broker_id}")

        messages, left = woken.fetch(GENERATE_QUEUE, 1)
        assert (len(messages), left) == (1, 0)


def test_a_token_expires_with_its_consumer(settings: Settings, stores: Stores, send: Send) -> None:
    """One for a process that does not come back is deleted."""
    client = stores.queue.client
    gone = BlockingRedisBroker(settings.broker_url, [])
    gone.fetch(GENERATE_QUEUE, 1)
    client.sadd(WAITING, gone.broker_id)
    send()

    assert client.llen(f"{BELL}:{gone.broker_id}") == 1
    assert 0 < client.pttl(f"{BELL}:{gone.broker_id}") <= 10_000
    gone.client.close()


def test_a_dead_process_gets_no_token(settings: Settings, stores: Stores, send: Send) -> None:
    """It has no heartbeat any more, whatever it has said before."""
    client = stores.queue.client
    client.sadd(WAITING, *(f"dead-{number}" for number in range(20)))
    with waiting(settings, 1) as ((broker,), (wait,)):
        assert client.sismember(WAITING, broker.broker_id)
        send()
        assert wait.result(TIMEOUT_S)
        assert not client.keys(f"{BELL}:dead-*")


def test_without_waiting_consumers_the_first_to_wait_gets_the_token(
    settings: Settings, stores: Stores, send: Send
) -> None:
    """Tokens of messages that nothing waited for are kept for all."""
    stores.queue.client.sadd(WAITING, "dead")
    send()
    assert stores.queue.client.llen(BELL) == 1
    broker = BlockingRedisBroker(settings.broker_url, [])
    assert broker.wait_for_token(GENERATE_QUEUE)
    assert stores.queue.client.llen(BELL) == 0
    broker.client.close()


def test_the_maintenance_replaces_the_token_of_a_process_that_died(
    settings: Settings, stores: Stores, send: Send
) -> None:
    """Its last heartbeat is recent, so it got the token; the message goes to another one within a second."""
    client = stores.queue.client
    killed = BlockingRedisBroker(settings.broker_url, [])
    killed.send_heartbeat(GENERATE_QUEUE)
    client.sadd(WAITING, killed.broker_id)
    with waiting(settings, 2) as (brokers, waits):
        client.srem(WAITING, *(broker.broker_id for broker in brokers))
        send()
        assert client.llen(f"{BELL}:{killed.broker_id}") == 1
        eventually(lambda: brokers[0].send_heartbeat(GENERATE_QUEUE))
        eventually(lambda: any(wait.done() and wait.result() for wait in waits))
    killed.client.close()


def test_a_process_that_stops_passes_its_token_on(settings: Settings, stores: Stores) -> None:
    """Also one that arrived between its last wait and its end; later ones go to others at once."""
    client = stores.queue.client
    stopping = BlockingRedisBroker(settings.broker_url, [])
    stopping.send_heartbeat(GENERATE_QUEUE)
    client.sadd(WAITING, stopping.broker_id)
    stores.queue.send(GENERATE)
    consumer = stopping.consume(GENERATE_QUEUE)
    consumer._may_have_messages = False  # as after a wait
    stopping.stopping.set()
    assert next(consumer) is None

    assert (client.llen(BELL), client.exists(f"{BELL}:{stopping.broker_id}")) == (1, 0)
    client.sadd(WAITING, stopping.broker_id)
    assert next(consumer) is None
    assert client.sismember(WAITING, stopping.broker_id)
    stopping.client.close()


def test_a_server_without_memory_still_wakes_consumers(settings: Settings, stores: Stores) -> None:
    """It does not note who waits, but all of them get the tokens that are for all."""
    client = stores.queue.client
    client.rpush(BELL, "")
    limit = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    broker = BlockingRedisBroker(settings.broker_url, [])
    try:
        assert broker.wait_for_token(GENERATE_QUEUE)
    finally:
        client.config_set("maxmemory", limit)
    assert not client.exists(WAITING)
    broker.client.close()


def test_processes_of_an_earlier_version_share_the_queue(settings: Settings, stores: Stores) -> None:
    """What they push wakes a consumer, and they are woken while no consumer has said that it waits."""
    client = stores.queue.client
    with waiting(settings, 1) as ((broker,), (wait,)):
        client.rpush(BELL, "")
        assert wait.result(TIMEOUT_S)
        assert client.sismember(WAITING, broker.broker_id)
        stores.queue.send(GENERATE)
        client.sadd(WAITING, broker.broker_id)
        # A consumer that has a message waits no more.
        assert broker.fetch(GENERATE_QUEUE, 1)[1] == 0
        assert not client.exists(WAITING)
    with earlier_version(settings) as earlier:
        stores.queue.send(GENERATE)
        assert earlier.result(TIMEOUT_S)


def test_a_consumer_without_a_free_slot_gets_no_token(settings: Settings, stores: Stores) -> None:
    """The jobs of another server have taken it while this one waited; the token that it has goes to another one."""
    client = stores.queue.client
    busy = BlockingRedisBroker(settings.broker_url, [])
    busy.fetch_limits[GENERATE_QUEUE] = lambda _timeout_s: 0
    busy.send_heartbeat(GENERATE_QUEUE)
    consumer = busy.consume(GENERATE_QUEUE)
    for has_token in (False, True):
        consumer._may_have_messages, consumer._has_passed_on = has_token, False  # as after a wait
        client.sadd(WAITING, busy.broker_id)
        with waiting(settings, 1) as (_, (wait,)):
            assert next(consumer) is None
            assert not client.sismember(WAITING, busy.broker_id)
            if not has_token:
                stores.queue.send(GENERATE)
            assert wait.result(TIMEOUT_S)
        assert not client.exists(f"{BELL}:{busy.broker_id}")
    busy.client.close()


def test_a_full_server_refuses_a_message(stores: Stores) -> None:
    """As it refuses a job: the sender gets an error, and nothing of the message is there."""
    client = stores.queue.client
    stores.queue.send(GENERATE)
    limit = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(Unavailable):
            stores.queue.send(GENERATE)
    finally:
        client.config_set("maxmemory", limit)
    assert (stores.queue.depth(), client.hlen(f"{stores.queue.wakeups_key}.msgs")) == (1, 1)
