"""Events over HTTP, from a real front: numbered, without gaps, to the end."""

import threading

import httpx
import pytest

import api.jobs.event_streams
import stores.jobs.event_log
from stores.accounts.api_keys import Keys
from tests.conftest import DEADLINE_S
from tests.integration.conftest import Front, Painter
from tests.support.event_streams import HEADERS, events, stream


def test_a_jobs_stream_tells_all_and_ends(served: str, painter: Painter) -> None:
    """What was, what comes, and then no more; who comes back goes on where they were."""
    url = f"{served}/api/v1/jobs/{painter.ident}/events"
    told = stream(url)
    assert next(told)["type"] == "queued"
    painter.start()
    assert [next(told)["type"], next(told)][0] == "starting"
    painter.progress(12)
    how_far = next(told)
    painter.preview()
    painter.complete()
    rest = list(told)

    assert (how_far["percentage"], how_far["totalSteps"], how_far["currentStep"]) == (60.0, 20, 11)
    assert ["preview", "completed"] == [event["type"] for event in rest]
    assert rest[0]["url"].endswith(f"/{painter.ident}.jpg?version={rest[0]['seq']}")
    assert rest[1]["link"].endswith(f"/{painter.ident}.png")
    assert (rest[1]["results"][0]["width"], rest[1]["jobId"]) == (640, painter.ident)

    again = list(stream(url, **{"Last-Event-ID": how_far["id"]}))
    assert rest == again
    assert [1, 2, 3, 4, 5, 6] == [event["seq"] for event in stream(url)]
    ended = httpx.get(url, headers=HEADERS | {"Last-Event-ID": rest[-1]["id"]}, trust_env=False)
    assert ended.status_code == 204


def test_a_long_log_is_told_without_a_pause(served: str, painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read part by part; a number that does not exist yet is not waited for."""
    for module in (stores.jobs.event_log, api.jobs.event_streams):
        monkeypatch.setattr(module, "READ_AT_ONCE", 2)
    monkeypatch.setattr(api.jobs.event_streams, "HEARTBEAT_S", 10 * DEADLINE_S)
    painter.start()
    url = f"{served}/api/v1/jobs/{painter.ident}/events"
    ahead = stream(url, **{"Last-Event-ID": "9999"})
    with httpx.stream("GET", url, headers=HEADERS | {"Last-Event-ID": "9999"}, trust_env=False) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        painter.fail()
        assert next(events(lines))["type"] == "failed"
    ahead.close()

    assert [1, 2, 3, 4] == [event["seq"] for event in stream(url)]


def test_a_stream_ends_when_its_job_is_no_more(
    served: str, front: Front, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expired, or gone with its Redis."""
    monkeypatch.setattr(api.jobs.event_streams, "HEARTBEAT_S", 0.05)
    told = stream(f"{served}/api/v1/jobs/{painter.ident}/events")
    assert next(told)["type"] == "queued"
    front.stores.redis.flushdb()

    assert list(told) == []


def test_the_callers_stream_tells_of_all_their_jobs(served: str, front: Front) -> None:
    """From now on; or, with the place where one was, from there."""
    url = f"{served}/api/v1/events"
    before = front.submit()
    told = stream(url)
    first = threading.Thread(target=front.submit)
    places = []
    # The stream begins with what comes after it was asked for, so that is asked for first.
    with httpx.stream("GET", url, headers=HEADERS, timeout=DEADLINE_S, trust_env=False) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        # Who is cut off now knows from where to go on.
        assert next(lines).startswith("id: ")
        first.start()
        places.append(next(events(lines)))
    first.join()
    assert places[0]["jobId"] != before
    told = stream(url, **{"Last-Event-ID": places[0]["id"]})
    front.delete(f"/api/v1/jobs/{before}")
    cancelled = next(told)
    assert (cancelled["jobId"], cancelled["type"], cancelled["code"]) == (before, "failed", "cancelled")


def test_a_place_that_is_no_longer_kept_is_said(served: str, front: Front) -> None:
    """So that nobody believes that nothing was missed."""
    front.submit()

    told = stream(f"{served}/api/v1/events", **{"Last-Event-ID": "1-0"})

    assert ["reset", "queued"] == [next(told)["type"], next(told)["type"]]


def test_no_stream_outlives_its_key(served: str, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one job or of all, whoever ends the key; what happens afterwards is not told."""
    monkeypatch.setattr(api.jobs.event_streams, "HEARTBEAT_S", 10 * DEADLINE_S)
    key = front.stores.keys.create("bob")
    caller = front.stores.keys.caller(key)
    assert caller
    bob = {"x-api-key": key}
    ident = front.client.post("/api/v1/jobs", json={"prompt": "a lake"}, headers=bob).json["id"]
    one = stream(f"{served}/api/v1/jobs/{ident}/events", **bob)
    every = stream(f"{served}/api/v1/events", **bob, **{"Last-Event-ID": "1-0"})
    assert next(one)["type"] == "queued"
    assert [next(every)["type"], next(every)["type"]] == ["reset", "queued"]
    Keys(front.stores.engine, front.stores.clock, front.stores.owner_key).revoke(caller.id)
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
def test_what_cannot_be_streamed_is_an_error(front: Front, painter: Painter, path: str, status: int) -> None:
    """Before anything is streamed."""
    answer = front.get(path.format(job=painter.ident))

    assert answer.status_code == status
    assert answer.json["error"]["message"]


def test_nobody_else_hears_of_a_job(front: Front, painter: Painter) -> None:
    """Not even that there is one."""
    stranger = {"x-api-key": front.stores.keys.create("bob")}

    assert front.client.get(f"/api/v1/jobs/{painter.ident}/events", headers=stranger).status_code == 404
    assert front.client.get("/api/v1/events").status_code == 401
