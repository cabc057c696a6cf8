"""Attempts: claims, fenced writes, and what happens to a job whose worker has stopped or died."""

from dataclasses import replace
from typing import Any

import pytest

from ops.infra.settings import Settings
from schemas.errors import BrowserLost, LeaseLost, SiteRefused
from schemas.jobs.job import GeneratedImage, JobRequest, Progress, Result
from schemas.jobs.lifecycle import JobState
from stores.accounts.owner_key import OwnerKey
from stores.jobs.attempts import LEASE_MS, MAX_ATTEMPTS, MAX_DELIVERIES, RETRY_DELAYS_MS, max_unfinished_s
from stores.jobs.watch_tokens import WatchTokens
from tests.conftest import API_KEY, FakeClock
from tests.contract.conftest import JOB_ID, OTHER_JOB_ID, OWNER, RedisStores, create_accepted_job, sweep


def test_every_change_has_its_own_event(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage, clock: FakeClock
) -> None:
    """Each visible change has its own number and a later modification time, and is logged once."""
    job = create_accepted_job(stores, job_request)
    versions = [stores.jobs.get(JOB_ID)]
    stores.attempts.record_progress(job, Progress(50.0, 10, 20))
    versions.append(stores.jobs.get(JOB_ID))
    stores.attempts.record_preview(job, b"preview")
    versions.append(stores.jobs.get(JOB_ID))
    keys = stores.attempts.store_images(job, [image], b"jpeg bytes")
    stores.attempts.complete(job, [image], keys)
    versions.append(stores.jobs.get(JOB_ID))

    assert sorted({job.seq for job in versions}) == [job.seq for job in versions]
    assert sorted({job.last_modified for job in versions}) == [job.last_modified for job in versions]
    log = stores.redis.xrange(f"dr:{{{JOB_ID}}}:events")
    assert [entry[b"type"] for _, entry in log] == [
        b"queued",
        b"starting",
        b"in_progress",
        b"in_progress",
        b"preview",
        b"completed",
    ]
    end = versions[-1]
    assert end.state is JobState.COMPLETED
    assert (Result("image/png", len(image.data), 512, 384, lossy=False),) == end.results
    assert clock.now_ms() + 600_000 == end.expires_at
    assert (image.data, b"jpeg bytes") == (
        stores.results.get_original(JOB_ID),
        stores.results.get_converted(JOB_ID, "jpg"),
    )


def test_several_images_are_stored_and_expire_together(stores: RedisStores, job_request: JobRequest) -> None:
    """Images are stored by number; a further attempt starts with none."""
    job = create_accepted_job(stores, job_request)
    images = [GeneratedImage(f"image {number}".encode(), "image/png", 8, number) for number in (1, 2, 3)]
    stores.attempts.store_images(job, images, b"jpeg")
    stores.attempts.retry(job, BrowserLost(), 0)
    assert [None, None, None] == [stores.results.get_original(JOB_ID, number) for number in (1, 2, 3)]

    job = stores.attempts.claim("w2")
    assert job
    stores.attempts.mark_accepted(job)
    keys = stores.attempts.store_images(job, images[:2], b"jpeg")
    stores.attempts.complete(job, images[:2], keys)

    assert [b"image 1", b"image 2", None] == [stores.results.get_original(JOB_ID, number) for number in (1, 2, 3)]
    assert [1, 2] == [result.height for result in stores.jobs.get(JOB_ID).results]
    assert all(0 < stores.redis.ttl(f"dr:{{{JOB_ID}}}:{part}") <= 600 for part in ("image", "image.2", "image.jpg"))


def test_a_job_is_claimed_once(stores: RedisStores, job_request: JobRequest) -> None:
    """A second wakeup finds no job, neither while the job runs nor after its end."""
    job = create_accepted_job(stores, job_request)

    assert stores.attempts.claim("w2") is None
    stores.attempts.fail(job, SiteRefused("no"))
    assert stores.attempts.claim("w2") is None


def test_an_attempt_without_lease_cannot_write(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage, clock: FakeClock
) -> None:
    """An attempt that has lost its job changes nothing, whichever write it tries."""
    old = create_accepted_job(stores, job_request)
    clock.advance(LEASE_MS / 1000 + 1)
    assert stores.maintenance.requeue_expired(JOB_ID)
    new = stores.attempts.claim("w2")
    assert new is not None
    before = stores.jobs.get(JOB_ID)

    for write in (
        lambda: stores.attempts.mark_accepted(old),
        lambda: stores.attempts.record_progress(old, Progress(1.0)),
        lambda: stores.attempts.record_preview(old, b"old"),
        lambda: stores.attempts.store_images(old, [image], b"old"),
        lambda: stores.attempts.complete(old, [image], ()),
        lambda: stores.attempts.fail(old, SiteRefused("old")),
        lambda: stores.attempts.retry(old, BrowserLost(), 0),
        lambda: stores.attempts.release(old, BrowserLost()),
        lambda: stores.attempts.renew(old),
    ):
        with pytest.raises(LeaseLost):
            write()

    assert before == stores.jobs.get(JOB_ID)
    assert stores.results.get_original(JOB_ID) is None
    assert stores.results.get_preview(JOB_ID) is None
    stores.attempts.mark_accepted(new)


def test_a_job_cannot_complete_without_its_image(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """COMPLETED never refers to an image that does not exist."""
    job = create_accepted_job(stores, job_request)

    with pytest.raises(LeaseLost):
        stores.attempts.complete(job, [image], ())

    assert JobState.PENDING is stores.jobs.get(JOB_ID).state


def test_a_renewed_lease_does_not_expire(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """Renewal keeps a job for as long as it takes."""
    job = create_accepted_job(stores, job_request)
    for _ in range(5):
        clock.advance(LEASE_MS / 1000 - 1)
        assert not stores.attempts.renew(job)
        assert not sweep(stores, leases=True)
        assert not stores.maintenance.requeue_expired(JOB_ID)


def test_a_job_of_a_dead_worker_is_requeued_at_once(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock
) -> None:
    """A job of a living worker is not; a requeued job is the next to be claimed."""
    create_accepted_job(stores, job_request)
    clock.advance(1)
    stores.jobs.create(OTHER_JOB_ID, "another", replace(job_request, priority=10), "r1")

    assert not stores.maintenance.requeue_expired(JOB_ID, "w2")
    assert stores.maintenance.requeue_expired(JOB_ID, "w1")
    assert JobState.QUEUED is stores.jobs.get(JOB_ID).state
    again = stores.attempts.claim("w2")
    assert again
    assert (again.id, again.attempt, stores.jobs.get_with_estimate(OTHER_JOB_ID)[1].position) == (JOB_ID, 2, 1)


@pytest.mark.parametrize("loss", ["dead worker", "expired lease"])
def test_a_job_that_takes_down_two_workers_ends(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock, loss: str
) -> None:
    """It fails with worker_lost as soon as the second worker is lost, and is handed to no third one."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    for worker in ("w1", "w2"):
        assert JobState.QUEUED is stores.jobs.get(JOB_ID).state
        assert stores.attempts.claim(worker)
        if loss == "expired lease":
            clock.advance(LEASE_MS / 1000)
        assert stores.maintenance.requeue_expired(JOB_ID, worker if loss == "dead worker" else "")

    assert stores.attempts.claim("w3") is None
    assert JobState.FAILED is stores.jobs.get(JOB_ID).state
    error = stores.jobs.get(JOB_ID).error
    assert error is not None
    assert error.code == "worker_lost"


def test_a_release_is_not_counted_as_a_delivery(stores: RedisStores, job_request: JobRequest) -> None:
    """A worker may stop gracefully any number of times."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    for _ in range(MAX_DELIVERIES * 2):
        job = stores.attempts.claim("w1")
        assert job is not None
        stores.attempts.release(job, BrowserLost())

    assert JobState.QUEUED is stores.jobs.get(JOB_ID).state


def test_a_retry_waits_and_clears_preview_and_progress(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock
) -> None:
    """The next attempt starts when it is due, without the previews of the last one."""
    job = create_accepted_job(stores, job_request)
    stores.attempts.record_preview(job, b"preview")
    stores.attempts.record_progress(job, Progress(50.0))
    stores.attempts.retry(job, BrowserLost(), 2_000, {"url": "https://example.org"})

    waiting = stores.jobs.get(JOB_ID)
    assert (waiting.state, waiting.preview_version, waiting.progress) == (JobState.QUEUED, 0, None)
    assert stores.results.get_preview(JOB_ID) is None
    assert stores.jobs.get_failure_report(JOB_ID) == {"url": "https://example.org"}
    assert stores.attempts.claim("w1") is None
    assert not stores.wakeups.top_up()
    clock.advance(2)
    assert stores.wakeups.top_up() == 1
    again = stores.attempts.claim("w1")
    assert again is not None
    assert again.attempt == 2


def test_a_failed_job_keeps_its_error_and_no_image(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """Code, message and hint are stored; images of the failed attempt are deleted."""
    job = create_accepted_job(stores, job_request)
    stores.attempts.record_preview(job, b"preview")
    stores.attempts.store_images(job, [image], b"jpeg")
    stores.attempts.fail(job, SiteRefused("Not that."), {"console": []})

    failed = stores.jobs.get(JOB_ID)
    assert failed.error
    assert (failed.error.code, failed.error.message, failed.error.retryable) == ("site_refused", "Not that.", False)
    assert [stores.results.get_original(JOB_ID), stores.results.get_preview(JOB_ID)] == [None, None]
    assert stores.jobs.get_failure_report(JOB_ID) == {"console": []}
    assert not stores.redis.zcard("dr:open")
    assert not stores.redis.zcard("dr:leases")


def test_a_repeated_claim_returns_the_same_job(stores: RedisStores, job_request: JobRequest) -> None:
    """The Redis client repeats a call whose answer was lost; the claim token leads to the same job."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1")
    first, again = (stores.attempts.claim("w1", "t1") for _ in range(2))

    assert first
    assert (first, first.id, first.attempt) == (again, JOB_ID, 1)
    assert JobState.QUEUED is stores.jobs.get(OTHER_JOB_ID).state


def test_a_late_repeated_claim_returns_nothing(stores: RedisStores, job_request: JobRequest) -> None:
    """Once another worker has the job, the first token finds neither that attempt nor another job."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    stores.attempts.claim("w1", "t1")
    stores.maintenance.requeue_expired(JOB_ID, "w1")
    assert stores.attempts.claim("w1", "t1") is None
    other = stores.attempts.claim("w2", "t2")
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1")

    assert other
    assert stores.attempts.claim("w1", "t1") is None
    assert stores.attempts.claim("w2", "t2") == other


def test_repeated_writes_change_nothing(stores: RedisStores, job_request: JobRequest, image: GeneratedImage) -> None:
    """mark_accepted and complete are idempotent."""
    job = create_accepted_job(stores, job_request)
    seq = stores.jobs.get(JOB_ID).seq
    stores.attempts.mark_accepted(job)
    assert seq == stores.jobs.get(JOB_ID).seq

    keys = stores.attempts.store_images(job, [image], b"jpeg")
    stores.attempts.complete(job, [image], keys)
    seq = stores.jobs.get(JOB_ID).seq
    stores.attempts.complete(job, [image], keys)
    assert seq == stores.jobs.get(JOB_ID).seq


def test_a_claim_lost_by_redis_cannot_write(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """A server that lost its newest writes repeats attempt numbers; claim tokens still distinguish them."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    snapshot = {key: stores.redis.dump(key) for key in stores.redis.keys("dr:*")}
    forgotten = stores.attempts.claim("w1")
    for key in stores.redis.keys("dr:*"):
        stores.redis.delete(key)
    for key, value in snapshot.items():
        stores.redis.restore(key, 0, value)
    present = stores.attempts.claim("w2")

    assert forgotten
    assert present
    assert forgotten.attempt == present.attempt
    stores.attempts.mark_accepted(present)
    with pytest.raises(LeaseLost):
        stores.attempts.store_images(forgotten, [image], b"another's")
    with pytest.raises(LeaseLost):
        stores.attempts.fail(forgotten, SiteRefused("another's"))


def test_retries_and_deliveries_are_counted_separately(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock
) -> None:
    """A retry is not a lost delivery; a stopping worker uses up neither."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    counts = []
    for end in ("retry", "loss", "release", "retry"):
        clock.advance(10)
        stores.wakeups.top_up()
        job = stores.attempts.claim("w1")
        assert job
        if end == "retry":
            stores.attempts.retry(job, BrowserLost(), 1000)
        elif end == "release":
            stores.attempts.release(job, BrowserLost())
        else:
            stores.maintenance.requeue_expired(JOB_ID, "w1")
        now = stores.jobs.get(JOB_ID)
        counts.append((now.attempt, now.retries, now.deliveries))

    assert counts == [(1, 1, 0), (2, 1, 1), (3, 1, 1), (4, 2, 1)]


def test_a_watch_token_outlives_the_longest_job(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock, settings: Settings
) -> None:
    """Each attempt, also one after a lost worker, may have waited for as long as jobs may wait."""
    tokens = WatchTokens(clock, OwnerKey(settings.data_dir, API_KEY), max_unfinished_s(settings))
    token = tokens.issue(JOB_ID)
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    for number in range(1, MAX_ATTEMPTS + 1):
        clock.advance(settings.max_wait_s - 10)
        stores.wakeups.top_up()
        job = stores.attempts.claim("w1")
        assert job
        assert job.attempt == number
        clock.advance(settings.job_deadline_s - 1)
        if number == 1:
            stores.maintenance.requeue_expired(JOB_ID, "w1")
        elif job.retries < len(RETRY_DELAYS_MS):
            stores.attempts.retry(job, BrowserLost(), RETRY_DELAYS_MS[job.retries])
        else:
            stores.attempts.fail(job, BrowserLost())
        assert tokens.verify(token, JOB_ID)
    assert JobState.FAILED is stores.jobs.get(JOB_ID).state


def test_lone_surrogates_in_messages_are_replaced(stores: RedisStores, job_request: JobRequest) -> None:
    """A page may cut a character in half; the job still ends with its message."""
    job = create_accepted_job(stores, job_request)
    stores.attempts.fail(job, SiteRefused("no \ud83d"), {"dom": "\ud83d"})

    error = stores.jobs.get(JOB_ID).error
    assert error
    assert error.message == "no ?"


def test_a_waiting_job_has_no_event_stream(stores: RedisStores, job_request: JobRequest) -> None:
    """A stream takes more memory than the job, so event 1 is written together with event 2."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    assert not stores.redis.exists(f"dr:{{{JOB_ID}}}:events")

    stores.jobs.cancel(JOB_ID)
    log: Any = stores.redis.xrange(f"dr:{{{JOB_ID}}}:events")
    assert [(entry_id, entry[b"type"]) for entry_id, entry in log] == [(b"1-0", b"queued"), (b"2-0", b"failed")]
    assert int(log[0][1][b"time"]) == stores.jobs.get(JOB_ID).start_time
