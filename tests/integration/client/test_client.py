"""The Python client, with a real front, over connections that break."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from ops.client import AsyncDarkroom, Darkroom, DarkroomError, JobFailedError, event_follower, requests, verify_webhook
from ops.client.event_follower import MAX_FAILURES, EventFollower
from schemas.webhooks.signing import generate_secret
from tests.conftest import API_KEY
from tests.integration.conftest import IMAGE, AppClient, FakeWorker
from tests.support.generation import AutomaticWorker

Both = Callable[..., Any]
PROMPT = "a quiet lake at dawn"


class Cutting(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A way to the server on which ``spoil`` may break or replace an answer, given how many it let pass."""

    def __init__(self, spoil: Callable[[httpx.Request, int], httpx.Response | int | None]) -> None:
        """An int is after how many bytes of the body the connection breaks; 0: before the answer, after the request."""
        self.spoil = spoil
        self.asked: list[httpx.Request] = []
        self._sync = httpx.HTTPTransport()
        self._async = httpx.AsyncHTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """For the client that waits."""
        spoilt = self._spoilt(request)
        if isinstance(spoilt, httpx.Response):
            return spoilt
        answer = self._sync.handle_request(request)
        if spoilt is not None:
            answer.stream = Broken(answer.stream, spoilt)
            if spoilt == 0:
                raise httpx.ReadError("cut")
        return answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """For the other one."""
        spoilt = self._spoilt(request)
        if isinstance(spoilt, httpx.Response):
            return spoilt
        answer = await self._async.handle_async_request(request)
        if spoilt is not None:
            answer.stream = Broken(answer.stream, spoilt)
            if spoilt == 0:
                raise httpx.ReadError("cut")
        return answer

    def close(self) -> None:
        """Let go."""
        self._sync.close()

    async def aclose(self) -> None:
        """Let go."""
        await self._async.aclose()

    def _spoilt(self, request: httpx.Request) -> httpx.Response | int | None:
        self.asked.append(request)
        return self.spoil(request, len(self.asked))


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks off."""

    def __init__(self, stream: Any, after: int) -> None:
        """After so many bytes."""
        self._stream = stream
        self._left = after

    def __iter__(self) -> Iterator[bytes]:
        """As far as it goes."""
        for chunk in self._stream:
            yield self._cut(chunk)
            if self._left <= 0:
                raise httpx.ReadError("cut")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """As far as it goes."""
        async for chunk in self._stream:
            yield self._cut(chunk)
            if self._left <= 0:
                raise httpx.ReadError("cut")

    def _cut(self, chunk: bytes) -> bytes:
        kept = chunk[: max(0, self._left)]
        self._left -= len(chunk)
        return kept

    def close(self) -> None:
        """Let go."""
        self._stream.close()

    async def aclose(self) -> None:
        """Let go."""
        await self._stream.aclose()


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest, app_url: str) -> Both:
    """Either client: ``use("wait", ID)``; events come as a list."""

    def call(name: str, *args: Any, way: Cutting | None = None, key: str = API_KEY, **more: Any) -> Any:
        if request.param == "sync":
            with Darkroom(app_url, key, transport=way) as darkroom:
                answer = getattr(darkroom, name)(*args, **more)
                return list(answer) if name == "events" else answer

        async def run() -> Any:
            async with AsyncDarkroom(app_url, key, transport=way) as darkroom:
                if name == "events":
                    return [event async for event in darkroom.events(*args)]
                return await getattr(darkroom, name)(*args, **more)

        return asyncio.run(run())

    return call


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are for servers that many ask."""
    for module in (requests, event_follower):
        monkeypatch.setattr(module, "MIN_PAUSE_S", 0.01)


@pytest.fixture
def hands(app: AppClient) -> Iterator[AutomaticWorker]:
    """Somebody who paints whatever is submitted."""
    with AutomaticWorker(app.stores) as hands:
        yield hands


@pytest.mark.usefixtures("hands")
def test_one_call_makes_a_picture(use: Both) -> None:
    """Submitted, awaited, fetched."""
    assert use("generate", PROMPT, inputs={"seed": 7}) == IMAGE.data


@pytest.mark.usefixtures("hands")
def test_a_job_that_fails_is_an_error_with_the_reason(use: Both) -> None:
    """And with the job."""
    with pytest.raises(JobFailedError, match="Not here") as failed:
        use("generate", "gore in a meadow")
    assert (failed.value.code, failed.value.job.status) == ("site_refused", "FAILED")


def complete(worker: FakeWorker) -> None:
    """A job with some events."""
    worker.start()
    worker.report_progress(5)
    worker.report_preview()
    worker.complete()


def test_each_event_comes_once_and_in_order(use: Both, worker: FakeWorker) -> None:
    """From the first to the last."""
    complete(worker)
    events = use("events", worker.job_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events][-2:] == ["preview", "completed"]
    assert events[-1].data["link"]


@pytest.mark.parametrize("after", [0, 1, 40, 150, 333])
def test_a_connection_that_breaks_loses_and_doubles_nothing(use: Both, worker: FakeWorker, after: int) -> None:
    """Wherever it breaks; the client goes on where it was."""
    complete(worker)
    way = Cutting(lambda _request, number: after if number <= 2 else None)
    events = use("events", worker.job_id, way=way)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "completed"
    assert len(way.asked) == 3
    assert way.asked[0].headers["Last-Event-ID"] == "0"


def test_where_no_stream_comes_through_it_asks(use: Both, worker: FakeWorker) -> None:
    """By the long poll, until the end."""
    complete(worker)

    def spoil(request: httpx.Request, _number: int) -> httpx.Response | None:
        return httpx.Response(200, html="<p>sign in</p>", request=request) if "/events" in request.url.path else None

    way = Cutting(spoil)
    events = use("events", worker.job_id, way=way)
    assert [event.type for event in events] == ["completed"]
    assert [request.url.path.endswith("/events") for request in way.asked] == [True, False]
    assert "wait" in str(way.asked[1].url)


def test_after_streams_that_break_time_after_time_it_asks(use: Both, worker: FakeWorker) -> None:
    """Something on the way may cut every one of them short."""
    complete(worker)
    way = Cutting(lambda request, _number: 0 if "/events" in request.url.path else None)
    assert [event.type for event in use("events", worker.job_id, way=way)] == ["completed"]


def test_a_submission_whose_answer_gets_lost_makes_one_job(use: Both, app: AppClient) -> None:
    """It is sent again under the same key."""
    way = Cutting(lambda _request, number: 0 if number == 1 else None)
    job = use("submit", PROMPT, way=way)
    assert [one["id"] for one in app.get("/api/v1/jobs").json["jobs"]] == [job.id]
    assert len({request.headers["Idempotency-Key"] for request in way.asked}) == 1


def test_a_server_that_is_being_restarted_is_asked_again(use: Both, app: AppClient) -> None:
    """A gateway says so in the meantime."""
    way = Cutting(lambda request, number: httpx.Response(502, html="bad", request=request) if number == 1 else None)
    use("submit", PROMPT, way=way)
    assert len(app.get("/api/v1/jobs").json["jobs"]) == 1


def test_what_is_refused_says_why(use: Both) -> None:
    """With the status, the code and each problem, at once."""
    with pytest.raises(DarkroomError) as refused:
        use("submit", "", priority=99)
    assert (refused.value.status, refused.value.code) == (400, "invalid")
    assert len(refused.value.problems) == 2
    with pytest.raises(DarkroomError) as refused:
        use("events", "f" * 32)
    assert refused.value.status == 404
    with pytest.raises(DarkroomError) as refused:
        use("job", "f" * 32, key="nobodys")
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")


def test_another_program_at_the_address_is_told(use: Both) -> None:
    """Not a stack of a JSON parser's."""
    way = Cutting(lambda request, _number: httpx.Response(200, html="<p>hello</p>", request=request))
    with pytest.raises(DarkroomError, match="does not answer as a Darkroom does"):
        use("job", "f" * 32, way=way)


def test_a_job_can_be_cancelled(use: Both, app: AppClient) -> None:
    """At once while it waits."""
    assert use("cancel", app.submit()).raw["error"]["code"] == "cancelled"


@pytest.mark.usefixtures("hands")
def test_a_picture_comes_in_another_form_too(use: Both, app: AppClient) -> None:
    """The JPEG is made with the picture."""
    ident = use("wait", app.submit()).id
    assert use("download", ident, form="jpg") == b"jpeg bytes"


def test_nobody_waits_for_ever_for_what_is_gone() -> None:
    """After a dozen failures in a row the error is raised; the pauses grow."""
    place, pauses = EventFollower("f" * 32), []
    for _ in range(MAX_FAILURES):
        place.on_connection_lost(OSError("away"))
        pauses.append(place.pause_s)
    assert pauses == sorted(pauses)
    assert len(set(pauses)) > 8
    with pytest.raises(OSError, match="away"):
        place.on_connection_lost(OSError("away"))


def test_a_delivery_is_checked() -> None:
    """By the library of the standard; whatever is wrong is one kind of error."""
    secret, body = generate_secret(), json.dumps({"type": "job.completed"})
    now = datetime.now(UTC)
    headers = {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": Webhook(secret).sign("msg_1", now, body),
    }
    assert verify_webhook(secret, headers, body) == {"type": "job.completed"}
    for wrong in (headers | {"Webhook-Id": "msg_2"}, headers | {"Webhook-Signature": "v1"}, {}):
        with pytest.raises(DarkroomError, match="not genuine"):
            verify_webhook(secret, wrong, body)
    for none in ("", "whsec_", "whsec_!", "whsec_\u00e4"):
        with pytest.raises(DarkroomError, match="secret is none"):
            verify_webhook(none, headers, body)
