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
    kept: RedisStores, submission: JobRequest, picture: GeneratedImage, clock: FakeClock
) -> None:
    """Every visible change has a number of its own and a later modification time; the log has each once."""
    job = create_accepted_job(kept, submission)
    seen = [kept.jobs.get(JOB_ID)]
    kept.attempts.record_progress(job, Progress(50.0, 10, 20))
    seen.append(kept.jobs.get(JOB_ID))
    kept.attempts.record_preview(job, b"preview")
    seen.append(kept.jobs.get(JOB_ID))
    kept.attempts.store_images(job, [picture], b"jpeg bytes")
    kept.attempts.complete(job, [picture])
    seen.append(kept.jobs.get(JOB_ID))

    assert sorted({one.seq for one in seen}) == [one.seq for one in seen]
    assert sorted({one.last_modified for one in seen}) == [one.last_modified for one in seen]
    log = kept.redis.xrange(f"dr:{{{JOB_ID}}}:events")
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
    assert (Result("image/png", len(picture.data), 512, 384, lossy=False),) == end.results
    assert clock.now_ms() + 600_000 == end.expires_at
    assert (picture.data, b"jpeg bytes") == (
        kept.results.get_original(JOB_ID),
        kept.results.get_converted(JOB_ID, "jpg"),
    )


def test_several_pictures_are_kept_and_expire_together(kept: RedisStores, submission: JobRequest) -> None:
    """Each by its number, the first by itself too; a further attempt begins with none."""
    job = create_accepted_job(kept, submission)
    several = [GeneratedImage(f"picture {number}".encode(), "image/png", 8, number) for number in (1, 2, 3)]
    kept.attempts.store_images(job, several, b"jpeg")
    kept.attempts.retry(job, BrowserLost(), 0)
    assert [None, None, None] == [kept.results.get_original(JOB_ID, number) for number in (1, 2, 3)]

    job = kept.attempts.claim("w2")
    assert job
    kept.attempts.mark_accepted(job)
    kept.attempts.store_images(job, several[:2], b"jpeg")
    kept.attempts.complete(job, several[:2])

    assert [b"picture 1", b"picture 2", None] == [kept.results.get_original(JOB_ID, number) for number in (1, 2, 3)]
    assert [1, 2] == [result.height for result in kept.jobs.get(JOB_ID).results]
    assert all(0 < kept.redis.ttl(f"dr:{{{JOB_ID}}}:{part}") <= 600 for part in ("image", "image.2", "image.jpg"))


def test_a_job_is_claimed_once(kept: RedisStores, submission: JobRequest) -> None:
    """A second ticket finds nothing to take, while it runs and when it has ended."""
    job = create_accepted_job(kept, submission)

    assert kept.attempts.claim("w2") is None
    kept.attempts.fail(job, SiteRefused("no"))
    assert kept.attempts.claim("w2") is None


def test_only_the_present_attempt_may_write(
    kept: RedisStores, submission: JobRequest, picture: GeneratedImage, clock: FakeClock
) -> None:
    """An attempt that lost its job changes nothing any more, whatever it tries."""
    old = create_accepted_job(kept, submission)
    clock.advance(LEASE_MS / 1000 + 1)
    assert kept.maintenance.requeue_expired(JOB_ID)
    new = kept.attempts.claim("w2")
    assert new is not None
    before = kept.jobs.get(JOB_ID)

    for write in (
        lambda: kept.attempts.mark_accepted(old),
        lambda: kept.attempts.record_progress(old, Progress(1.0)),
        lambda: kept.attempts.record_preview(old, b"old"),
        lambda: kept.attempts.store_images(old, [picture], b"old"),
        lambda: kept.attempts.complete(old, [picture]),
        lambda: kept.attempts.fail(old, SiteRefused("old")),
        lambda: kept.attempts.retry(old, BrowserLost(), 0),
        lambda: kept.attempts.release(old, BrowserLost()),
        lambda: kept.attempts.renew(old),
    ):
        with pytest.raises(LeaseLost):
            write()

    assert before == kept.jobs.get(JOB_ID)
    assert kept.results.get_original(JOB_ID) is None
    assert kept.results.get_preview(JOB_ID) is None
    kept.attempts.mark_accepted(new)


def test_nothing_completes_without_its_picture(
    kept: RedisStores, submission: JobRequest, picture: GeneratedImage
) -> None:
    """COMPLETED never points at a picture that is not there."""
    job = create_accepted_job(kept, submission)

    with pytest.raises(LeaseLost):
        kept.attempts.complete(job, [picture])

    assert JobState.PENDING is kept.jobs.get(JOB_ID).state


def test_a_live_lease_does_not_lapse(kept: RedisStores, submission: JobRequest, clock: FakeClock) -> None:
    """Renewal keeps a job for as long as it takes."""
    job = create_accepted_job(kept, submission)
    for _ in range(5):
        clock.advance(LEASE_MS / 1000 - 1)
        assert not kept.attempts.renew(job)
        assert not kept.maintenance.list_expired_leases()
        assert not kept.maintenance.requeue_expired(JOB_ID)


def test_a_dead_workers_job_is_taken_back_at_once(kept: RedisStores, submission: JobRequest, clock: FakeClock) -> None:
    """And a living one's is not; it is the next to be taken, before those that came after it."""
    create_accepted_job(kept, submission)
    clock.advance(1)
    kept.jobs.create(OTHER_JOB_ID, "another", replace(submission, priority=10), "r1")

    assert not kept.maintenance.requeue_expired(JOB_ID, "w2")
    assert kept.maintenance.requeue_expired(JOB_ID, "w1")
    assert JobState.QUEUED is kept.jobs.get(JOB_ID).state
    again = kept.attempts.claim("w2")
    assert again
    assert (again.id, again.attempt, kept.jobs.get_with_estimate(OTHER_JOB_ID)[1].position) == (JOB_ID, 2, 1)


def test_a_fourth_delivery_is_the_last(kept: RedisStores, submission: JobRequest, clock: FakeClock) -> None:
    """A job that kills every worker ends, with an honest reason."""
    kept.jobs.create(JOB_ID, OWNER, submission, "r1")
    for _ in range(MAX_DELIVERIES):
        assert kept.attempts.claim("w1")
        kept.maintenance.requeue_expired(JOB_ID, "w1")

    assert kept.attempts.claim("w1") is None
    error = kept.jobs.get(JOB_ID).error
    assert error is not None
    assert error.code == "worker_lost"


def test_a_released_job_has_not_been_delivered(kept: RedisStores, submission: JobRequest) -> None:
    """Workers may stop in good order as often as they like."""
    kept.jobs.create(JOB_ID, OWNER, submission, "r1")
    for _ in range(MAX_DELIVERIES * 2):
        job = kept.attempts.claim("w1")
        assert job is not None
        kept.attempts.release(job, BrowserLost())

    assert JobState.QUEUED is kept.jobs.get(JOB_ID).state


def test_a_retry_waits_and_shows_nothing_old(kept: RedisStores, submission: JobRequest, clock: FakeClock) -> None:
    """The next attempt begins when it is due, without the previews of the one before."""
    job = create_accepted_job(kept, submission)
    kept.attempts.record_preview(job, b"preview")
    kept.attempts.record_progress(job, Progress(50.0))
    kept.attempts.retry(job, BrowserLost(), 2_000, {"url": "https://example.org"})

    waiting = kept.jobs.get(JOB_ID)
    assert (waiting.state, waiting.preview_version, waiting.progress) == (JobState.QUEUED, 0, None)
    assert kept.results.get_preview(JOB_ID) is None
    assert kept.jobs.get_failure_report(JOB_ID) == {"url": "https://example.org"}
    assert kept.attempts.claim("w1") is None
    assert not kept.wakeups.top_up()
    clock.advance(2)
    assert kept.wakeups.top_up() == 1
    again = kept.attempts.claim("w1")
    assert again is not None
    assert again.attempt == 2


def test_a_failure_keeps_its_reason_and_no_picture(
    kept: RedisStores, submission: JobRequest, picture: GeneratedImage
) -> None:
    """Code, sentence and hint are there; pictures of an attempt that failed are not."""
    job = create_accepted_job(kept, submission)
    kept.attempts.record_preview(job, b"preview")
    kept.attempts.store_images(job, [picture], b"jpeg")
    kept.attempts.fail(job, SiteRefused("Not that."), {"console": []})

    failed = kept.jobs.get(JOB_ID)
    assert failed.error
    assert (failed.error.code, failed.error.message, failed.error.retryable) == ("site_refused", "Not that.", False)
    assert [kept.results.get_original(JOB_ID), kept.results.get_preview(JOB_ID)] == [None, None]
    assert kept.jobs.get_failure_report(JOB_ID) == {"console": []}
    assert not kept.redis.zcard("dr:open")
    assert not kept.redis.zcard("dr:leases")


def test_a_claim_whose_answer_got_lost_is_found_again(kept: RedisStores, submission: JobRequest) -> None:
    """The client library repeats the call with its token; the job is not stranded under a lease nobody knows."""
    kept.jobs.create(JOB_ID, OWNER, submission, "r1")
    kept.jobs.create(OTHER_JOB_ID, OWNER, submission, "r1")
    first, again = (kept.attempts.claim("w1", "t1") for _ in range(2))

    assert first
    assert (first, first.id, first.attempt) == (again, JOB_ID, 1)
    assert JobState.QUEUED is kept.jobs.get(OTHER_JOB_ID).state


def test_a_late_repetition_takes_nothing_from_others(kept: RedisStores, submission: JobRequest) -> None:
    """Once another worker has the job, the token of the first finds neither that attempt nor another job."""
    kept.jobs.create(JOB_ID, OWNER, submission, "r1")
    kept.attempts.claim("w1", "t1")
    kept.maintenance.requeue_expired(JOB_ID, "w1")
    assert kept.attempts.claim("w1", "t1") is None
    other = kept.attempts.claim("w2", "t2")
    kept.jobs.create(OTHER_JOB_ID, OWNER, submission, "r1")

    assert other
    assert kept.attempts.claim("w1", "t1") is None
    assert kept.attempts.claim("w2", "t2") == other


def test_a_write_whose_answer_got_lost_may_be_repeated(
    kept: RedisStores, submission: JobRequest, picture: GeneratedImage
) -> None:
    """Saying twice that the prompt was taken, or that the picture is there, changes nothing more."""
    job = create_accepted_job(kept, submission)
    seq = kept.jobs.get(JOB_ID).seq
    kept.attempts.mark_accepted(job)
    assert seq == kept.jobs.get(JOB_ID).seq

    kept.attempts.store_images(job, [picture], b"jpeg")
    kept.attempts.complete(job, [picture])
    seq = kept.jobs.get(JOB_ID).seq
    kept.attempts.complete(job, [picture])
    assert seq == kept.jobs.get(JOB_ID).seq


def test_a_claim_that_redis_forgot_writes_nothing(
    kept: RedisStores, submission: JobRequest, picture: GeneratedImage
) -> None:
    """A server that lost its newest writes numbers attempts anew; the token of the claim still tells them apart."""
    kept.jobs.create(JOB_ID, OWNER, submission, "r1")
    snapshot = {key: kept.redis.dump(key) for key in kept.redis.keys("dr:*")}
    forgotten = kept.attempts.claim("w1")
    for key in kept.redis.keys("dr:*"):
        kept.redis.delete(key)
    for key, value in snapshot.items():
        kept.redis.restore(key, 0, value)
    present = kept.attempts.claim("w2")

    assert forgotten
    assert present
    assert forgotten.attempt == present.attempt
    kept.attempts.mark_accepted(present)
    with pytest.raises(LeaseLost):
        kept.attempts.store_images(forgotten, [picture], b"another's")
    with pytest.raises(LeaseLost):
        kept.attempts.fail(forgotten, SiteRefused("another's"))


def test_retries_and_lost_workers_are_counted_apart(
    kept: RedisStores, submission: JobRequest, clock: FakeClock
) -> None:
    """An orderly retry is no lost delivery; a worker that stops uses up neither."""
    kept.jobs.create(JOB_ID, OWNER, submission, "r1")
    counts = []
    for end in ("retry", "lapse", "release", "retry"):
        clock.advance(10)
        kept.wakeups.top_up()
        job = kept.attempts.claim("w1")
        assert job
        if end == "retry":
            kept.attempts.retry(job, BrowserLost(), 1000)
        elif end == "release":
            kept.attempts.release(job, BrowserLost())
        else:
            kept.maintenance.requeue_expired(JOB_ID, "w1")
        now = kept.jobs.get(JOB_ID)
        counts.append((now.attempt, now.retries, now.deliveries))

    assert counts == [(1, 1, 0), (2, 1, 1), (3, 1, 1), (4, 2, 1)]


def test_words_cut_in_half_are_kept_nevertheless(kept: RedisStores, submission: JobRequest) -> None:
    """A page may cut a character; the job ends with what can be told."""
    job = create_accepted_job(kept, submission)
    kept.attempts.fail(job, SiteRefused("no \ud83d"), {"dom": "\ud83d"})

    error = kept.jobs.get(JOB_ID).error
    assert error
    assert error.message == "no ?"


def test_a_job_that_only_waits_has_no_log_yet(kept: RedisStores, submission: JobRequest) -> None:
    """It would take more memory than the job; its first line is written with the second, under its own time."""
    kept.jobs.create(JOB_ID, OWNER, submission, "r1")
    assert not kept.redis.exists(f"dr:{{{JOB_ID}}}:events")

    kept.jobs.cancel(JOB_ID)
    log: Any = kept.redis.xrange(f"dr:{{{JOB_ID}}}:events")
    assert [(ident, entry[b"type"]) for ident, entry in log] == [(b"1-0", b"queued"), (b"2-0", b"failed")]
    assert int(log[0][1][b"time"]) == kept.jobs.get(JOB_ID).start_time
