"""Events over HTTP, from a real front: numbered, without gaps, to the end."""

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


def test_a_jobs_stream_tells_all_and_ends(app_url: str, worker: FakeWorker) -> None:
    """What was, what comes, and then no more; who comes back goes on where they were."""
    url = f"{app_url}/api/v1/jobs/{worker.job_id}/events"
    told = stream_events(url)
    assert next(told)["type"] == "queued"
    worker.start()
    assert [next(told)["type"], next(told)][0] == "starting"
    worker.report_progress(12)
    how_far = next(told)
    worker.report_preview()
    worker.complete()
    rest = list(told)

    assert (how_far["percentage"], how_far["totalSteps"], how_far["currentStep"]) == (60.0, 20, 11)
    assert ["preview", "completed"] == [event["type"] for event in rest]
    assert rest[0]["url"].endswith(f"/{worker.job_id}.jpg?version={rest[0]['seq']}")
    assert rest[1]["link"].endswith(f"/{worker.job_id}.png")
    assert (rest[1]["results"][0]["width"], rest[1]["jobId"]) == (640, worker.job_id)

    again = list(stream_events(url, **{"Last-Event-ID": how_far["id"]}))
    assert rest == again
    assert [1, 2, 3, 4, 5, 6] == [event["seq"] for event in stream_events(url)]
    ended = httpx.get(url, headers=KEY_HEADERS | {"Last-Event-ID": rest[-1]["id"]}, trust_env=False)
    assert ended.status_code == 204


def test_a_long_log_is_told_without_a_pause(app_url: str, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read part by part; a number that does not exist yet is not waited for."""
    for module in (stores.jobs.event_log, api.jobs.event_streams):
        monkeypatch.setattr(module, "BATCH_SIZE", 2)
    monkeypatch.setattr(api.http.sse, "HEARTBEAT_S", 10 * TIMEOUT_S)
    worker.start()
    url = f"{app_url}/api/v1/jobs/{worker.job_id}/events"
    ahead = stream_events(url, **{"Last-Event-ID": "9999"})
    with httpx.stream("GET", url, headers=KEY_HEADERS | {"Last-Event-ID": "9999"}, trust_env=False) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        worker.fail()
        assert next(parse_events(lines))["type"] == "failed"
    ahead.close()

    assert [1, 2, 3, 4] == [event["seq"] for event in stream_events(url)]


def test_a_stream_ends_when_its_job_is_no_more(
    app_url: str, app: AppClient, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expired, or gone with its Redis."""
    monkeypatch.setattr(api.http.sse, "HEARTBEAT_S", 0.05)
    told = stream_events(f"{app_url}/api/v1/jobs/{worker.job_id}/events")
    assert next(told)["type"] == "queued"
    app.stores.redis.flushdb()

    assert list(told) == []


def test_the_callers_stream_tells_of_all_their_jobs(app_url: str, app: AppClient) -> None:
    """From now on; or, with the place where one was, from there."""
    url = f"{app_url}/api/v1/events"
    before = app.submit()
    told = stream_events(url)
    first = threading.Thread(target=app.submit)
    places = []
    # The stream begins with what comes after it was asked for, so that is asked for first.
    with httpx.stream("GET", url, headers=KEY_HEADERS, timeout=TIMEOUT_S, trust_env=False) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        # Who is cut off now knows from where to go on.
        assert next(lines).startswith("id: ")
        first.start()
        places.append(next(parse_events(lines)))
    first.join()
    assert places[0]["jobId"] != before
    told = stream_events(url, **{"Last-Event-ID": places[0]["id"]})
    app.delete(f"/api/v1/jobs/{before}")
    cancelled = next(told)
    assert (cancelled["jobId"], cancelled["type"], cancelled["code"]) == (before, "failed", "cancelled")


def test_a_place_that_is_no_longer_kept_is_said(app_url: str, app: AppClient) -> None:
    """So that nobody believes that nothing was missed."""
    app.submit()

    told = stream_events(f"{app_url}/api/v1/events", **{"Last-Event-ID": "1-0"})

    assert ["reset", "queued"] == [next(told)["type"], next(told)["type"]]


def test_no_stream_outlives_its_key(app_url: str, app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one job or of all, whoever ends the key; what happens afterwards is not told."""
    monkeypatch.setattr(api.http.sse, "HEARTBEAT_S", 10 * TIMEOUT_S)
    key = app.stores.api_keys.create("bob")
    caller = app.stores.api_keys.authenticate(key)
    assert caller
    bob = {"x-api-key": key}
    ident = app.client.post("/api/v1/jobs", json={"prompt": "a lake"}, headers=bob).json["id"]
    one = stream_events(f"{app_url}/api/v1/jobs/{ident}/events", **bob)
    every = stream_events(f"{app_url}/api/v1/events", **bob, **{"Last-Event-ID": "1-0"})
    assert next(one)["type"] == "queued"
    assert [next(every)["type"], next(every)["type"]] == ["reset", "queued"]
    ApiKeys(app.stores.engine, app.stores.clock, app.stores.owner_key).revoke(caller.id)
    assert list(one) == []
    assert list(every) == []


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
def test_what_cannot_be_streamed_is_an_error(app: AppClient, worker: FakeWorker, path: str, status: int) -> None:
    """Before anything is streamed."""
    answer = app.get(path.format(job=worker.job_id))

    assert answer.status_code == status
    assert answer.json["error"]["message"]


def test_nobody_else_hears_of_a_job(app: AppClient, worker: FakeWorker) -> None:
    """Not even that there is one."""
    stranger = {"x-api-key": app.stores.api_keys.create("bob")}

    assert app.client.get(f"/api/v1/jobs/{worker.job_id}/events", headers=stranger).status_code == 404
    assert app.client.get("/api/v1/events").status_code == 401
