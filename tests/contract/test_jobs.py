"""A job's record: every arrow of its life, who may draw it, and what it leaves behind."""

from dataclasses import replace

import pytest

from ops.settings import Settings
from schemas.errors import BrowserLost, Gone, LeaseLost, LimitReached, NotFound, SiteRefused
from schemas.jobs import Job, Picture, Progress, Submission
from schemas.lifecycle import JobState
from stores.jobs import LEASE_MS, MOST_DELIVERIES, OUTBOX_GRACE_MS
from tests.conftest import FakeClock
from tests.contract.conftest import Kept, kept_in

ID, OTHER = "a" * 32, "b" * 32
OWNER = "owner"


def accepted(kept: Kept, submission: Submission, ident: str = ID) -> Job:
    """A job whose prompt the page has accepted."""
    kept.jobs.create(ident, OWNER, submission, "r1")
    job = kept.jobs.claim(ident, "w1")
    assert job is not None
    kept.jobs.accepted(job)
    return job


def completed(kept: Kept, submission: Submission, picture: Picture) -> Job:
    """A job that has its picture."""
    job = accepted(kept, submission)
    kept.jobs.put(job, picture, b"jpeg bytes")
    kept.jobs.complete(job, picture)
    return kept.jobs.get(ID)


def test_a_created_job_can_be_read(kept: Kept, submission: Submission, clock: FakeClock) -> None:
    """Everything that was submitted is there, and the job waits first in line."""
    created, first = kept.jobs.create(ID, OWNER, submission, "r1")

    job, position = kept.jobs.get_with_position(ID)

    assert (created, first) == (job, position)
    assert (JobState.QUEUED, submission, OWNER, "r1", 1, 1) == (
        job.state,
        job.submission,
        job.owner,
        job.request_id,
        job.seq,
        position,
    )
    assert clock.now_ms() == job.start_time


def test_positions_count_those_who_wait_before(kept: Kept, submission: Submission, clock: FakeClock) -> None:
    """A job that runs stands in nobody's way."""
    for ident in (ID, OTHER, "c" * 32):
        kept.jobs.create(ident, OWNER, submission, "r1")
        clock.advance(1)

    assert [kept.jobs.get_with_position(ident)[1] for ident in (ID, OTHER, "c" * 32)] == [1, 2, 3]
    kept.jobs.claim(ID, "w1")
    assert [kept.jobs.get_with_position(ident)[1] for ident in (ID, OTHER, "c" * 32)] == [None, 1, 2]


def test_an_unknown_id_was_never_here(kept: Kept) -> None:
    """404, and not 410."""
    with pytest.raises(NotFound):
        kept.jobs.get(ID)


def test_a_full_queue_takes_nothing_more(
    kept: Kept, submission: Submission, settings: Settings, clock: FakeClock
) -> None:
    """The refusal says when to come back, and leaves no trace of the job."""
    small = kept_in(kept.redis, clock, replace(settings, max_queue_size=1)).jobs
    small.create(ID, OWNER, submission, "r1")

    with pytest.raises(LimitReached, match="busy") as caught:
        small.create(OTHER, OWNER, submission, "r1")

    assert caught.value.retry_after_s
    with pytest.raises(NotFound):
        small.get(OTHER)


def test_each_owner_has_limits(kept: Kept, submission: Submission, settings: Settings, clock: FakeClock) -> None:
    """Another owner is not held up by the first one's limits, and the daily one ends at midnight."""
    limited = kept_in(kept.redis, clock, replace(settings, limit_queued_images=2, limit_daily_images=2)).jobs
    limited.create(ID, OWNER, submission, "r1")
    limited.create(OTHER, OWNER, submission, "r1")

    with pytest.raises(LimitReached, match="LIMIT_QUEUED_IMAGES"):
        limited.create("c" * 32, OWNER, submission, "r1")
    limited.create("c" * 32, "somebody", submission, "r1")
    for ident in (ID, OTHER):
        job = limited.claim(ident, "w1")
        assert job
        limited.accepted(job)
        limited.put(job, Picture(b"x", "image/png", 1, 1), b"x")
        limited.complete(job, Picture(b"x", "image/png", 1, 1))

    with pytest.raises(LimitReached, match="LIMIT_DAILY_IMAGES") as caught:
        limited.create("d" * 32, OWNER, submission, "r1")
    assert caught.value.retry_after_s is not None
    clock.advance(caught.value.retry_after_s)
    limited.create("d" * 32, OWNER, submission, "r1")


def test_a_failed_job_uses_up_no_quota(kept: Kept, submission: Submission) -> None:
    """Only pictures count."""
    job = accepted(kept, submission)
    assert kept.quotas.read(OWNER)["usage"]["DAILY_IMAGE_CREATIONS"] == 1

    kept.jobs.fail(job, SiteRefused("no"))

    usage = kept.quotas.read(OWNER)["usage"]
    assert (usage["DAILY_IMAGE_CREATIONS"], usage["QUEUED_IMAGE_JOBS"]) == (0, 0)


def test_a_whole_life_in_order(kept: Kept, submission: Submission, picture: Picture, clock: FakeClock) -> None:
    """Every visible change has a number of its own and a later modification time; the log has each once."""
    job = accepted(kept, submission)
    seen = [kept.jobs.get(ID)]
    kept.jobs.note_progress(job, Progress(50.0, 10, 20))
    seen.append(kept.jobs.get(ID))
    kept.jobs.note_preview(job, b"preview")
    seen.append(kept.jobs.get(ID))
    kept.jobs.put(job, picture, b"jpeg bytes")
    kept.jobs.complete(job, picture)
    seen.append(kept.jobs.get(ID))

    assert sorted({one.seq for one in seen}) == [one.seq for one in seen]
    assert sorted({one.last_modified for one in seen}) == [one.last_modified for one in seen]
    log = kept.redis.xrange(f"dr:{{{ID}}}:events")
    assert [entry[b"type"] for _, entry in log] == [
        b"queued",
        b"starting",
        b"pending",
        b"in_progress",
        b"preview",
        b"completed",
    ]
    end = seen[-1]
    assert (JobState.COMPLETED, "image/png", len(picture.data), 512, 384) == (
        end.state,
        end.result_type,
        end.result_size,
        end.width,
        end.height,
    )
    assert clock.now_ms() + 600_000 == end.expires_at
    assert (picture.data, b"jpeg bytes") == (kept.results.original(ID), kept.results.converted(ID, "jpg"))


def test_a_job_is_claimed_once(kept: Kept, submission: Submission) -> None:
    """A second message for the same job finds it taken, or ended."""
    job = accepted(kept, submission)

    assert kept.jobs.claim(ID, "w2") is None
    kept.jobs.fail(job, SiteRefused("no"))
    assert kept.jobs.claim(ID, "w2") is None
    assert kept.jobs.claim("f" * 32, "w2") is None


def test_only_the_present_attempt_may_write(
    kept: Kept, submission: Submission, picture: Picture, clock: FakeClock
) -> None:
    """An attempt that lost its job changes nothing any more, whatever it tries."""
    old = accepted(kept, submission)
    clock.advance(LEASE_MS / 1000 + 1)
    assert kept.jobs.lapse(ID)
    new = kept.jobs.claim(ID, "w2")
    assert new is not None
    before = kept.jobs.get(ID)

    for write in (
        lambda: kept.jobs.accepted(old),
        lambda: kept.jobs.note_progress(old, Progress(1.0)),
        lambda: kept.jobs.note_preview(old, b"old"),
        lambda: kept.jobs.put(old, picture, b"old"),
        lambda: kept.jobs.complete(old, picture),
        lambda: kept.jobs.fail(old, SiteRefused("old")),
        lambda: kept.jobs.retry(old, BrowserLost(), 0),
        lambda: kept.jobs.release(old, BrowserLost()),
        lambda: kept.jobs.renew(old),
    ):
        with pytest.raises(LeaseLost):
            write()

    assert before == kept.jobs.get(ID)
    assert kept.results.original(ID) is None
    assert kept.results.preview(ID) is None
    kept.jobs.accepted(new)


def test_nothing_completes_without_its_picture(kept: Kept, submission: Submission, picture: Picture) -> None:
    """COMPLETED never points at a picture that is not there."""
    job = accepted(kept, submission)

    with pytest.raises(LeaseLost):
        kept.jobs.complete(job, picture)

    assert JobState.PENDING is kept.jobs.get(ID).state


def test_a_live_lease_does_not_lapse(kept: Kept, submission: Submission, clock: FakeClock) -> None:
    """Renewal keeps a job for as long as it takes."""
    job = accepted(kept, submission)
    for _ in range(5):
        clock.advance(LEASE_MS / 1000 - 1)
        assert not kept.jobs.renew(job)
        assert not kept.jobs.lapsed()
        assert not kept.jobs.lapse(ID)


def test_a_dead_workers_job_is_taken_back_at_once(kept: Kept, submission: Submission) -> None:
    """And a living one's is not."""
    accepted(kept, submission)

    assert not kept.jobs.lapse(ID, "w2")
    assert kept.jobs.lapse(ID, "w1")
    assert JobState.QUEUED is kept.jobs.get(ID).state
    assert kept.jobs.due() == [ID]


def test_a_fourth_delivery_is_the_last(kept: Kept, submission: Submission, clock: FakeClock) -> None:
    """A job that kills every worker ends, with an honest reason."""
    kept.jobs.create(ID, OWNER, submission, "r1")
    for _ in range(MOST_DELIVERIES):
        assert kept.jobs.claim(ID, "w1")
        kept.jobs.lapse(ID, "w1")

    assert kept.jobs.claim(ID, "w1") is None
    error = kept.jobs.get(ID).error
    assert error is not None
    assert error.code == "worker_lost"


def test_a_released_job_has_not_been_delivered(kept: Kept, submission: Submission) -> None:
    """Workers may stop in good order as often as they like."""
    kept.jobs.create(ID, OWNER, submission, "r1")
    for _ in range(MOST_DELIVERIES * 2):
        job = kept.jobs.claim(ID, "w1")
        assert job is not None
        kept.jobs.release(job, BrowserLost())

    assert JobState.QUEUED is kept.jobs.get(ID).state


def test_a_retry_waits_and_shows_nothing_old(kept: Kept, submission: Submission, clock: FakeClock) -> None:
    """The next attempt begins when it is due, without the previews of the one before."""
    job = accepted(kept, submission)
    kept.jobs.note_preview(job, b"preview")
    kept.jobs.note_progress(job, Progress(50.0))
    kept.jobs.retry(job, BrowserLost(), 2_000, {"url": "https://example.org"})

    waiting = kept.jobs.get(ID)
    assert (waiting.state, waiting.preview_version, waiting.progress) == (JobState.QUEUED, 0, None)
    assert kept.results.preview(ID) is None
    assert kept.jobs.failure(ID) == {"url": "https://example.org"}
    assert kept.jobs.claim(ID, "w1") is None
    assert not kept.jobs.due()
    clock.advance(2)
    assert kept.jobs.due() == [ID]
    again = kept.jobs.claim(ID, "w1")
    assert again is not None
    assert again.attempt == 2


def test_an_early_message_leaves_the_job_to_the_clock(kept: Kept, submission: Submission, clock: FakeClock) -> None:
    """A job without a message is due after a short grace, and not once its message is known to be there."""
    kept.jobs.create(ID, OWNER, submission, "r1")
    kept.jobs.create(OTHER, OWNER, submission, "r1")
    kept.jobs.has_message(OTHER)

    assert not kept.jobs.due()
    clock.advance(OUTBOX_GRACE_MS / 1000)
    assert kept.jobs.due() == [ID]


def test_cancelling_while_it_waits_ends_it_at_once(kept: Kept, submission: Submission) -> None:
    """The worker never gets it, and a second time changes nothing."""
    kept.jobs.create(ID, OWNER, submission, "r1")

    assert kept.jobs.cancel(ID) == "cancelled"
    ended = kept.jobs.get(ID)
    assert ended.error
    assert ended.error.code == "cancelled"
    assert kept.jobs.claim(ID, "w1") is None
    assert kept.jobs.cancel(ID) == "ended"
    assert ended == kept.jobs.get(ID)
    assert kept.jobs.cancel(OTHER) == "gone"


def test_cancelling_while_it_runs_is_a_request(kept: Kept, submission: Submission) -> None:
    """The worker learns of it with its next renewal at the latest, and a retry becomes the end."""
    job = accepted(kept, submission)

    assert kept.jobs.cancel(ID) == "requested"
    assert JobState.PENDING is kept.jobs.get(ID).state
    assert kept.jobs.renew(job)
    kept.jobs.retry(job, BrowserLost(), 0)
    error = kept.jobs.get(ID).error
    assert error is not None
    assert error.code == "cancelled"


def test_an_expired_job_is_gone_and_not_unknown(kept: Kept, submission: Submission, picture: Picture) -> None:
    """After its time the answer is 410 for a long while."""
    completed(kept, submission, picture)
    for part in ("job", "events", "image", "image.jpg"):
        assert 0 < kept.redis.ttl(f"dr:{{{ID}}}:{part}") <= 600
        kept.redis.delete(f"dr:{{{ID}}}:{part}")

    with pytest.raises(Gone, match="expired"):
        kept.jobs.get(ID)


def test_a_listing_is_ones_own_newest_first(kept: Kept, submission: Submission, clock: FakeClock) -> None:
    """Pages join without gap or repetition, also where several jobs share a millisecond."""
    ids = [f"{number:032x}" for number in range(7)]
    for number, ident in enumerate(ids):
        kept.jobs.create(ident, OWNER, submission, "r1")
        clock.advance(number % 3)
    kept.jobs.create("f" * 32, "somebody", submission, "r1")

    pages, cursor = [], None
    while True:
        jobs, cursor = kept.jobs.page(OWNER, cursor, 3)
        pages.append([job.id for job, _ in jobs])
        if cursor is None:
            break

    assert [len(page) for page in pages] == [3, 3, 1]
    assert ids[::-1] == [ident for page in pages for ident in page]


def test_a_listing_leaves_out_what_has_expired(kept: Kept, submission: Submission) -> None:
    """An id without its record is no job."""
    kept.jobs.create(ID, OWNER, submission, "r1")
    kept.jobs.create(OTHER, OWNER, submission, "r1")
    kept.redis.delete(f"dr:{{{OTHER}}}:job")

    assert [job.id for job, _ in kept.jobs.page(OWNER, None, 10)[0]] == [ID]


def test_a_failure_keeps_its_reason_and_no_picture(kept: Kept, submission: Submission, picture: Picture) -> None:
    """Code, sentence and hint are there; pictures of an attempt that failed are not."""
    job = accepted(kept, submission)
    kept.jobs.note_preview(job, b"preview")
    kept.jobs.put(job, picture, b"jpeg")
    kept.jobs.fail(job, SiteRefused("Not that."), {"console": []})

    failed = kept.jobs.get(ID)
    assert failed.error
    assert (failed.error.code, failed.error.message, failed.error.retryable) == ("site_refused", "Not that.", False)
    assert [kept.results.original(ID), kept.results.preview(ID)] == [None, None]
    assert kept.jobs.failure(ID) == {"console": []}
    assert not kept.redis.zcard("dr:open")
    assert not kept.redis.zcard("dr:leases")
