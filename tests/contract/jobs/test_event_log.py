"""Events of one job are numbered without gaps; an owner's feed is in chronological order."""

from dataclasses import replace

import pytest
from redis import Redis

from schemas.errors import LeaseLost, SiteRefused
from schemas.jobs.events import Event
from schemas.jobs.job import JobRequest, Progress
from stores.jobs.event_log import STREAM_START, EventLog
from tests.contract.conftest import RedisStores, create_accepted_job
from tests.contract.jobs.test_jobs import JOB_ID, OTHER_JOB_ID, OWNER


@pytest.fixture
def event_log(client: Redis) -> EventLog:
    """The store under test."""
    return EventLog(client)


def summarize(events: list[Event]) -> list[tuple[int, str]]:
    """Return number and type of each event."""
    return [(event.seq, event.type) for event in events]


def test_a_waiting_job_has_its_first_event(stores: RedisStores, event_log: EventLog, job_request: JobRequest) -> None:
    """The event is returned although its stream does not exist yet."""
    job = stores.jobs.create(JOB_ID, OWNER, job_request, "r").job

    [queued] = event_log.read_job(job, 0)

    assert (queued.seq, queued.type, queued.time_ms, queued.data) == (1, "queued", job.start_time, {})
    assert event_log.read_job(job, 1) == []


def test_events_are_numbered_without_gaps(stores: RedisStores, event_log: EventLog, job_request: JobRequest) -> None:
    """All events are returned, or those after a number."""
    job = create_accepted_job(stores, job_request)
    stores.attempts.record_progress(job, Progress(60.0, 12, 20))
    stores.attempts.record_preview(job, b"jpeg")
    stores.attempts.fail(job, SiteRefused("No."))

    events = event_log.read_job(job, 0)

    assert [
        (1, "queued"),
        (2, "starting"),
        (3, "in_progress"),
        (4, "in_progress"),
        (5, "preview"),
        (6, "failed"),
    ] == summarize(events)
    assert (events[2].data, events[3].data["percentage"], events[5].data["code"]) == ({}, 60.0, "site_refused")
    assert [event.is_final for event in events] == [False] * 5 + [True]
    assert events[4:] == event_log.read_job(job, 4)


def test_progress_and_a_preview_of_one_moment_are_two_events(
    stores: RedisStores, event_log: EventLog, job_request: JobRequest
) -> None:
    """They are stored by one call, and an attempt that has lost its lease stores neither."""
    job = create_accepted_job(stores, job_request)
    stores.attempts.record_updates(job, Progress(60.0, 12, 20), b"jpeg")
    stores.attempts.record_updates(job, Progress(80.0), None)

    events = event_log.read_job(job, 3)
    assert summarize(events) == [(4, "in_progress"), (5, "preview"), (6, "in_progress")]
    assert (events[0].data["step"], events[1].data) == (12, {"sizeBytes": 4})
    assert events[0].time_ms < events[1].time_ms < events[2].time_ms
    read = stores.jobs.get(JOB_ID)
    assert (read.seq, read.preview_version, read.progress) == (6, 5, Progress(80.0))
    assert stores.results.get_preview(JOB_ID) == b"jpeg"

    with pytest.raises(LeaseLost):
        stores.attempts.record_updates(replace(job, claim_token="other"), Progress(90.0), b"other")
    assert stores.results.get_preview(JOB_ID) == b"jpeg"


def test_readers_that_know_of_an_event_share_one_read(
    stores: RedisStores, event_log: EventLog, job_request: JobRequest
) -> None:
    """A reader that knows of a newer event causes a new read."""
    job = create_accepted_job(stores, job_request)
    before = event_log.read_job(job, 0)
    stores.attempts.record_progress(job, Progress(60.0))

    assert event_log.read_job(job, 0, known_seq=3) is before
    assert summarize(event_log.read_job(job, 0, known_seq=4))[-1] == (4, "in_progress")
    assert summarize(event_log.read_job(job, 0))[-1] == (4, "in_progress")


def test_the_feed_has_all_jobs_of_one_owner(stores: RedisStores, event_log: EventLog, job_request: JobRequest) -> None:
    """Events are in chronological order, and can be read from any stream id on."""
    stores.jobs.create(JOB_ID, OWNER, job_request, "r")
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r")
    stores.jobs.create("c" * 32, "bob", job_request, "r")
    stores.jobs.cancel(JOB_ID)

    feed = event_log.read_owner(OWNER, STREAM_START)

    assert [(JOB_ID, "queued"), (OTHER_JOB_ID, "queued"), (JOB_ID, "failed")] == [
        (event.job_id, event.type) for _, event in feed
    ]
    assert feed[2:] == event_log.read_owner(OWNER, feed[1][0])
    assert (event_log.oldest_stream_id(OWNER), event_log.newest_stream_id(OWNER)) == (feed[0][0], feed[2][0])
    assert (event_log.newest_stream_id("unknown"), event_log.read_owner("unknown", STREAM_START)) == (STREAM_START, [])
