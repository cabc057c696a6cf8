"""The Python client against a real server, over connections that break."""

import asyncio
import inspect
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
from tests.support.automatic_worker import AutomaticWorker

Call = Callable[..., Any]
PROMPT = "a quiet lake at dawn"


class FaultyTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """An HTTP transport on which ``spoil`` breaks or replaces responses; it gets the request and its number from 1.

    ``spoil`` returns a response to use in place of the server's, or the number of body bytes after which the connection
    breaks (0: the request arrives, its response does not), or None for no fault.
    """

    def __init__(self, spoil: Callable[[httpx.Request, int], httpx.Response | int | None]) -> None:
        self.spoil = spoil
        self.requests: list[httpx.Request] = []
        self._sync = httpx.HTTPTransport()
        self._async = httpx.AsyncHTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request of the synchronous client."""
        fault = self._fault(request)
        if isinstance(fault, httpx.Response):
            return fault
        return self._cut(self._sync.handle_request(request), fault)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request of the asyncio client."""
        fault = self._fault(request)
        if isinstance(fault, httpx.Response):
            return fault
        return self._cut(await self._async.handle_async_request(request), fault)

    def close(self) -> None:
        """Close the connections."""
        self._sync.close()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._async.aclose()

    def _fault(self, request: httpx.Request) -> httpx.Response | int | None:
        self.requests.append(request)
        return self.spoil(request, len(self.requests))

    def _cut(self, response: httpx.Response, after_bytes: int | None) -> httpx.Response:
        if after_bytes is not None:
            response.stream = BrokenStream(response.stream, after_bytes)
            if after_bytes == 0:
                raise httpx.ReadError("cut")
        return response


class BrokenStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response body that breaks off after a number of bytes."""

    def __init__(self, stream: Any, after_bytes: int) -> None:
        self._stream = stream
        self._left = after_bytes

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes before the break."""
        for chunk in self._stream:
            yield self._cut(chunk)
            if self._left <= 0:
                raise httpx.ReadError("cut")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the bytes before the break."""
        async for chunk in self._stream:
            yield self._cut(chunk)
            if self._left <= 0:
                raise httpx.ReadError("cut")

    def _cut(self, chunk: bytes) -> bytes:
        head = chunk[: max(0, self._left)]
        self._left -= len(chunk)
        return head

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, app_url: str) -> Call:
    """Call a method of either client: ``call("wait", ID)``; events are returned as a list."""

    def call(
        name: str, *args: Any, transport: FaultyTransport | None = None, key: str = API_KEY, **options: Any
    ) -> Any:
        if request.param == "sync":
            with Darkroom(app_url, key, transport=transport) as darkroom:
                result = getattr(darkroom, name)(*args, **options)
                return list(result) if name == "events" else result

        async def run() -> Any:
            async with AsyncDarkroom(app_url, key, transport=transport) as darkroom:
                if name == "events":
                    return [event async for event in darkroom.events(*args)]
                return await getattr(darkroom, name)(*args, **options)

        return asyncio.run(run())

    return call


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry quickly."""
    for module in (requests, event_follower):
        monkeypatch.setattr(module, "MIN_PAUSE_S", 0.01)


@pytest.fixture
def automatic_worker(app: AppClient) -> Iterator[AutomaticWorker]:
    """Complete every submitted job."""
    with AutomaticWorker(app.stores) as worker:
        yield worker


def test_both_clients_have_the_same_methods() -> None:
    """The asyncio client offers every method of the synchronous one, with the same parameters."""
    renamed = {"close": "aclose"}
    methods = {name: method for name, method in vars(Darkroom).items() if not name.startswith("_")}
    assert methods
    for name, method in methods.items():
        twin = getattr(AsyncDarkroom, renamed.get(name, name))
        assert list(inspect.signature(twin).parameters) == list(inspect.signature(method).parameters)


@pytest.mark.usefixtures("automatic_worker")
def test_generate_returns_the_image(call: Call) -> None:
    """One call submits, waits and downloads."""
    assert call("generate", PROMPT, inputs={"seed": 7}) == IMAGE.data


@pytest.mark.usefixtures("automatic_worker")
def test_a_failed_job_raises_an_error_with_its_reason(call: Call) -> None:
    """The error carries the code and the job."""
    with pytest.raises(JobFailedError, match="Not here") as failed:
        call("generate", "gore in a meadow")
    assert (failed.value.code, failed.value.job.status) == ("site_refused", "FAILED")


def complete_job(worker: FakeWorker) -> None:
    """Run a job with several events."""
    worker.start()
    worker.report_progress(5)
    worker.report_preview()
    worker.complete()


def test_each_event_is_yielded_once_and_in_order(call: Call, worker: FakeWorker) -> None:
    """Sequence numbers have no gap from the first to the last event."""
    complete_job(worker)
    events = call("events", worker.job_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events][-2:] == ["preview", "completed"]
    assert events[-1].data["link"]


@pytest.mark.parametrize("after", [0, 1, 40, 150, 333])
def test_a_broken_connection_loses_and_repeats_no_event(call: Call, worker: FakeWorker, after: int) -> None:
    """The client reconnects with Last-Event-ID, wherever in the stream the connection breaks."""
    complete_job(worker)
    transport = FaultyTransport(lambda _request, number: after if number <= 2 else None)
    events = call("events", worker.job_id, transport=transport)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "completed"
    assert len(transport.requests) == 3
    assert transport.requests[0].headers["Last-Event-ID"] == "0"


def test_client_polls_where_a_proxy_blocks_streams(call: Call, worker: FakeWorker) -> None:
    """A page in place of the stream makes the client use long polls until the end."""
    complete_job(worker)

    def spoil(request: httpx.Request, _number: int) -> httpx.Response | None:
        return httpx.Response(200, html="<p>sign in</p>", request=request) if "/events" in request.url.path else None

    transport = FaultyTransport(spoil)
    events = call("events", worker.job_id, transport=transport)
    assert [event.type for event in events] == ["completed"]
    assert [request.url.path.endswith("/events") for request in transport.requests] == [True, False]
    assert "wait" in str(transport.requests[1].url)


def test_client_polls_after_repeated_stream_failures(call: Call, worker: FakeWorker) -> None:
    """If every stream breaks, the client switches to long polls."""
    complete_job(worker)
    transport = FaultyTransport(lambda request, _number: 0 if "/events" in request.url.path else None)
    assert [event.type for event in call("events", worker.job_id, transport=transport)] == ["completed"]


def test_a_lost_response_to_a_submission_makes_one_job(call: Call, app: AppClient) -> None:
    """The submission is retried with the same idempotency key."""
    transport = FaultyTransport(lambda _request, number: 0 if number == 1 else None)
    job = call("submit", PROMPT, transport=transport)
    assert [row["id"] for row in app.get("/api/v1/jobs").json["jobs"]] == [job.id]
    assert len({request.headers["Idempotency-Key"] for request in transport.requests}) == 1


def test_a_submission_is_retried_after_a_502(call: Call, app: AppClient) -> None:
    """A gateway answers 502 while the server restarts."""
    transport = FaultyTransport(
        lambda request, number: httpx.Response(502, html="bad", request=request) if number == 1 else None
    )
    call("submit", PROMPT, transport=transport)
    assert len(app.get("/api/v1/jobs").json["jobs"]) == 1


def test_errors_carry_status_code_and_problems(call: Call) -> None:
    """Invalid fields, unknown jobs and wrong keys are not retried."""
    with pytest.raises(DarkroomError) as error:
        call("submit", "", priority=99)
    assert (error.value.status, error.value.code) == (400, "invalid")
    assert len(error.value.problems) == 2
    with pytest.raises(DarkroomError) as error:
        call("events", "f" * 32)
    assert error.value.status == 404
    with pytest.raises(DarkroomError) as error:
        call("job", "f" * 32, key="nobodys")
    assert (error.value.status, error.value.code) == (401, "unauthorized")


def test_a_response_that_is_not_json_is_an_error(call: Call) -> None:
    """Another program at the address raises a DarkroomError, not a parser's exception."""
    transport = FaultyTransport(lambda request, _number: httpx.Response(200, html="<p>hello</p>", request=request))
    with pytest.raises(DarkroomError, match="does not answer like Darkroom"):
        call("job", "f" * 32, transport=transport)


def test_a_job_can_be_cancelled(call: Call, app: AppClient) -> None:
    """A queued job is cancelled at once."""
    assert call("cancel", app.submit()).raw["error"]["code"] == "cancelled"


@pytest.mark.usefixtures("automatic_worker")
def test_an_image_is_downloaded_in_another_format(call: Call, app: AppClient) -> None:
    """The JPEG conversion is stored with the original."""
    job_id = call("wait", app.submit()).id
    assert call("download", job_id, form="jpg") == b"jpeg bytes"


def test_follower_gives_up_after_many_failures() -> None:
    """The error is raised after MAX_FAILURES in a row; the pauses grow until then."""
    follower, pauses = EventFollower("f" * 32), []
    for _ in range(MAX_FAILURES):
        follower.on_connection_lost(OSError("away"))
        pauses.append(follower.pause_s)
    assert pauses == sorted(pauses)
    assert len(set(pauses)) > 8
    with pytest.raises(OSError, match="away"):
        follower.on_connection_lost(OSError("away"))


def test_webhook_signatures_are_verified() -> None:
    """Forged or unsigned deliveries and invalid secrets raise a DarkroomError."""
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
    for invalid in ("", "whsec_", "whsec_!", "whsec_\u00e4"):
        with pytest.raises(DarkroomError, match="Invalid secret"):
            verify_webhook(invalid, headers, body)
