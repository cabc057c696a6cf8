"""Records of jobs: creation, limits, cancellation, reading."""

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
    """Everything that was submitted is stored, and the job is first in the queue."""
    created = stores.jobs.create(JOB_ID, OWNER, job_request, "r1")

    job, estimate = stores.jobs.get_with_estimate(JOB_ID)

    assert (created.job, created.estimate) == (job, estimate)
    assert (JobState.QUEUED, job_request, OWNER, "r1", 1, 1) == (
        job.state,
        job.request,
        job.owner,
        job.request_id,
        job.seq,
        estimate.position,
    )
    assert clock.now_ms() == job.start_time


def test_positions_count_waiting_jobs_only(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """A running job does not count."""
    for job_id in (JOB_ID, OTHER_JOB_ID, "c" * 32):
        stores.jobs.create(job_id, OWNER, job_request, "r1")
        clock.advance(1)

    assert [stores.jobs.get_with_estimate(job_id)[1].position for job_id in (JOB_ID, OTHER_JOB_ID, "c" * 32)] == [
        1,
        2,
        3,
    ]
    stores.attempts.claim("w1")
    assert [stores.jobs.get_with_estimate(job_id)[1].position for job_id in (JOB_ID, OTHER_JOB_ID, "c" * 32)] == [
        None,
        1,
        2,
    ]


def test_an_unknown_id_is_not_found(stores: RedisStores) -> None:
    """The error is 404, not 410."""
    with pytest.raises(NotFound):
        stores.jobs.get(JOB_ID)


def test_a_full_queue_refuses_jobs(
    stores: RedisStores, job_request: JobRequest, settings: Settings, clock: FakeClock
) -> None:
    """The error has a Retry-After, and nothing of the job is stored."""
    small = build_stores(stores.redis, clock, replace(settings, max_queue_size=1)).jobs
    small.create(JOB_ID, OWNER, job_request, "r1")

    with pytest.raises(LimitReached, match="busy") as refused:
        small.create(OTHER_JOB_ID, OWNER, job_request, "r1")

    assert refused.value.retry_after_s
    with pytest.raises(NotFound):
        small.get(OTHER_JOB_ID)


def test_each_owner_has_limits(
    stores: RedisStores, job_request: JobRequest, settings: Settings, clock: FakeClock
) -> None:
    """Limits of one owner do not affect another; the daily one ends at midnight."""
    limited = build_stores(stores.redis, clock, replace(settings, limit_queued_images=2, limit_daily_images=2))
    limited.jobs.create(JOB_ID, OWNER, job_request, "r1")
    limited.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1")

    with pytest.raises(LimitReached, match="LIMIT_QUEUED_IMAGES"):
        limited.jobs.create("c" * 32, OWNER, job_request, "r1")
    limited.jobs.create("c" * 32, "another", job_request, "r1")
    for _ in range(3):
        job = limited.attempts.claim("w1")
        assert job
        limited.attempts.mark_accepted(job)
        keys = limited.attempts.store_images(job, [GeneratedImage(b"x", "image/png", 1, 1)], b"x")
        limited.attempts.complete(job, [GeneratedImage(b"x", "image/png", 1, 1)], keys)

    with pytest.raises(LimitReached, match="LIMIT_DAILY_IMAGES") as refused:
        limited.jobs.create("d" * 32, OWNER, job_request, "r1")
    assert refused.value.retry_after_s is not None
    clock.advance(refused.value.retry_after_s)
    limited.jobs.create("d" * 32, OWNER, job_request, "r1")


def test_a_failed_job_does_not_count_towards_quotas(stores: RedisStores, job_request: JobRequest) -> None:
    """Quotas count finished images."""
    job = create_accepted_job(stores, job_request)
    used = stores.quotas.get_usage(OWNER)
    assert (used.daily, used.weekly, used.queued, used.running) == (1, 1, 1, 1)

    stores.attempts.fail(job, SiteRefused("no"))

    used = stores.quotas.get_usage(OWNER)
    assert (used.daily, used.weekly, used.queued, used.running) == (0, 0, 0, 0)


def test_cancelling_a_queued_job_ends_it_at_once(stores: RedisStores, job_request: JobRequest) -> None:
    """No worker gets it, and cancelling again changes nothing."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")

    assert stores.jobs.cancel(JOB_ID) == "cancelled"
    ended = stores.jobs.get(JOB_ID)
    assert ended.error
    assert ended.error.code == "cancelled"
    assert stores.attempts.claim("w1") is None
    assert stores.jobs.cancel(JOB_ID) == "ended"
    assert ended == stores.jobs.get(JOB_ID)
    assert stores.jobs.cancel(OTHER_JOB_ID) == "gone"


def test_cancelling_a_running_job_is_a_request(stores: RedisStores, job_request: JobRequest) -> None:
    """The worker learns of it with its next renewal at the latest; a retry then ends the job."""
    job = create_accepted_job(stores, job_request)

    assert stores.jobs.cancel(JOB_ID) == "requested"
    assert JobState.PENDING is stores.jobs.get(JOB_ID).state
    assert stores.attempts.renew(job)
    stores.attempts.retry(job, BrowserLost(), 0)
    error = stores.jobs.get(JOB_ID).error
    assert error is not None
    assert error.code == "cancelled"


def test_an_expired_job_is_gone(stores: RedisStores, job_request: JobRequest, image: GeneratedImage) -> None:
    """The error is 410 ever after, although nothing of the job is kept; ids of versions that kept a key have it."""
    job_id = stores.jobs.create_id()
    create_completed_job(stores, job_request, image, job_id)
    for part in ("job", "events", "image", "image.jpg"):
        assert 0 < stores.redis.ttl(f"dr:{{{job_id}}}:{part}") <= 600
        stores.redis.delete(f"dr:{{{job_id}}}:{part}")
    assert not stores.redis.keys(f"dr:{{{job_id}}}:*")

    stores.redis.set(f"dr:{{{OTHER_JOB_ID}}}:gone", 1)
    for expired in (job_id, OTHER_JOB_ID):
        with pytest.raises(Gone, match="expired"):
            stores.jobs.get(expired)


def test_pages_list_the_owners_jobs_newest_first(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock
) -> None:
    """Pages have no gap or repetition, also where jobs share a millisecond."""
    ids = [f"{number:032x}" for number in range(7)]
    for number, job_id in enumerate(ids):
        stores.jobs.create(job_id, OWNER, job_request, "r1")
        clock.advance(number % 3)
    stores.jobs.create("f" * 32, "another", job_request, "r1")

    pages, cursor = [], None
    while True:
        jobs, cursor = stores.jobs.list_page(OWNER, cursor, 3)
        pages.append([job.id for job, _ in jobs])
        if cursor is None:
            break

    assert [len(page) for page in pages] == [3, 3, 1]
    assert ids[::-1] == [job_id for page in pages for job_id in page]


def test_pages_omit_expired_jobs(stores: RedisStores, job_request: JobRequest) -> None:
    """An id without a record is not listed."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1")
    stores.redis.delete(f"dr:{{{OTHER_JOB_ID}}}:job")

    assert [job.id for job, _ in stores.jobs.list_page(OWNER, None, 10)[0]] == [JOB_ID]


BODY = Idempotency.for_request("key-1", JobRequest("", "a lighthouse", inputs={"seed": 7, "steps": 4}))


def test_a_repeated_request_creates_one_job(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """This holds for a day, whatever has happened to the job."""
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


def test_an_idempotency_key_belongs_to_one_request_of_one_caller(stores: RedisStores, job_request: JobRequest) -> None:
    """Another request with the key is rejected; another caller may use the same key."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1", BODY)

    with pytest.raises(IdempotencyMismatch):
        stores.jobs.create(
            OTHER_JOB_ID, OWNER, job_request, "r1", Idempotency.for_request("key-1", JobRequest("", "a city"))
        )
    assert not stores.jobs.create(OTHER_JOB_ID, "another", job_request, "r1", BODY).replayed


def test_a_refused_request_does_not_use_its_key(
    stores: RedisStores, job_request: JobRequest, settings: Settings, clock: FakeClock
) -> None:
    """Once there is room, the same key creates the job."""
    small = build_stores(stores.redis, clock, replace(settings, max_queue_size=1)).jobs
    small.create(JOB_ID, OWNER, job_request, "r1")
    with pytest.raises(LimitReached):
        small.create(OTHER_JOB_ID, OWNER, job_request, "r1", BODY)

    small.cancel(JOB_ID)
    assert not small.create(OTHER_JOB_ID, OWNER, job_request, "r1", BODY).replayed


def test_the_first_job_of_a_request_needs_room_for_all(
    stores: RedisStores, job_request: JobRequest, settings: Settings, clock: FakeClock
) -> None:
    """Every limit counts the jobs that follow; a repeated request has its room already."""
    for name in ("max_queue_size", "limit_queued_images", "limit_daily_images", "limit_weekly_images"):
        stores.redis.flushdb()
        small = build_stores(stores.redis, clock, replace(settings, **{name: 2})).jobs
        with pytest.raises(LimitReached):
            small.create(JOB_ID, OWNER, job_request, "r1", BODY, room=3)
        assert small.dry_run(OWNER, "studio", 0, room=3)[0]
        assert not small.dry_run(OWNER, "studio", 0, room=2)[0]
        assert not small.create(JOB_ID, OWNER, job_request, "r1", BODY, room=2).replayed
        assert not small.create(OTHER_JOB_ID, OWNER, job_request, "r1").replayed
        assert small.create("c" * 32, OWNER, job_request, "r1", BODY, room=2).replayed


def test_a_withdrawn_job_releases_its_own_key_only(stores: RedisStores, job_request: JobRequest) -> None:
    """The key of another job stays, and so does that of a job that is only cancelled."""
    first = stores.jobs.create(JOB_ID, OWNER, job_request, "r1", BODY).job
    other = stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1").job
    stores.jobs.withdraw(other, BODY.key)
    stores.jobs.cancel(JOB_ID)
    assert stores.jobs.create("c" * 32, OWNER, job_request, "r1", BODY).replayed

    stores.jobs.withdraw(first, BODY.key)
    assert not stores.jobs.create("c" * 32, OWNER, job_request, "r1", BODY).replayed
    assert [stores.jobs.get(job.id).state for job in (first, other)] == [JobState.FAILED] * 2


def test_an_expired_job_is_not_created_again(stores: RedisStores, job_request: JobRequest) -> None:
    """The key still refers to the expired job, so the error is 410."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1", BODY)
    stores.jobs.cancel(JOB_ID)
    stores.redis.delete(f"dr:{{{JOB_ID}}}:job")

    with pytest.raises(Gone):
        stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1", BODY)


def test_a_repeated_call_finds_its_own_job(stores: RedisStores, job_request: JobRequest) -> None:
    """The Redis client repeats a call whose answer was lost; the job is not a replay."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1", BODY)

    assert not stores.jobs.create(JOB_ID, OWNER, job_request, "r1", BODY).replayed
    assert stores.redis.zcard("dr:open") == 1


def test_cancel_all_cancels_the_owners_jobs(stores: RedisStores, job_request: JobRequest) -> None:
    """Queued jobs end at once, running ones by request, those of others not at all."""
    running = create_accepted_job(stores, job_request)
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1")
    stores.jobs.create("c" * 32, "another", job_request, "r1")

    assert stores.jobs.cancel_all(OWNER) == {"cancelled": 1, "requested": 1}
    assert stores.attempts.renew(running)
    assert JobState.FAILED is stores.jobs.get(OTHER_JOB_ID).state
    assert JobState.QUEUED is stores.jobs.get("c" * 32).state
