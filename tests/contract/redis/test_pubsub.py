"""Notification of threads that wait for changes of jobs."""

from collections.abc import Iterator

import pytest
from redis import Redis

from schemas.errors import BrowserLost
from schemas.jobs.job import JobRequest
from stores.jobs.metrics import JobMetricsReader
from stores.jobs.shared.shared_reads import SharedReads
from stores.redis.pubsub import JobNotifier
from tests.conftest import TIMEOUT_S, FakeClock
from tests.contract.conftest import RedisStores
from tests.contract.jobs.test_jobs import JOB_ID, OTHER_JOB_ID, OWNER, create_accepted_job


@pytest.fixture
def notifier(client: Redis) -> Iterator[JobNotifier]:
    """The notifier under test."""
    notifier = JobNotifier(client)
    yield notifier
    notifier.stop()


def test_a_change_wakes_its_watchers(stores: RedisStores, notifier: JobNotifier, job_request: JobRequest) -> None:
    """Watchers of the job and of its owner are woken, others are not."""
    with notifier.watch(JOB_ID) as changed:
        # A new subscription wakes all watchers, since a change may have been missed before it.
        assert changed.wait(TIMEOUT_S)
        with (
            notifier.watch(OTHER_JOB_ID) as other,
            notifier.watch_owner(OWNER) as owner,
            notifier.watch_owner("bob") as bob,
        ):
            stores.jobs.create(JOB_ID, OWNER, job_request, "r")
            assert changed.wait(TIMEOUT_S)
            assert owner.wait(TIMEOUT_S)
            assert (changed.newest_seq, owner.newest_seq) == (1, 1)
            assert not other.wait(0)
            assert not bob.wait(0)


def test_one_signal_may_watch_several_jobs(stores: RedisStores, notifier: JobNotifier, job_request: JobRequest) -> None:
    """A change of any of them wakes it, and all are forgotten with it."""
    with notifier.watch(JOB_ID, OTHER_JOB_ID, JOB_ID) as both:
        assert both.wait(TIMEOUT_S)
        for job_id in (JOB_ID, OTHER_JOB_ID):
            stores.jobs.create(job_id, OWNER, job_request, "r")
            assert both.wait(TIMEOUT_S)

    assert not notifier._waiting._signals


def test_a_reconnect_makes_earlier_reads_stale(
    stores: RedisStores, notifier: JobNotifier, job_request: JobRequest
) -> None:
    """A message may have been lost while the connection was down, so watchers read again."""
    shared_reads = SharedReads(stores.jobs)
    job = stores.jobs.create(JOB_ID, OWNER, job_request, "r").job
    with notifier.watch(JOB_ID) as watch:
        assert watch.wait(TIMEOUT_S)
        watch.notify(1)
        assert shared_reads.read_since(JOB_ID, watch.newest_seq, shared_reads.timestamp()).seq == 1
        stores.attempts.claim("w1")
        # As if this change's message was lost and the connection restored.
        watch.newest_seq = 1
        notifier.notify_all()
        assert (watch.newest_seq, job.seq) == (0, 1)
        assert shared_reads.read_since(JOB_ID, watch.newest_seq, shared_reads.timestamp()).seq == 2


def test_signals_are_removed_with_their_watchers(notifier: JobNotifier) -> None:
    """The notifier keeps no signal after its context has ended."""
    for _ in range(3):
        with notifier.watch(JOB_ID):
            pass

    assert not notifier._waiting._signals


def test_metrics_follow_every_job(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """Open jobs by state, ended ones by code, the age of the oldest, cumulative histograms."""
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
