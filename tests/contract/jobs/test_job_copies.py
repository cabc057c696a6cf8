"""Copies of jobs in the memory of a process."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from schemas.jobs.job import JobRequest, Progress
from stores.jobs.shared.job_copies import COPY_BYTES, JobCopies
from stores.redis.pubsub import JobNotifier
from tests.conftest import TIMEOUT_S, FakeClock
from tests.contract.conftest import JOB_ID, OTHER_JOB_ID, OWNER, RedisStores, create_accepted_job

# The sockets of fakeredis have no fences.
pytestmark = pytest.mark.parametrize("client", ["real"], indirect=True)

THIRD_JOB_ID = "c" * 32
MakeCopies = Callable[..., JobCopies]


@pytest.fixture
def notifier(client: Redis) -> Iterator[JobNotifier]:
    """A notifier whose subscription began with something else than copies."""
    notifier = JobNotifier(client)
    with notifier.watch(JOB_ID) as changed:
        assert changed.wait(TIMEOUT_S)
        yield notifier
    notifier.stop()


@pytest.fixture
def make_copies(stores: RedisStores, notifier: JobNotifier, clock: FakeClock) -> MakeCopies:
    """Make copies that do not age, once all earlier changes have been announced."""

    def make_copies(**bounds: int) -> JobCopies:
        assert notifier.catch_up(TIMEOUT_S)
        return JobCopies(stores.jobs, notifier, clock, monotonic=lambda: 0.0, **bounds)

    return make_copies


@pytest.fixture
def reads(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the jobs that are read from Redis."""
    reads: list[str] = []
    original = stores.jobs.get_with_estimate

    def get_with_estimate(job_id: str) -> Any:
        reads.append(job_id)
        return original(job_id)

    monkeypatch.setattr(stores.jobs, "get_with_estimate", get_with_estimate)
    return reads


def test_copies_are_kept_although_something_has_waited_before(
    stores: RedisStores, make_copies: MakeCopies, reads: list[str], job_request: JobRequest
) -> None:
    """The subscription that someone else began is as good; a change makes a copy stale."""
    job = create_accepted_job(stores, job_request)
    copies = make_copies()

    first = copies.read(JOB_ID)
    assert copies.read(JOB_ID) is first
    assert reads == [JOB_ID]

    stores.attempts.record_progress(job, Progress(50.0, 10, 20))
    assert copies.read(JOB_ID).job.seq == first.job.seq + 1
    assert reads == [JOB_ID, JOB_ID]


def test_a_copy_that_is_evicted_during_the_fence_is_not_served(
    stores: RedisStores,
    notifier: JobNotifier,
    make_copies: MakeCopies,
    job_request: JobRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not hear of changes any more."""
    job = create_accepted_job(stores, job_request)
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r")
    copies = make_copies(max_bytes=COPY_BYTES * 3 // 2)
    old = copies.read(JOB_ID).job
    catch_up = notifier.catch_up

    def evict_and_change(timeout_s: float) -> bool:
        monkeypatch.setattr(notifier, "catch_up", catch_up)
        copies.read(OTHER_JOB_ID)
        stores.attempts.record_progress(job, Progress(50.0, 10, 20))
        return catch_up(timeout_s)

    monkeypatch.setattr(notifier, "catch_up", evict_and_change)
    assert copies.read(JOB_ID).job.seq == old.seq + 1


def test_copies_stay_within_their_bound(
    stores: RedisStores, make_copies: MakeCopies, reads: list[str], job_request: JobRequest
) -> None:
    """The copy whose last read is the longest ago goes first; one that is larger than the bound is not kept."""
    ids = (JOB_ID, OTHER_JOB_ID, THIRD_JOB_ID)
    for job_id in ids:
        stores.jobs.create(job_id, OWNER, job_request, "r")
    copies = make_copies(max_bytes=COPY_BYTES * 5 // 2)

    for job_id in (JOB_ID, OTHER_JOB_ID, JOB_ID, THIRD_JOB_ID):
        copies.read(job_id)
    reads.clear()
    for job_id in (JOB_ID, THIRD_JOB_ID, OTHER_JOB_ID):
        copies.read(job_id)
    assert reads == [OTHER_JOB_ID]

    tiny = make_copies(max_bytes=COPY_BYTES - 1)
    reads.clear()
    for _ in range(2):
        assert tiny.read(JOB_ID).job.id == JOB_ID
    assert reads == [JOB_ID, JOB_ID]
