"""An attempt: who gets which job, who may write, and what becomes of a job that its worker has let go."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.errors import BrowserLost, LeaseLost, SiteRefused
from schemas.jobs.job import GeneratedImage, JobRequest, Progress, Result
from schemas.jobs.lifecycle import JobState
from stores.jobs.attempts import LEASE_MS, MAX_DELIVERIES
from tests.conftest import FakeClock
from tests.contract.conftest import JOB_ID, OTHER_JOB_ID, OWNER, RedisStores, create_accepted_job


def test_a_whole_life_in_order(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage, clock: FakeClock
) -> None:
    """Every visible change has a number of its own and a later modification time; the log has each once."""
    job = create_accepted_job(stores, job_request)
    seen = [stores.jobs.get(JOB_ID)]
    stores.attempts.record_progress(job, Progress(50.0, 10, 20))
    seen.append(stores.jobs.get(JOB_ID))
    stores.attempts.record_preview(job, b"preview")
    seen.append(stores.jobs.get(JOB_ID))
    stores.attempts.store_images(job, [image], b"jpeg bytes")
    stores.attempts.complete(job, [image])
    seen.append(stores.jobs.get(JOB_ID))

    assert sorted({one.seq for one in seen}) == [one.seq for one in seen]
    assert sorted({one.last_modified for one in seen}) == [one.last_modified for one in seen]
    log = stores.redis.xrange(f"dr:{{{JOB_ID}}}:events")
    assert [entry[b"type"] for _, entry in log] == [
        b"queued",
        b"starting",
        b"in_progress",
        b"in_progress",
        b"preview",
        b"completed",
    ]
    end = seen[-1]
    assert end.state is JobState.COMPLETED
    assert (Result("image/png", len(image.data), 512, 384, lossy=False),) == end.results
    assert clock.now_ms() + 600_000 == end.expires_at
    assert (image.data, b"jpeg bytes") == (
        stores.results.get_original(JOB_ID),
        stores.results.get_converted(JOB_ID, "jpg"),
    )


def test_several_pictures_are_kept_and_expire_together(stores: RedisStores, job_request: JobRequest) -> None:
    """Each by its number, the first by itself too; a further attempt begins with none."""
    job = create_accepted_job(stores, job_request)
    several = [GeneratedImage(f"image {number}".encode(), "image/png", 8, number) for number in (1, 2, 3)]
    stores.attempts.store_images(job, several, b"jpeg")
    stores.attempts.retry(job, BrowserLost(), 0)
    assert [None, None, None] == [stores.results.get_original(JOB_ID, number) for number in (1, 2, 3)]

    job = stores.attempts.claim("w2")
    assert job
    stores.attempts.mark_accepted(job)
    stores.attempts.store_images(job, several[:2], b"jpeg")
    stores.attempts.complete(job, several[:2])

    assert [b"image 1", b"image 2", None] == [stores.results.get_original(JOB_ID, number) for number in (1, 2, 3)]
    assert [1, 2] == [result.height for result in stores.jobs.get(JOB_ID).results]
    assert all(0 < stores.redis.ttl(f"dr:{{{JOB_ID}}}:{part}") <= 600 for part in ("image", "image.2", "image.jpg"))


def test_a_job_is_claimed_once(stores: RedisStores, job_request: JobRequest) -> None:
    """A second ticket finds nothing to take, while it runs and when it has ended."""
    job = create_accepted_job(stores, job_request)

    assert stores.attempts.claim("w2") is None
    stores.attempts.fail(job, SiteRefused("no"))
    assert stores.attempts.claim("w2") is None


def test_only_the_present_attempt_may_write(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage, clock: FakeClock
) -> None:
    """An attempt that lost its job changes nothing any more, whatever it tries."""
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
        lambda: stores.attempts.complete(old, [image]),
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


def test_nothing_completes_without_its_picture(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """COMPLETED never points at a image that is not there."""
    job = create_accepted_job(stores, job_request)

    with pytest.raises(LeaseLost):
        stores.attempts.complete(job, [image])

    assert JobState.PENDING is stores.jobs.get(JOB_ID).state


def test_a_live_lease_does_not_lapse(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """Renewal keeps a job for as long as it takes."""
    job = create_accepted_job(stores, job_request)
    for _ in range(5):
        clock.advance(LEASE_MS / 1000 - 1)
        assert not stores.attempts.renew(job)
        assert not stores.maintenance.list_expired_leases()
        assert not stores.maintenance.requeue_expired(JOB_ID)


def test_a_dead_workers_job_is_taken_back_at_once(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock
) -> None:
    """And a living one's is not; it is the next to be taken, before those that came after it."""
    create_accepted_job(stores, job_request)
    clock.advance(1)
    stores.jobs.create(OTHER_JOB_ID, "another", replace(job_request, priority=10), "r1")

    assert not stores.maintenance.requeue_expired(JOB_ID, "w2")
    assert stores.maintenance.requeue_expired(JOB_ID, "w1")
    assert JobState.QUEUED is stores.jobs.get(JOB_ID).state
    again = stores.attempts.claim("w2")
    assert again
    assert (again.id, again.attempt, stores.jobs.get_with_estimate(OTHER_JOB_ID)[1].position) == (JOB_ID, 2, 1)


def test_a_fourth_delivery_is_the_last(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """A job that kills every worker ends, with an honest reason."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    for _ in range(MAX_DELIVERIES):
        assert stores.attempts.claim("w1")
        stores.maintenance.requeue_expired(JOB_ID, "w1")

    assert stores.attempts.claim("w1") is None
    error = stores.jobs.get(JOB_ID).error
    assert error is not None
    assert error.code == "worker_lost"


def test_a_released_job_has_not_been_delivered(stores: RedisStores, job_request: JobRequest) -> None:
    """Workers may stop in good order as often as they like."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    for _ in range(MAX_DELIVERIES * 2):
        job = stores.attempts.claim("w1")
        assert job is not None
        stores.attempts.release(job, BrowserLost())

    assert JobState.QUEUED is stores.jobs.get(JOB_ID).state


def test_a_retry_waits_and_shows_nothing_old(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """The next attempt begins when it is due, without the previews of the one before."""
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


def test_a_failure_keeps_its_reason_and_no_picture(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """Code, sentence and hint are there; pictures of an attempt that failed are not."""
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


def test_a_claim_whose_answer_got_lost_is_found_again(stores: RedisStores, job_request: JobRequest) -> None:
    """The client library repeats the call with its token; the job is not stranded under a lease nobody knows."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1")
    first, again = (stores.attempts.claim("w1", "t1") for _ in range(2))

    assert first
    assert (first, first.id, first.attempt) == (again, JOB_ID, 1)
    assert JobState.QUEUED is stores.jobs.get(OTHER_JOB_ID).state


def test_a_late_repetition_takes_nothing_from_others(stores: RedisStores, job_request: JobRequest) -> None:
    """Once another worker has the job, the token of the first finds neither that attempt nor another job."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    stores.attempts.claim("w1", "t1")
    stores.maintenance.requeue_expired(JOB_ID, "w1")
    assert stores.attempts.claim("w1", "t1") is None
    other = stores.attempts.claim("w2", "t2")
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r1")

    assert other
    assert stores.attempts.claim("w1", "t1") is None
    assert stores.attempts.claim("w2", "t2") == other


def test_a_write_whose_answer_got_lost_may_be_repeated(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """Saying twice that the prompt was taken, or that the image is there, changes nothing more."""
    job = create_accepted_job(stores, job_request)
    seq = stores.jobs.get(JOB_ID).seq
    stores.attempts.mark_accepted(job)
    assert seq == stores.jobs.get(JOB_ID).seq

    stores.attempts.store_images(job, [image], b"jpeg")
    stores.attempts.complete(job, [image])
    seq = stores.jobs.get(JOB_ID).seq
    stores.attempts.complete(job, [image])
    assert seq == stores.jobs.get(JOB_ID).seq


def test_a_claim_that_redis_forgot_writes_nothing(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """A server that lost its newest writes numbers attempts anew; the token of the claim still tells them apart."""
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


def test_retries_and_lost_workers_are_counted_apart(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock
) -> None:
    """An orderly retry is no lost delivery; a worker that stops uses up neither."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    counts = []
    for end in ("retry", "lapse", "release", "retry"):
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


def test_words_cut_in_half_are_kept_nevertheless(stores: RedisStores, job_request: JobRequest) -> None:
    """A page may cut a character; the job ends with what can be told."""
    job = create_accepted_job(stores, job_request)
    stores.attempts.fail(job, SiteRefused("no \ud83d"), {"dom": "\ud83d"})

    error = stores.jobs.get(JOB_ID).error
    assert error
    assert error.message == "no ?"


def test_a_job_that_only_waits_has_no_log_yet(stores: RedisStores, job_request: JobRequest) -> None:
    """It would take more memory than the job; its first line is written with the second, under its own time."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r1")
    assert not stores.redis.exists(f"dr:{{{JOB_ID}}}:events")

    stores.jobs.cancel(JOB_ID)
    log: Any = stores.redis.xrange(f"dr:{{{JOB_ID}}}:events")
    assert [(ident, entry[b"type"]) for ident, entry in log] == [(b"1-0", b"queued"), (b"2-0", b"failed")]
    assert int(log[0][1][b"time"]) == stores.jobs.get(JOB_ID).start_time
