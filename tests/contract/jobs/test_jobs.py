"""A job's record: its acceptance, the limits on it, its cancellation, and every way of reading it."""

from dataclasses import replace

import pytest

from ops.infra.settings import Settings
from schemas.errors import BrowserLost, Gone, IdempotencyMismatch, LimitReached, NotFound, SiteRefused
from schemas.jobs.idempotency import Idempotency
from schemas.jobs.job import GeneratedImage, JobRequest
from schemas.jobs.lifecycle import JobState
from tests.conftest import FakeClock
from tests.contract.conftest import (
    JOB_ID,
    OTHER_JOB_ID,
    OWNER,
    RedisStores,
    build_stores,
    create_accepted_job,
    create_completed_job,
)


def test_a_created_job_can_be_read(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """Everything that was submitted is there, and the job waits first in line."""
    created = stores.jobs.create(JOB_ID, OWNER, job_request, "r1")

    job, outlook = stores.jobs.get_with_estimate(JOB_ID)

    assert (created.job, created.estimate) == (job, outlook)
    assert (JobState.QUEUED, job_request, OWNER, "r1", 1, 1) == (
        job.state,
        job.request,
        job.owner,
        job.request_id,
        job.seq,
        outlook.position,
    )
    assert clock.now_ms() == job.start_time


def test_positions_count_those_who_wait_before(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """A job that runs stands in nobody's way."""
    for ident in (JOB_ID, OTHER_JOB_ID, "c" * 32):
        stores.jobs.create(ident, OWNER, job_request, "r1")
        clock.advance(1)

    assert [stores.jobs.get_with_estimate(ident)[1].position for ident in (JOB_ID, OTHER_JOB_ID, "c" * 32)] == [1, 2, 3]
    stores.attempts.claim("w1")
    assert [stores.jobs.get_with_estimate(ident)[1].position for ident in (JOB_ID, OTHER_JOB_ID, "c" * 32)] == [
        None,
        1,
        2,
    ]


def test_an_unknown_id_was_never_here(stores: RedisStores) -> None:
    """404, and not 410."""
    with pytest.raises(NotFound):
        stores.jobs.get(JOB_ID)


def test_a_full_queue_takes_nothing_more(
    stores: RedisStores, job_request: JobRequest, settings: Settings, clock: FakeClock
) -> None:
    """The refusal says when to come back, and leaves no trace of the job."""
    small = build_stores(stores.redis, clock, replace(settings, max_queue_size=1)).jobs
    small.create(JOB_ID, OWNER, job_request, "r1")

    with pytest.raises(LimitReached, match="busy") as caught:
        small.create(OTHER_JOB_ID, OWNER, job_request, "r1")

    assert caught.value.retry_after_s
    with pytest.raises(NotFound):
        small.get(OTHER_JOB_ID)


def test_each_owner_has_limits(
    stores: RedisStores, job_request: JobRequest, settings: Settings, clock: FakeClock
) -> None:
    """Another owner is not held up by the first one's limits, and the daily one ends at midnight."""
    limited = build_stores(stores.redis, clock, replace(settings, limit_queued_images=2, limit_daily_images=2))
    limited.jobs.create(JOB_ID, OWNER, job_request, "r1")
    limited.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1")

    with pytest.raises(LimitReached, match="LIMIT_QUEUED_IMAGES"):
        limited.jobs.create("c" * 32, OWNER, job_request, "r1")
    limited.jobs.create("c" * 32, "somebody", job_request, "r1")
    for _ in range(3):
        job = limited.attempts.claim("w1")
        assert job
        limited.attempts.mark_accepted(job)
        limited.attempts.store_images(job, [GeneratedImage(b"x", "image/png", 1, 1)], b"x")
        limited.attempts.complete(job, [GeneratedImage(b"x", "image/png", 1, 1)])

    with pytest.raises(LimitReached, match="LIMIT_DAILY_IMAGES") as caught:
        limited.jobs.create("d" * 32, OWNER, job_request, "r1")
    assert caught.value.retry_after_s is not None
    clock.advance(caught.value.retry_after_s)
    limited.jobs.create("d" * 32, OWNER, job_request, "r1")


def test_a_failed_job_uses_up_no_quota(stores: RedisStores, job_request: JobRequest) -> None:
    """Only pictures count."""
    job = create_accepted_job(stores, job_request)
    used = stores.quotas.get_usage(OWNER)
    assert (used.daily, used.weekly, used.queued, used.running) == (1, 1, 1, 1)

    stores.attempts.fail(job, SiteRefused("no"))

    used = stores.quotas.get_usage(OWNER)
    assert (used.daily, used.weekly, used.queued, used.running) == (0, 0, 0, 0)


def test_cancelling_while_it_waits_ends_it_at_once(stores: RedisStores, job_request: JobRequest) -> None:
    """The worker never gets it, and a second time changes nothing."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")

    assert stores.jobs.cancel(JOB_ID) == "cancelled"
    ended = stores.jobs.get(JOB_ID)
    assert ended.error
    assert ended.error.code == "cancelled"
    assert stores.attempts.claim("w1") is None
    assert stores.jobs.cancel(JOB_ID) == "ended"
    assert ended == stores.jobs.get(JOB_ID)
    assert stores.jobs.cancel(OTHER_JOB_ID) == "gone"


def test_cancelling_while_it_runs_is_a_request(stores: RedisStores, job_request: JobRequest) -> None:
    """The worker learns of it with its next renewal at the latest, and a retry becomes the end."""
    job = create_accepted_job(stores, job_request)

    assert stores.jobs.cancel(JOB_ID) == "requested"
    assert JobState.PENDING is stores.jobs.get(JOB_ID).state
    assert stores.attempts.renew(job)
    stores.attempts.retry(job, BrowserLost(), 0)
    error = stores.jobs.get(JOB_ID).error
    assert error is not None
    assert error.code == "cancelled"


def test_an_expired_job_is_gone_and_not_unknown(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """After its time the answer is 410 for a long while."""
    create_completed_job(stores, job_request, image)
    for part in ("job", "events", "image", "image.jpg"):
        assert 0 < stores.redis.ttl(f"dr:{{{JOB_ID}}}:{part}") <= 600
        stores.redis.delete(f"dr:{{{JOB_ID}}}:{part}")

    with pytest.raises(Gone, match="expired"):
        stores.jobs.get(JOB_ID)


def test_a_listing_is_ones_own_newest_first(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """Pages join without gap or repetition, also where several jobs share a millisecond."""
    ids = [f"{number:032x}" for number in range(7)]
    for number, ident in enumerate(ids):
        stores.jobs.create(ident, OWNER, job_request, "r1")
        clock.advance(number % 3)
    stores.jobs.create("f" * 32, "somebody", job_request, "r1")

    pages, cursor = [], None
    while True:
        jobs, cursor = stores.jobs.list_page(OWNER, cursor, 3)
        pages.append([job.id for job, _ in jobs])
        if cursor is None:
            break

    assert [len(page) for page in pages] == [3, 3, 1]
    assert ids[::-1] == [ident for page in pages for ident in page]


def test_a_listing_leaves_out_what_has_expired(stores: RedisStores, job_request: JobRequest) -> None:
    """An id without its record is no job."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1")
    stores.redis.delete(f"dr:{{{OTHER_JOB_ID}}}:job")

    assert [job.id for job, _ in stores.jobs.list_page(OWNER, None, 10)[0]] == [JOB_ID]


BODY = Idempotency.for_request("key-1", JobRequest("", "a lighthouse", inputs={"seed": 7, "steps": 4}))


def test_the_same_request_makes_one_job(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """However often it comes within a day, and whatever has become of the job meanwhile."""
    first = stores.jobs.create(JOB_ID, OWNER, job_request, "r1", BODY)
    assert not first.replayed
    job = stores.attempts.claim("w1")
    assert job
    clock.advance(3600)
    same = Idempotency.for_request("key-1", JobRequest("", "a lighthouse", inputs={"steps": 4, "seed": 7}))
    again = stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r2", same)

    assert (again.replayed, again.job.id, again.job.state) == (True, JOB_ID, JobState.STARTING)
    with pytest.raises(NotFound):
        stores.jobs.get(OTHER_JOB_ID)
    assert 0 < stores.redis.ttl(f"dr:idem:{OWNER}:key-1") <= 86_400


def test_a_key_belongs_to_one_request_and_one_caller(stores: RedisStores, job_request: JobRequest) -> None:
    """Another request under the same key is refused; another caller's same key is another key."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1", BODY)

    with pytest.raises(IdempotencyMismatch):
        stores.jobs.create(
            OTHER_JOB_ID, OWNER, job_request, "r1", Idempotency.for_request("key-1", JobRequest("", "a city"))
        )
    assert not stores.jobs.create(OTHER_JOB_ID, "somebody", job_request, "r1", BODY).replayed


def test_a_refused_request_uses_up_no_key(
    stores: RedisStores, job_request: JobRequest, settings: Settings, clock: FakeClock
) -> None:
    """Once there is room again the same key makes the job."""
    small = build_stores(stores.redis, clock, replace(settings, max_queue_size=1)).jobs
    small.create(JOB_ID, OWNER, job_request, "r1")
    with pytest.raises(LimitReached):
        small.create(OTHER_JOB_ID, OWNER, job_request, "r1", BODY)

    small.cancel(JOB_ID)
    assert not small.create(OTHER_JOB_ID, OWNER, job_request, "r1", BODY).replayed


def test_an_expired_job_is_not_made_again(stores: RedisStores, job_request: JobRequest) -> None:
    """Its key still names it; the answer says that it is gone."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1", BODY)
    stores.jobs.cancel(JOB_ID)
    stores.redis.delete(f"dr:{{{JOB_ID}}}:job")

    with pytest.raises(Gone):
        stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1", BODY)


def test_a_submission_whose_answer_got_lost_is_found_again(stores: RedisStores, job_request: JobRequest) -> None:
    """The client library repeats the call; there is still one job, and it is this call's own."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1", BODY)

    assert not stores.jobs.create(JOB_ID, OWNER, job_request, "r1", BODY).replayed
    assert stores.redis.zcard("dr:open") == 1


def test_cancelling_everything_ends_ones_own_jobs(stores: RedisStores, job_request: JobRequest) -> None:
    """Those that wait at once, those that run by request, and nobody else's."""
    running = create_accepted_job(stores, job_request)
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1")
    stores.jobs.create("c" * 32, "somebody", job_request, "r1")

    assert stores.jobs.cancel_all(OWNER) == {"cancelled": 1, "requested": 1}
    assert stores.attempts.renew(running)
    assert JobState.FAILED is stores.jobs.get(OTHER_JOB_ID).state
    assert JobState.QUEUED is stores.jobs.get("c" * 32).state
