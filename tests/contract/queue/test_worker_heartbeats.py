"""The registry of living workers."""

from stores.queue.worker_heartbeats import DEAD_AFTER_MS, WorkerStatus
from tests.conftest import FakeClock
from tests.contract.conftest import RedisStores

STATUS = WorkerStatus("w1", ready=True, browser="156", browser_restarts=0, contexts=1, slots=4, jobs=1, memory_bytes=9)


def test_a_worker_is_alive_while_it_sends_heartbeats(stores: RedisStores, clock: FakeClock) -> None:
    """Its status is returned; without heartbeats it is dead."""
    stores.workers.record_heartbeat(STATUS)
    clock.advance(DEAD_AFTER_MS / 1000 - 1)
    assert stores.workers.list_alive() == [STATUS]
    assert not stores.workers.is_dead("w1")

    clock.advance(2)
    assert not stores.workers.list_alive()
    assert stores.workers.is_dead("w1")


def test_a_removed_worker_is_dead_at_once(stores: RedisStores) -> None:
    """Its jobs need not wait for a missed heartbeat."""
    stores.workers.record_heartbeat(STATUS)
    stores.workers.remove("w1")

    assert stores.workers.is_dead("w1")
    assert not stores.workers.list_alive()


def test_dead_workers_are_purged(stores: RedisStores, clock: FakeClock) -> None:
    """Entries of old workers do not accumulate."""
    stores.workers.record_heartbeat(STATUS)
    clock.advance(2 * 3600)
    stores.workers.purge_dead()

    assert not stores.redis.zcard("dr:workers")
    assert not stores.redis.hlen("dr:workers:details")
