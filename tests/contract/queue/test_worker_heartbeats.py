"""The registry of living workers."""

from dataclasses import replace

import pytest

from ops.infra import broker
from ops.infra.redis import SOCKET_TIMEOUT_S
from schemas.jobs.job import JobRequest
from stores.queue import worker_heartbeats
from stores.queue.worker_heartbeats import DEAD_AFTER_MS, WorkerStatus
from tests.conftest import FakeClock
from tests.contract.conftest import JOB_ID, RedisStores, create_accepted_job, sweep
from workers.jobs.heartbeat import HEARTBEAT_INTERVAL_S

STATUS = WorkerStatus("w1", ready=True, browser="156", browser_restarts=0, contexts=1, slots=4, jobs=1, memory_bytes=9)


def test_a_worker_is_alive_while_it_sends_heartbeats(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock
) -> None:
    """Its status is returned; without heartbeats it is dead, and its jobs are lost."""
    create_accepted_job(stores, job_request)
    stores.workers.record_heartbeat(STATUS)
    clock.advance(DEAD_AFTER_MS / 1000 - 1)
    assert stores.workers.list_alive() == [STATUS]
    assert sweep(stores, heartbeats=True) == []

    clock.advance(2)
    assert not stores.workers.list_alive()
    assert sweep(stores, heartbeats=True) == [JOB_ID]


def test_one_call_that_hangs_makes_no_worker_dead() -> None:
    """The last heartbeat before it, its timeout, and the next heartbeat fit into the time."""
    unchanged_s = worker_heartbeats.SAME_STATUS_INTERVAL_S + HEARTBEAT_INTERVAL_S
    assert unchanged_s + SOCKET_TIMEOUT_S + HEARTBEAT_INTERVAL_S < DEAD_AFTER_MS / 1000
    relaxed_s = broker.RELAXED_HEARTBEAT_INTERVAL_S
    assert relaxed_s + SOCKET_TIMEOUT_S + broker.HEARTBEAT_INTERVAL_S < broker.HEARTBEAT_TIMEOUT_MS / 1000


def test_a_removed_worker_is_dead_at_once(stores: RedisStores, job_request: JobRequest) -> None:
    """Its jobs need not wait for a missed heartbeat."""
    create_accepted_job(stores, job_request)
    stores.workers.record_heartbeat(STATUS)
    stores.workers.remove("w1")

    assert sweep(stores, heartbeats=True) == [JOB_ID]
    assert not stores.workers.list_alive()


def test_dead_workers_are_purged(stores: RedisStores, clock: FakeClock) -> None:
    """Entries of old workers do not accumulate."""
    stores.workers.record_heartbeat(STATUS)
    clock.advance(2 * 3600)
    stores.workers.record_heartbeat(replace(STATUS, id="w2"))

    assert stores.redis.zrange("dr:workers", 0, -1) == [b"w2"]
    assert stores.redis.hkeys("dr:workers:details") == [b"w2"]


def test_an_unchanged_status_is_sent_less_often(
    stores: RedisStores, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change is sent at once, and every status again before its worker counts as dead."""

    def sent_at(status: WorkerStatus) -> float | None:
        clock.advance(1)
        stores.workers.keep_alive(status)
        return stores.redis.zscore("dr:workers", "w1")

    first = sent_at(STATUS)
    assert sent_at(replace(STATUS, memory_bytes=10, browser_started_at=1)) == first
    assert sent_at(replace(STATUS, jobs=2)) == clock.now_ms()
    monkeypatch.setattr(worker_heartbeats, "SAME_STATUS_INTERVAL_S", 0)
    assert sent_at(replace(STATUS, jobs=2)) == clock.now_ms()
    stores.workers.remove("w1")
    monkeypatch.undo()
    assert sent_at(replace(STATUS, jobs=2)) == clock.now_ms()
