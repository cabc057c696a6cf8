"""The logs of jobs: numbered without gaps, and an owner's feed in the order of happening."""

import pytest
from redis import Redis

from schemas.errors import SiteRefused
from schemas.jobs.events import Event
from schemas.jobs.job import JobRequest, Progress
from stores.jobs.event_log import STREAM_START, EventLog
from tests.contract.conftest import RedisStores, create_accepted_job
from tests.contract.jobs.test_jobs import JOB_ID, OTHER_JOB_ID, OWNER


@pytest.fixture
def logs(client: Redis) -> EventLog:
    """The logs under test."""
    return EventLog(client)


def kinds(events: list[Event]) -> list[tuple[int, str]]:
    """Number and type of each."""
    return [(event.seq, event.type) for event in events]


def test_a_job_that_only_waits_has_its_first_event(
    stores: RedisStores, logs: EventLog, job_request: JobRequest
) -> None:
    """Although its log is written with the second."""
    job = stores.jobs.create(JOB_ID, OWNER, job_request, "r").job

    [queued] = logs.read_job(job, 0)

    assert (queued.seq, queued.type, queued.time_ms, queued.data) == (1, "queued", job.start_time, {})
    assert logs.read_job(job, 1) == []


def test_numbers_have_no_gaps_and_one_goes_on_where_one_was(
    stores: RedisStores, logs: EventLog, job_request: JobRequest
) -> None:
    """From the first event to the last."""
    job = create_accepted_job(stores, job_request)
    stores.attempts.record_progress(job, Progress(60.0, 12, 20))
    stores.attempts.record_preview(job, b"jpeg")
    stores.attempts.fail(job, SiteRefused("No."))

    events = logs.read_job(job, 0)

    assert [
        (1, "queued"),
        (2, "starting"),
        (3, "in_progress"),
        (4, "in_progress"),
        (5, "preview"),
        (6, "failed"),
    ] == kinds(events)
    assert (events[2].data, events[3].data["percentage"], events[5].data["code"]) == ({}, 60.0, "site_refused")
    assert [event.is_final for event in events] == [False] * 5 + [True]
    assert events[4:] == logs.read_job(job, 4)


def test_many_who_know_of_an_event_share_one_read(stores: RedisStores, logs: EventLog, job_request: JobRequest) -> None:
    """And who knows of a newer one reads anew."""
    job = create_accepted_job(stores, job_request)
    before = logs.read_job(job, 0)
    stores.attempts.record_progress(job, Progress(60.0))

    assert logs.read_job(job, 0, known_seq=3) is before
    assert kinds(logs.read_job(job, 0, known_seq=4))[-1] == (4, "in_progress")
    assert kinds(logs.read_job(job, 0))[-1] == (4, "in_progress")


def test_an_owners_feed_has_all_jobs_and_nobody_elses(
    stores: RedisStores, logs: EventLog, job_request: JobRequest
) -> None:
    """In the order in which it happened, from any place on."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r")
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r")
    stores.jobs.create("c" * 32, "bob", job_request, "r")
    stores.jobs.cancel(JOB_ID)

    feed = logs.read_owner(OWNER, STREAM_START)

    assert [(JOB_ID, "queued"), (OTHER_JOB_ID, "queued"), (JOB_ID, "failed")] == [
        (event.job_id, event.type) for _, event in feed
    ]
    assert feed[2:] == logs.read_owner(OWNER, feed[1][0])
    assert (logs.oldest_stream_id(OWNER), logs.newest_stream_id(OWNER)) == (feed[0][0], feed[2][0])
    assert (logs.newest_stream_id("nobody"), logs.read_owner("nobody", STREAM_START)) == (STREAM_START, [])
