"""Watching jobs: whoever waits is woken by a change, and by what might have been one."""

from collections.abc import Iterator

import pytest
from redis import Redis

from schemas.errors import BrowserLost
from schemas.jobs.job import JobRequest
from stores.jobs.metrics import JobMetricsReader
from stores.jobs.shared_reads import SharedReads
from stores.redis.pubsub import JobNotifier
from tests.conftest import TIMEOUT_S, FakeClock
from tests.contract.conftest import RedisStores
from tests.contract.jobs.test_jobs import JOB_ID, OTHER_JOB_ID, OWNER, create_accepted_job


@pytest.fixture
def changes(client: Redis) -> Iterator[JobNotifier]:
    """The watcher under test."""
    changes = JobNotifier(client)
    yield changes
    changes.stop()


def test_a_change_wakes_who_watches_that_job(
    stores: RedisStores, changes: JobNotifier, job_request: JobRequest
) -> None:
    """And nobody else, once the subscription stands."""
    with changes.watch(JOB_ID) as changed:
        # A new subscription wakes everybody, since something may have been missed before it stood.
        assert changed.wait(TIMEOUT_S)
        with (
            changes.watch(OTHER_JOB_ID) as other,
            changes.watch_owner(OWNER) as owners,
            changes.watch_owner("bob") as bobs,
        ):
            stores.jobs.create(JOB_ID, OWNER, job_request, "r")
            assert changed.wait(TIMEOUT_S)
            assert owners.wait(TIMEOUT_S)
            assert (changed.newest_seq, owners.newest_seq) == (1, 1)
            assert not other.wait(0)
            assert not bobs.wait(0)


def test_what_was_read_before_a_gap_is_not_believed(
    stores: RedisStores, changes: JobNotifier, job_request: JobRequest
) -> None:
    """A word that was lost while the subscription was away is made up for by a look."""
    glances = SharedReads(stores.jobs)
    job = stores.jobs.create(JOB_ID, OWNER, job_request, "r").job
    with changes.watch(JOB_ID) as watch:
        assert watch.wait(TIMEOUT_S)
        watch.notify(1)
        assert glances.read_since(JOB_ID, watch.newest_seq, glances.timestamp()).seq == 1
        stores.attempts.claim("w1")
        # Nobody heard of that, but of a new subscription.
        watch.newest_seq = 1
        changes.notify_all()
        assert (watch.newest_seq, job.seq) == (0, 1)
        assert glances.read_since(JOB_ID, watch.newest_seq, glances.timestamp()).seq == 2


def test_nobody_is_remembered_who_watches_no_more(changes: JobNotifier) -> None:
    """However often somebody watched."""
    for _ in range(3):
        with changes.watch(JOB_ID):
            pass

    assert not changes._signals


def test_measures_follow_every_job(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """Open jobs by state, ended ones by code, the age of the oldest, and histograms that add up."""
    job = create_accepted_job(stores, job_request)
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r")
    clock.advance(7)
    before = JobMetricsReader(stores.redis, clock).read()
    stores.jobs.cancel(OTHER_JOB_ID)
    stores.attempts.release(job, BrowserLost())
    after = JobMetricsReader(stores.redis, clock).read()

    assert (before.open_jobs[("studio", "PENDING")], before.open_jobs[("studio", "QUEUED")]) == (1, 1)
    assert (before.waiting, before.running, before.oldest_age_s) == (1, 1, 7.0)
    assert after.ended_jobs[("studio", "FAILED", "cancelled")] == 1
    assert (after.waiting, after.running) == (1, 0)
    assert before.pickup.buckets[-1] == ("+Inf", 1)
    counts = [count for _, count in before.pickup.buckets]
    assert counts == sorted(counts)
