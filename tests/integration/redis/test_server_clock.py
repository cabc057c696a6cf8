"""Processes whose machines' clocks are wrong, on one Redis: only its own time counts."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from dramatiq import Message
from redis import ResponseError
from structlog.testing import capture_logs

from api import create_app
from ops.infra.broker import HEARTBEAT_TIMEOUT_MS, BlockingRedisBroker
from ops.infra.redis import SOCKET_TIMEOUT_S
from ops.infra.settings import Settings
from schemas.accounts.caller import Caller
from schemas.accounts.rate_limits import Rate
from schemas.errors import BrowserLost, Unavailable
from schemas.jobs.job import JobRequest
from schemas.jobs.lifecycle import JobState
from schemas.webhooks.subscriptions import NewDelivery
from stores import Stores, open_stores
from stores.queue.process_monitor import ProcessMonitor
from stores.queue.worker_heartbeats import WorkerStatus
from stores.redis.client import DOWN_S, open_client
from stores.redis.errors import redis_errors
from stores.redis.server_clock import RedisClock
from tests.conftest import API_KEY, create_tables
from workers.clock.sweeper import Sweeper

ID = "a" * 32
WRONG_BY_S = [90, -90]
HEARTBEAT = WorkerStatus("w1", ready=True, browser="", browser_restarts=0, contexts=0, slots=1, jobs=0, memory_bytes=0)
SetClock = Callable[[float], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """A function that makes the system clock of this process wrong by so many seconds."""
    real = time.time_ns

    def set_offset(seconds: float) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: real() + round(seconds * 1e9))
        monkeypatch.setattr(time, "time", lambda: real() / 1e9 + seconds)

    return set_offset


@pytest.fixture
def open_machine(settings: Settings, set_clock: SetClock) -> Iterator[Callable[[float], Stores]]:
    """A function that opens the stores of a machine whose clock is wrong, and sets the clock of this process so."""
    create_tables(settings.database_url)
    opened: list[Stores] = []

    def open_stores_at(seconds: float) -> Stores:
        set_clock(seconds)
        opened.append(open_stores(settings))
        opened[-1].clock.now_ms()
        return opened[-1]

    yield open_stores_at
    for stores in opened:
        stores.close()


def redis_ms(stores: Stores) -> int:
    """Return the time of Redis."""
    seconds, microseconds = stores.redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


@pytest.mark.parametrize("worker_s", [0, *WRONG_BY_S])
@pytest.mark.parametrize("sweeper_s", WRONG_BY_S)
def test_a_sweeper_with_a_wrong_clock_takes_no_job_from_a_worker(
    open_machine: Callable[[float], Stores], job_request: JobRequest, worker_s: float, sweeper_s: float
) -> None:
    """Leases, heartbeats and waiting times are compared by Redis, whichever clock is wrong."""
    worker = open_machine(worker_s)
    worker.jobs.create(ID, "owner", job_request, "r")
    worker.jobs.create("b" * 32, "owner", job_request, "r")
    worker.workers.record_heartbeat(HEARTBEAT)
    job = worker.attempts.claim("w1")
    assert job

    clock = open_machine(sweeper_s)
    sweeper = Sweeper(replace(clock, settings=replace(clock.settings, max_wait_s=60)))
    sweeper.sweep()
    sweeper.purge()
    assert clock.jobs.get(job.id).state is JobState.STARTING
    assert [status.id for status in clock.workers.list_alive()] == ["w1"]
    assert clock.jobs.get("b" * 32).state is JobState.QUEUED
    assert abs((clock.jobs.get(ID).start_time) - redis_ms(clock)) < 30_000


@pytest.mark.parametrize("worker_s", WRONG_BY_S)
def test_a_retry_of_a_worker_with_a_wrong_clock_is_due_in_time(
    open_machine: Callable[[float], Stores], job_request: JobRequest, worker_s: float
) -> None:
    """The delay is counted from Redis' time, and so is a site's pause."""
    worker = open_machine(worker_s)
    worker.jobs.create(ID, "owner", job_request, "r")
    job = worker.attempts.claim("w1")
    assert job
    worker.attempts.retry(job, BrowserLost(), 20_000)
    worker.circuit_breakers.pause("studio", 20_000)

    other = open_machine(0)
    waits_ms = other.jobs.get(ID).queued_at - redis_ms(other)
    assert 0 < waits_ms <= 20_000
    assert 0 < other.circuit_breakers.remaining_pause_ms("studio") <= 20_000
    assert other.wakeups.top_up() == 0


@pytest.mark.parametrize("other_s", WRONG_BY_S)
def test_messages_of_a_living_process_are_not_requeued_by_a_wrong_clock(
    settings: Settings, set_clock: SetClock, other_s: float
) -> None:
    """The broker's heartbeats are compared by Redis too."""
    consumer, other = (BlockingRedisBroker(settings.broker_url, []) for _ in range(2))
    for broker in (consumer, other):
        broker.declare_queue("q")
    consumer.enqueue(Message("q", "a", (), {}, {}))
    assert len(consumer.fetch("q", 1)[0]) == 1

    set_clock(other_s)
    other.send_heartbeat("q")
    assert other.queue_length("q") == 0
    heartbeats: Any = consumer.client.zrange(f"{consumer.namespace}:__heartbeats__", 0, -1, withscores=True)
    assert len(heartbeats) == 2
    assert max(score for _, score in heartbeats) - min(score for _, score in heartbeats) < HEARTBEAT_TIMEOUT_MS


@pytest.mark.parametrize("other_s", WRONG_BY_S)
def test_what_one_machine_grants_another_one_honours(open_machine: Callable[[float], Stores], other_s: float) -> None:
    """Rate limits, sessions, watch tokens and leases of deliveries hold across machines with different clocks."""
    first = open_machine(0)
    rate = Rate(1, 20)
    token = first.watch_tokens.issue(ID)
    key = first.api_keys.create("bob")
    caller = first.api_keys.authenticate(key)
    assert isinstance(caller, Caller)
    session = first.sessions.create(caller, key)
    first.deliveries.add([NewDelivery("d1", "owner", "https://example.org/", "completed", "{}")])
    destination = first.deliveries.due_destinations()[0]
    assert len(first.deliveries.claim(destination, 9)) == 1
    windows = [first.rate_limits.hit("submit", rate, "bob")]

    other = open_machine(other_s)
    windows.append(other.rate_limits.hit("submit", rate, "bob"))
    assert other.watch_tokens.verify(token, ID)
    assert other.sessions.get(session)
    assert other.deliveries.due_destinations() == []
    assert other.deliveries.claim(destination, 9) == []
    assert abs(other.clock.now_ms() - redis_ms(other)) < 1_000
    assert abs(windows[0].reset_at - windows[1].reset_at) in (0, rate.window_s)


@pytest.mark.parametrize("wrong_s", [0, *WRONG_BY_S])
def test_the_offset_of_the_machines_clock_is_measured(
    settings: Settings, set_clock: SetClock, open_machine: Callable[[float], Stores], wrong_s: float
) -> None:
    """A clock that is corrected later changes the offset at once, and the time not at all."""
    stores = open_machine(wrong_s)
    clock = stores.clock
    assert isinstance(clock, RedisClock)
    assert clock.offset_ms is not None
    assert abs(clock.offset_ms - wrong_s * 1000) < 1_000

    set_clock(0)
    assert abs(clock.offset_ms) < 1_000
    assert abs(clock.now_ms() - redis_ms(stores)) < 1_000


@pytest.mark.parametrize("wrong_s", [0, 1.5, *WRONG_BY_S])
def test_a_process_whose_clock_is_off_says_so(open_machine: Callable[[float], Stores], wrong_s: float) -> None:
    """The log warns once, ``/health`` names the process as a warning without failing, ``/metrics`` has the seconds."""
    is_off = abs(wrong_s) > 2
    machine = open_machine(wrong_s)
    monitor = ProcessMonitor(machine, "worker")
    with capture_logs() as lines:
        reports = [monitor.report() for _ in range(3)]
    warnings = [line for line in lines if line["event"] == "clock.off"]
    assert [abs(line["offset_s"] - wrong_s) < 1 for line in warnings] == [True] * is_off

    other = open_machine(0)
    client = create_app(other).test_client()
    headers = {"x-api-key": API_KEY}
    health = client.get("/health", headers=headers).json
    assert health["clocks"]["ok"]
    assert health.get("warnings", []) == ["clocks"] * is_off
    assert "clocks" not in health["failing"]
    assert ("ahead of" in health["clocks"]["warning"]) == (wrong_s > 2)
    assert (reports[0].process in health["clocks"]["warning"]) == is_off
    assert client.get("/health").json.get("warnings", []) == ["clocks"] * is_off
    label = f'darkroom_clock_offset_seconds{{process="{reports[0].process}"}} '
    row = next(line for line in client.get("/metrics", headers=headers).text.splitlines() if line.startswith(label))
    assert abs(float(row.removeprefix(label)) - wrong_s) < 1

    monitor.start()
    monitor.stop()
    assert other.process_reports.list_recent() == []


def test_a_process_asks_a_server_that_is_down_again_soon(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time for which it counts as down, so that no request has to find out again."""
    stores = open_stores(replace(settings, redis_url="redis://127.0.0.1:1/0"))
    monitor, pauses = ProcessMonitor(stores, "web"), list[float]()

    def stop(pause_s: float) -> None:
        pauses.append(pause_s)
        monitor._stopped.set()

    monkeypatch.setattr(monitor._stopped, "wait", stop)
    monitor._run()
    stores.close()

    assert pauses[0] + SOCKET_TIMEOUT_S < DOWN_S


@pytest.mark.parametrize(
    "message",
    ["MISCONF Errors writing to the AOF file", "Command # 1 (INCRBY k 1) of pipeline caused error: MISCONF no"],
)
def test_a_server_with_a_full_disk_is_unavailable(message: str) -> None:
    """In pipelines too, whose errors redis-py words differently."""
    with pytest.raises(Unavailable, match="Redis refuses writes: MISCONF"), redis_errors():
        raise ResponseError(message)


def test_the_clock_continues_without_redis(settings: Settings) -> None:
    """Before the first answer the system clock counts; after an outage the last measurement does."""
    nowhere = open_client("unix:///nowhere.sock?db=0")
    clock = RedisClock(nowhere)
    assert abs(clock.now_ms() - time.time() * 1000) < 5_000
    assert clock.offset_ms is None
    with pytest.raises(Unavailable):
        clock.measure()

    steady = [0]
    client = open_client(settings.redis_url)
    measured = RedisClock(client, steady_ns=lambda: steady[0])
    before = measured.now_ms()
    client.connection_pool.disconnect()
    steady[0] += 5_000_000_000
    assert measured.now_ms() == before + 5_000
