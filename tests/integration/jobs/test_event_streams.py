"""Event streams from a real server: numbered events without gaps, until the end."""

import threading

import httpx
import pytest

import api.http.sse
import api.jobs.event_streams
import stores.jobs.event_log
from stores.accounts.api_keys import ApiKeys
from tests.conftest import TIMEOUT_S
from tests.integration.conftest import AppClient, FakeWorker
from tests.support.event_streams import KEY_HEADERS, parse_events, stream_events


def test_a_job_stream_has_all_events_and_ends(app_url: str, worker: FakeWorker) -> None:
    """Past and future events arrive, then the stream ends; Last-Event-ID resumes it."""
    url = f"{app_url}/api/v1/jobs/{worker.job_id}/events"
    messages = stream_events(url)
    assert next(messages)["type"] == "queued"
    worker.start()
    assert [next(messages)["type"], next(messages)][0] == "starting"
    worker.report_progress(12)
    progress = next(messages)
    worker.report_preview()
    worker.complete()
    rest = list(messages)

    assert (progress["percentage"], progress["totalSteps"], progress["currentStep"]) == (60.0, 20, 11)
    assert ["preview", "completed"] == [event["type"] for event in rest]
    assert rest[0]["url"].endswith(f"/{worker.job_id}.jpg?version={rest[0]['seq']}")
    assert rest[1]["link"].endswith(f"/{worker.job_id}.png")
    assert (rest[1]["results"][0]["width"], rest[1]["jobId"]) == (640, worker.job_id)

    resumed = list(stream_events(url, **{"Last-Event-ID": progress["id"]}))
    assert rest == resumed
    assert [1, 2, 3, 4, 5, 6] == [event["seq"] for event in stream_events(url)]
    ended = httpx.get(url, headers=KEY_HEADERS | {"Last-Event-ID": rest[-1]["id"]}, timeout=TIMEOUT_S, trust_env=False)
    assert ended.status_code == 204


def test_a_long_log_is_streamed_without_pauses(
    app_url: str, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is read in batches; a Last-Event-ID that is too high does not skip later events."""
    for module in (stores.jobs.event_log, api.jobs.event_streams):
        monkeypatch.setattr(module, "BATCH_SIZE", 2)
    monkeypatch.setattr(api.http.sse, "HEARTBEAT_S", 10 * TIMEOUT_S)
    worker.start()
    url = f"{app_url}/api/v1/jobs/{worker.job_id}/events"
    ahead = stream_events(url, **{"Last-Event-ID": "9999"})
    with httpx.stream(
        "GET", url, headers=KEY_HEADERS | {"Last-Event-ID": "9999"}, timeout=TIMEOUT_S, trust_env=False
    ) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("retry:")
        worker.fail()
        assert next(parse_events(lines))["type"] == "failed"
    ahead.close()

    assert [1, 2, 3, 4] == [event["seq"] for event in stream_events(url)]


def test_a_stream_ends_when_its_job_expires(
    app_url: str, app: AppClient, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends also if Redis has lost all data."""
    monkeypatch.setattr(api.http.sse, "HEARTBEAT_S", 0.05)
    messages = stream_events(f"{app_url}/api/v1/jobs/{worker.job_id}/events")
    assert next(messages)["type"] == "queued"
    app.stores.redis.flushdb()

    assert list(messages) == []


def test_the_caller_stream_has_events_of_all_jobs(app_url: str, app: AppClient) -> None:
    """It begins with new events, or after Last-Event-ID."""
    url = f"{app_url}/api/v1/events"
    before = app.submit()
    messages = stream_events(url)
    first = threading.Thread(target=app.submit)
    received = []
    # The stream has events after the request, so the request comes first.
    with httpx.stream("GET", url, headers=KEY_HEADERS, timeout=TIMEOUT_S, trust_env=False) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("retry:")
        # A client that is cut off here can resume.
        assert next(lines).startswith("id: ")
        first.start()
        received.append(next(parse_events(lines)))
    first.join()
    assert received[0]["jobId"] != before
    messages = stream_events(url, **{"Last-Event-ID": received[0]["id"]})
    app.delete(f"/api/v1/jobs/{before}")
    cancelled = next(messages)
    assert (cancelled["jobId"], cancelled["type"], cancelled["code"]) == (before, "failed", "cancelled")


def test_a_gap_is_reported_by_reset(app_url: str, app: AppClient) -> None:
    """If events after Last-Event-ID were deleted, the first event is ``reset``."""
    app.submit()

    messages = stream_events(f"{app_url}/api/v1/events", **{"Last-Event-ID": "1-0"})

    assert ["reset", "queued"] == [next(messages)["type"], next(messages)["type"]]


def test_streams_end_when_their_key_is_revoked(app_url: str, app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams of a job and of the caller end, even if another process revokes the key."""
    monkeypatch.setattr(api.http.sse, "HEARTBEAT_S", 10 * TIMEOUT_S)
    key = app.stores.api_keys.create("bob")
    caller = app.stores.api_keys.authenticate(key)
    assert caller
    bob = {"x-api-key": key}
    job_id = app.client.post("/api/v1/jobs", json={"prompt": "a lake"}, headers=bob).json["id"]
    job_stream = stream_events(f"{app_url}/api/v1/jobs/{job_id}/events", **bob)
    caller_stream = stream_events(f"{app_url}/api/v1/events", **bob, **{"Last-Event-ID": "1-0"})
    assert next(job_stream)["type"] == "queued"
    assert [next(caller_stream)["type"], next(caller_stream)["type"]] == ["reset", "queued"]
    ApiKeys(app.stores.engine, app.stores.clock, app.stores.owner_key).revoke(caller.id)
    assert list(job_stream) == []
    assert list(caller_stream) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/jobs/{job}/events?lastEventId=x", 400),
        ("/api/v1/jobs/{job}/events?lastEventId=-1", 400),
        ("/api/v1/jobs/" + "0" * 32 + "/events", 404),
        ("/api/v1/events?lastEventId=7", 400),
        ("/api/v1/events?lastEventId=1-x", 400),
    ],
)
def test_invalid_stream_requests_are_rejected(app: AppClient, worker: FakeWorker, path: str, status: int) -> None:
    """The error comes instead of a stream."""
    response = app.get(path.format(job=worker.job_id))

    assert response.status_code == status
    assert response.json["error"]["message"]


def test_other_callers_get_no_events(app: AppClient, worker: FakeWorker) -> None:
    """A job of another caller looks like a missing one."""
    other = {"x-api-key": app.stores.api_keys.create("bob")}

    assert app.client.get(f"/api/v1/jobs/{worker.job_id}/events", headers=other).status_code == 404
    assert app.client.get("/api/v1/events").status_code == 401
