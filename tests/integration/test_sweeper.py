"""What the clock heals."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ops.broker import DoorbellBroker
from ops.settings import Settings
from schemas.jobs import Job, Submission
from schemas.lifecycle import JobState
from stores import Stores, open_stores
from stores.fleet import WorkerStatus
from stores.jobs import LEASE_MS, OUTBOX_GRACE_MS
from tests.conftest import FakeClock
from workers.sweeper import STRANDED_AFTER_MS, Sweeper

ID = "a" * 32
BEAT = WorkerStatus("w1", ready=True, browser="", browser_restarts=0, contexts=0, slots=1, jobs=0, memory_bytes=0)


@pytest.fixture
def stores(settings: Settings, clock: FakeClock) -> Iterator[Stores]:
    """Stores whose clock is turned by hand."""
    broker = DoorbellBroker(settings.broker_url, [])
    stores = open_stores(replace(settings, max_wait_s=120), broker=broker, clock=clock)
    yield stores
    stores.close()


@pytest.fixture
def sweeper(stores: Stores) -> Sweeper:
    """The sweeper under test."""
    return Sweeper(stores)


def created(stores: Stores, submission: Submission, *, sent: bool = True) -> None:
    """A job, with or without its message."""
    stores.jobs.create(ID, "owner", submission, "r")
    if sent:
        stores.queue.generate(ID)


def claimed(stores: Stores) -> Job:
    """The job in the hands of a living worker."""
    stores.fleet.beat(BEAT)
    job = stores.jobs.claim(ID, "w1")
    assert job
    return job


def test_a_submission_cut_short_gets_its_message(
    stores: Stores, sweeper: Sweeper, clock: FakeClock, submission: Submission
) -> None:
    """A crash between the record and the message loses nothing; each message is sent once."""
    created(stores, submission, sent=False)
    sweeper.send_due()
    assert stores.queue.depth() == 0

    clock.advance(OUTBOX_GRACE_MS / 1000)
    sweeper.send_due()
    sweeper.send_due()
    assert stores.queue.depth() == 1


def test_a_lapsed_lease_gives_the_job_back(
    stores: Stores, sweeper: Sweeper, clock: FakeClock, submission: Submission
) -> None:
    """As soon as it is over, and not before."""
    created(stores, submission)
    claimed(stores)
    sweeper.sweep()
    assert JobState.STARTING is stores.jobs.get(ID).state

    clock.advance(LEASE_MS / 1000)
    stores.fleet.beat(BEAT)
    sweeper.sweep()
    sweeper.send_due()
    assert JobState.QUEUED is stores.jobs.get(ID).state
    assert stores.queue.depth() == 2


def test_a_dead_worker_gives_its_jobs_back_at_once(stores: Stores, sweeper: Sweeper, submission: Submission) -> None:
    """Nobody waits for its leases to end."""
    created(stores, submission)
    claimed(stores)
    stores.fleet.leave("w1")
    sweeper.sweep()

    assert JobState.QUEUED is stores.jobs.get(ID).state


def test_nobody_waits_for_ever(stores: Stores, sweeper: Sweeper, clock: FakeClock, submission: Submission) -> None:
    """After MAX_WAIT_S a job that still waits ends, with the setting's name; one that runs does not."""
    created(stores, submission)
    stores.jobs.create("b" * 32, "owner", submission, "r")
    clock.advance(119)
    job = claimed(stores)
    sweeper.expire()
    assert JobState.QUEUED is stores.jobs.get("b" * 32).state

    clock.advance(2)
    sweeper.expire()
    error = stores.jobs.get("b" * 32).error
    assert error
    assert (error.code, "120 s" in error.message) == ("expired", True)
    assert JobState.STARTING is stores.jobs.get(job.id).state


def test_a_stranded_message_is_sent_again(
    stores: Stores, sweeper: Sweeper, clock: FakeClock, submission: Submission
) -> None:
    """A job that waits although the queue is empty gets a new message, once in a while."""
    created(stores, submission, sent=False)
    stores.jobs.has_message(ID)
    sweeper.sweep()
    sweeper.send_due()
    assert stores.queue.depth() == 0

    clock.advance(STRANDED_AFTER_MS / 1000)
    for _ in range(3):
        sweeper.sweep()
        sweeper.send_due()
    assert stores.queue.depth() == 1


def test_ids_without_a_record_are_forgotten(
    stores: Stores, sweeper: Sweeper, clock: FakeClock, submission: Submission
) -> None:
    """Nothing is swept again and again for a record that is not there."""
    created(stores, submission)
    stores.redis.delete(f"dr:{{{ID}}}:job")
    clock.advance(121)
    sweeper.sweep()

    assert not stores.redis.zcard("dr:open")


def test_old_listings_are_trimmed(stores: Stores, sweeper: Sweeper, clock: FakeClock, submission: Submission) -> None:
    """An owner's list does not grow for ever."""
    created(stores, submission)
    stores.jobs.cancel(ID)
    sweeper.trim()
    assert stores.redis.zcard("dr:jobs:owner") == 1

    clock.advance(86_400)
    sweeper.trim()
    assert stores.redis.zcard("dr:jobs:owner") == 0
