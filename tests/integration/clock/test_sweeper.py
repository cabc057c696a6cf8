"""Sweeps of the clock process."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from ops.infra.broker import BlockingRedisBroker
from ops.infra.settings import Settings
from schemas.accounts.caller import CallerLimits
from schemas.errors import BrowserLost
from schemas.jobs.job import Job, JobRequest
from schemas.jobs.lifecycle import JobState
from stores import Stores, open_stores
from stores.accounts.api_keys import KeyChange
from stores.jobs.attempts import LEASE_MS
from stores.queue.worker_heartbeats import WorkerStatus
from tests.conftest import FakeClock, create_tables, eventually
from workers.clock.sweeper import HEARTBEAT_GRACE_S, LEASE_GRACE_S, MAX_SWEEP_GAP_MS, Sweeper

ID = "a" * 32
HEARTBEAT = WorkerStatus("w1", ready=True, browser="", browser_restarts=0, contexts=0, slots=1, jobs=0, memory_bytes=0)


@pytest.fixture
def stores(settings: Settings, clock: FakeClock) -> Iterator[Stores]:
    """Stores with a clock that the test sets."""
    broker = BlockingRedisBroker(settings.broker_url, [])
    stores = open_stores(replace(settings, max_wait_s=120), broker=broker, clock=clock)
    yield stores
    stores.close()


@pytest.fixture
def sweeper(stores: Stores) -> Sweeper:
    """The sweeper under test."""
    return Sweeper(stores)


def create_job(stores: Stores, job_request: JobRequest) -> None:
    """Create a job."""
    stores.jobs.create(ID, "owner", job_request, "r")


def claim_job(stores: Stores) -> Job:
    """Claim the job for a live worker."""
    stores.workers.record_heartbeat(HEARTBEAT)
    job = stores.attempts.claim("w1")
    assert job
    return job


def test_a_job_with_an_expired_lease_is_requeued(
    stores: Stores, sweeper: Sweeper, clock: FakeClock, job_request: JobRequest
) -> None:
    """It is not requeued earlier, and a wakeup is sent at once."""
    create_job(stores, job_request)
    claim_job(stores)
    sweeper.sweep()
    assert JobState.STARTING is stores.jobs.get(ID).state

    for _ in range(round(LEASE_MS / 1000)):
        clock.advance(1)
        stores.workers.record_heartbeat(HEARTBEAT)
        sweeper.sweep()
    assert JobState.QUEUED is stores.jobs.get(ID).state
    assert stores.queue.depth() == 1


def test_jobs_that_wait_start_under_changed_settings(stores: Stores, sweeper: Sweeper, job_request: JobRequest) -> None:
    """When the clock starts; the number of a key that has one of its own stays, also once the key is revoked."""
    create_tables(stores.settings.database_url)
    none = CallerLimits(concurrent=0)
    bob = stores.api_keys.create("bob", KeyChange(limits=none)).split("_")[1]
    stores.jobs.create(ID, "owner", job_request, "r", limits=none)
    stores.jobs.create("b" * 32, bob, job_request, "r", limits=none)
    stores.api_keys.revoke(bob)
    stores.workers.record_heartbeat(HEARTBEAT)
    assert stores.attempts.claim("w1") is None

    sweeper.apply_default_limits()

    job = stores.attempts.claim("w1")
    assert job
    assert (job.id, stores.attempts.claim("w1")) == (ID, None)


def test_jobs_of_a_dead_worker_are_requeued_at_once(stores: Stores, sweeper: Sweeper, job_request: JobRequest) -> None:
    """They do not wait until their leases expire."""
    create_job(stores, job_request)
    claim_job(stores)
    stores.workers.remove("w1")
    sweeper.sweep()

    assert JobState.QUEUED is stores.jobs.get(ID).state


@pytest.mark.parametrize("cause", ["redis outage", "suspend"])
def test_heartbeats_and_leases_get_a_grace_period_after_an_outage(
    stores: Stores, clock: FakeClock, job_request: JobRequest, cause: str
) -> None:
    """A worker that stays silent for longer is dead."""
    seconds = [0.0]
    sweeper = Sweeper(stores, monotonic=lambda: seconds[0])
    create_job(stores, job_request)
    claim_job(stores)
    if cause == "redis outage":
        sweeper.reset_grace_periods()
        clock.advance(MAX_SWEEP_GAP_MS / 1000 - 1)
    else:
        clock.advance(LEASE_MS / 1000 + 1)
    sweeper.sweep()
    assert JobState.STARTING is stores.jobs.get(ID).state

    for grace_s in (HEARTBEAT_GRACE_S, LEASE_GRACE_S):
        stores.workers.record_heartbeat(HEARTBEAT)
        seconds[0] = grace_s - 0.1
        sweeper.sweep()
        assert JobState.STARTING is stores.jobs.get(ID).state
    stores.workers.remove("w1")
    sweeper.sweep()
    assert JobState.QUEUED is stores.jobs.get(ID).state


def test_the_capacity_of_live_workers_is_published(stores: Stores, sweeper: Sweeper, job_request: JobRequest) -> None:
    """It is needed for queue estimates."""
    create_job(stores, job_request)
    stores.workers.record_heartbeat(HEARTBEAT)
    sweeper.sweep()

    assert stores.jobs.get_with_estimate(ID)[1].slots == 1


def test_circuit_changes_are_logged(stores: Stores, sweeper: Sweeper) -> None:
    """Each opening and each closing is logged once."""
    with capture_logs() as lines:
        sweeper.sweep()
        stores.redis.hset("dr:site:studio", mapping={"retryAt": 1, "code": "site_changed", "error": "x"})
        sweeper.sweep()
        sweeper.sweep()
        stores.circuit_breakers.close("studio")
        sweeper.sweep()

    assert [line["event"] for line in lines] == ["circuit.opened", "circuit.closed"]


def test_a_job_that_waits_longer_than_max_wait_s_fails(
    stores: Stores, sweeper: Sweeper, clock: FakeClock, job_request: JobRequest
) -> None:
    """The message names the limit; a running job is not affected."""
    create_job(stores, job_request)
    stores.jobs.create("b" * 32, "owner", job_request, "r")
    clock.advance(119)
    job = claim_job(stores)
    sweeper.sweep_jobs()
    assert JobState.QUEUED is stores.jobs.get("b" * 32).state

    clock.advance(2)
    sweeper.sweep_jobs()
    error = stores.jobs.get("b" * 32).error
    assert error
    assert (error.code, "120 s" in error.message) == ("expired", True)
    assert JobState.STARTING is stores.jobs.get(job.id).state


def test_the_wait_of_a_requeued_job_starts_again(
    stores: Stores, sweeper: Sweeper, clock: FakeClock, job_request: JobRequest
) -> None:
    """It gets the retry that it was promised."""
    create_job(stores, job_request)
    clock.advance(119)
    job = claim_job(stores)
    clock.advance(10)
    stores.attempts.retry(job, BrowserLost(), 2_000)
    sweeper.sweep_jobs()
    assert JobState.QUEUED is stores.jobs.get(ID).state

    clock.advance(122)
    sweeper.sweep_jobs()
    assert JobState.FAILED is stores.jobs.get(ID).state


def test_ids_without_a_record_are_removed(
    stores: Stores, sweeper: Sweeper, clock: FakeClock, job_request: JobRequest
) -> None:
    """They are not swept again and again."""
    create_job(stores, job_request)
    stores.redis.delete(f"dr:{{{ID}}}:job")
    clock.advance(121)
    sweeper.sweep()

    assert not stores.redis.zcard("dr:open")


def test_expired_entries_of_job_lists_are_purged(
    stores: Stores, sweeper: Sweeper, clock: FakeClock, job_request: JobRequest
) -> None:
    """An owner's list has a bounded length."""
    create_job(stores, job_request)
    stores.jobs.cancel(ID)
    sweeper.purge()
    assert stores.redis.zcard("dr:jobs:owner") == 1

    clock.advance(86_400)
    sweeper.purge()
    assert stores.redis.zcard("dr:jobs:owner") == 0


def test_metrics_are_sampled_for_their_history(stores: Stores, sweeper: Sweeper, clock: FakeClock) -> None:
    """A sample every half minute, however often the sweeps run."""
    for _ in range(65):
        sweeper.sweep()
        clock.advance(1)

    assert len(stores.metrics_history.read(span_s=600)) == 3


def test_a_media_store_that_hangs_delays_no_lease(
    settings: Settings, clock: FakeClock, job_request: JobRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sweeps run beside the others; jobs of a dead worker are requeued while it does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        variables = {"AWS_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}", "AWS_REGION": "us-east-1"}
        for name, value in (variables | {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}).items():
            monkeypatch.setenv(name, value)
        create_tables(settings.database_url)
        stores = open_stores(replace(settings, media_url="s3://bucket"), clock=clock)
        stop_event, seconds = threading.Event(), [0.0]
        sweeper = Sweeper(stores, monotonic=lambda: seconds[0])
        thread = threading.Thread(target=sweeper.run, args=(stop_event,))
        thread.start()
        silent.settimeout(30)
        connection, _ = silent.accept()
        try:
            create_job(stores, job_request)
            claim_job(stores)
            stores.workers.remove("w1")
            eventually(lambda: stores.jobs.get(ID).state is JobState.QUEUED)
        finally:
            stop_event.set()
            connection.close()
            silent.close()
            thread.join(60)
            stores.close()
