"""Webhooks from the end of a job to a real HTTP receiver."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import aiohttp
import pytest
import trustme
from standardwebhooks import Webhook

from ops.infra.settings import Settings
from ops.processes.web_command import free_port
from schemas.errors import Unavailable
from schemas.webhooks.retry_policy import DISABLE_AFTER_S
from schemas.webhooks.subscriptions import Delivery, DeliveryState, NewDelivery, Subscription
from stores import Stores, open_stores
from stores.redis.keys import OUTBOX
from stores.webhooks import outbox
from stores.webhooks.deliveries import Deliveries, DeliveryOutcome
from tests.conftest import TIMEOUT_S, FakeClock, eventually
from tests.integration.conftest import AppClient, FakeWorker, close_app, open_app
from tests.support.webhook_receiver import CannedResponse, ReceivedRequest, WebhookReceiver, run_receiver
from workers.clock.sweeper import Sweeper
from workers.webhooks import client, destinations
from workers.webhooks.client import ResolveHost, WebhookClient
from workers.webhooks.destinations import FAILURES_TO_OPEN, MAX_CONCURRENT
from workers.webhooks.dispatcher import WebhookDispatcher

OWNER = "owner"


@pytest.fixture
def app(settings: Settings) -> Iterator[AppClient]:
    """An app that may call this machine."""
    app = open_app(replace(settings, egress_allow=("127.0.0.0/8",)))
    yield app
    close_app(app)


@pytest.fixture
def stores(app: AppClient, clock: FakeClock) -> Iterator[Stores]:
    """The app's stores, with a clock that the test sets."""
    opened = open_stores(app.stores.settings, clock=clock)
    clock.time_ms = app.stores.clock.now_ms()
    yield opened
    opened.close()


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """A receiver that accepts everything."""
    with run_receiver() as receiver:
        yield receiver


@contextmanager
def running_dispatcher(stores: Stores, resolve: ResolveHost | None = None) -> Iterator[WebhookDispatcher]:
    """Run a dispatcher, optionally with another name resolution."""
    dispatcher = WebhookDispatcher(stores, (lambda: WebhookClient(stores.address_policy, resolve)) if resolve else None)
    dispatcher.start()
    try:
        yield dispatcher
    finally:
        dispatcher.stop()


def subscribe(stores: Stores, url: str, *types: str) -> Subscription:
    """Create a webhook of the owner."""
    return stores.subscriptions.create(OWNER, url, {"types": types} if types else {})


def add_deliveries(stores: Stores, url: str, *names: str, webhook: Subscription | None = None) -> None:
    """Add deliveries with an empty body and wake the dispatchers."""
    webhook_id = webhook.id if webhook else None
    deliveries = [
        NewDelivery(f"msg_{name}", OWNER, f"{url}/{name}", "job.completed", "{}", webhook_id) for name in names
    ]
    stores.deliveries.add(deliveries)
    stores.outbox.wake_dispatchers()


def wait_until_finished(stores: Stores, delivery_id: str) -> Delivery:
    """Return the delivery once it is delivered or has failed."""

    def find_finished() -> Delivery | None:
        delivery = stores.deliveries.get(OWNER, delivery_id)
        return delivery if delivery.state is not DeliveryState.PENDING else None

    finished: Delivery = eventually(find_finished)
    return finished


def all_deliveries(stores: Stores) -> list[Delivery]:
    """Return all deliveries, newest first."""
    return stores.deliveries.page(OWNER, {}, None, 100)[0]


def test_the_end_of_a_job_is_delivered_and_signed(stores: Stores, app: AppClient, receiver: WebhookReceiver) -> None:
    """The Standard Webhooks library verifies the signature; the body equals the event of the stream."""
    webhook = subscribe(stores, receiver.url())
    worker = FakeWorker(app)
    worker.start()
    worker.complete()
    with running_dispatcher(app.stores):
        [request] = eventually(lambda: list(receiver.requests))
        assert Webhook(webhook.secrets[0]).verify(request.body, dict(request.headers))
        payload = request.json
        assert payload["type"] == "job.completed"
        assert payload["data"]["jobId"] == worker.job_id
        assert payload["data"]["link"].endswith(f"/{worker.job_id}.png")
        assert payload["data"]["seq"] == app.get_job(worker.job_id)["seq"]
        assert request.headers["content-type"] == "application/json"
        done = wait_until_finished(stores, request.headers["webhook-id"])
    assert done.state is DeliveryState.DELIVERED
    [attempt] = stores.deliveries.list_attempts(done.id)
    assert (attempt.status, attempt.excerpt) == (200, "thank you")


@pytest.mark.parametrize("good", [True, False])
def test_a_webhook_url_of_a_job_gets_the_generaitiv_body(app: AppClient, receiver: WebhookReceiver, good: bool) -> None:
    """The caller's own secret signs it."""
    response = app.post("/v1/consumer/gen", json={"input": {"prompt": "a lake"}, "webhook": receiver.url("/mine")})
    assert sorted(response.json) == ["id", "workload_id"]
    worker = object.__new__(FakeWorker)
    worker._attempts = app.stores.attempts
    worker.start()
    worker.complete() if good else worker.fail()
    with running_dispatcher(app.stores):
        [request] = eventually(lambda: list(receiver.requests))
    payload = request.json
    assert request.path == "/mine"
    assert payload["id"] == response.json["id"]
    assert payload["status"] == ("COMPLETED" if good else "FAILED")
    assert payload["type"] == ("workload.completed" if good else "workload.failed")
    assert ("link" in payload, payload.get("message")) == ((True, None) if good else (False, "Not here."))
    secret = app.get("/api/v1/webhooks/secret").json["secret"]
    assert Webhook(secret).verify(request.body, dict(request.headers))


def test_only_subscribed_events_are_delivered(stores: Stores, app: AppClient, receiver: WebhookReceiver) -> None:
    """Each has its sequence number; events of other callers' jobs are not sent."""
    subscribe(stores, receiver.url(), "job.starting", "job.in_progress", "job.preview")
    stores.subscriptions.create("bob", receiver.url("/bob"), {})
    with running_dispatcher(app.stores):
        worker = FakeWorker(app)
        worker.start()
        worker.report_progress(3)
        worker.report_preview()
        worker.complete()
        eventually(lambda: len(receiver.requests) >= 4)
        eventually(lambda: all(delivery.state is DeliveryState.DELIVERED for delivery in all_deliveries(stores)))
    kinds = sorted(request.json["type"] for request in receiver.requests)
    assert kinds == ["job.in_progress", "job.in_progress", "job.preview", "job.starting"]
    assert set(receiver.paths()) == {"/hook"}
    assert len({request.json["data"]["seq"] for request in receiver.requests}) == 4


def test_a_failed_attempt_is_retried_under_the_same_id(
    stores: Stores, receiver: WebhookReceiver, clock: FakeClock
) -> None:
    """Attempts follow the retry schedule, each with a new signature."""
    receiver.respond = lambda _request: CannedResponse(500 if len(receiver.requests) < 3 else 204, body=b"")
    webhook = subscribe(stores, receiver.url())
    add_deliveries(stores, receiver.url(), "1", webhook=webhook)
    with running_dispatcher(stores):
        for tries in (1, 2):
            eventually(lambda tries=tries: len(stores.deliveries.list_attempts("msg_1")) == tries)
            eventually(lambda: stores.subscriptions.get(OWNER, webhook.id).failing_since is not None)
            clock.advance(6 if tries == 1 else 361)
            stores.outbox.wake_dispatchers()
        assert wait_until_finished(stores, "msg_1").state is DeliveryState.DELIVERED
        eventually(lambda: stores.subscriptions.get(OWNER, webhook.id).failing_since is None)
    assert len(receiver.requests) == 3
    assert {request.headers["webhook-id"] for request in receiver.requests} == {"msg_1"}
    assert len({request.headers["webhook-timestamp"] for request in receiver.requests}) == 3
    assert len({request.headers["webhook-signature"] for request in receiver.requests}) == 3


def test_a_delivery_fails_after_the_last_attempt(stores: Stores, receiver: WebhookReceiver, clock: FakeClock) -> None:
    """It keeps the reason, and a manual redelivery succeeds."""
    receiver.respond = lambda _request: CannedResponse(500)
    add_deliveries(stores, receiver.url(), "1")
    with running_dispatcher(stores) as dispatcher:
        for tries in range(1, 11):
            eventually(lambda tries=tries: len(stores.deliveries.list_attempts("msg_1")) == tries)
            assert dispatcher._loop
            dispatcher._loop.call_soon_threadsafe(dispatcher._queues.clear)
            clock.advance(2 * 86_400)
            stores.outbox.wake_dispatchers()
        failed = wait_until_finished(stores, "msg_1")
        assert (failed.state, failed.reason) == (DeliveryState.FAILED, "The receiver answered 500.")
        receiver.respond = lambda _request: CannedResponse()
        stores.deliveries.redeliver(OWNER, "msg_1")
        stores.outbox.wake_dispatchers()
        assert wait_until_finished(stores, "msg_1").state is DeliveryState.DELIVERED
    assert len(receiver.requests) == 11


@pytest.mark.parametrize(
    ("response", "state"),
    [
        (CannedResponse(410), DeliveryState.FAILED),
        (CannedResponse(500, {"webhook-delivery": "disable"}), DeliveryState.FAILED),
        (CannedResponse(302, {"webhook-delivery": "disable", "Location": "/elsewhere"}), DeliveryState.FAILED),
        (CannedResponse(200, {"webhook-delivery": "disable"}), DeliveryState.DELIVERED),
        (CannedResponse(204, {"Webhook-Delivery": " Disable "}, b""), DeliveryState.DELIVERED),
    ],
    ids=["410", "500", "302", "200", "204"],
)
def test_a_receiver_disables_its_webhook(
    stores: Stores, app: AppClient, receiver: WebhookReceiver, response: CannedResponse, state: DeliveryState
) -> None:
    """The owner is notified by other webhooks and in the event stream; no delivery is pending afterwards."""
    receiver.respond = lambda request: response if request.path.startswith("/gone") else CannedResponse()
    gone = subscribe(stores, receiver.url("/gone"))
    subscribe(stores, receiver.url("/other"), "webhook.disabled")
    add_deliveries(stores, receiver.url("/gone"), *(str(number) for number in range(60)), webhook=gone)
    with running_dispatcher(stores):
        eventually(lambda: "/other" in receiver.paths())
        eventually(lambda: all(item.state is not DeliveryState.PENDING for item in all_deliveries(stores)))
    called = [item for item in all_deliveries(stores) if item.tries and item.subscription == gone.id]
    assert {item.state for item in called} == {state}
    if state is DeliveryState.FAILED:
        assert {item.reason for item in called} == {"The receiver wants no more deliveries."}
    assert len(called) <= MAX_CONCURRENT
    assert stores.subscriptions.get(OWNER, gone.id).disabled_because == "gone"
    payload = next(request for request in receiver.requests if request.path == "/other").json
    assert (payload["type"], payload["data"]["webhookId"]) == ("webhook.disabled", gone.id)
    [(_, event)] = app.stores.event_log.read_owner(OWNER, "0-0")
    assert (event.type, event.data["because"]) == ("webhook_disabled", "gone")


def test_a_webhook_that_fails_for_five_days_is_disabled(
    stores: Stores, receiver: WebhookReceiver, clock: FakeClock
) -> None:
    """One success in between prevents it."""
    receiver.respond = lambda _request: CannedResponse(500)
    webhook = subscribe(stores, receiver.url())
    add_deliveries(stores, receiver.url(), "1", webhook=webhook)
    with running_dispatcher(stores):
        eventually(lambda: stores.subscriptions.get(OWNER, webhook.id).failing_since is not None)
        clock.advance(DISABLE_AFTER_S + 60)
        stores.outbox.wake_dispatchers()
        eventually(lambda: stores.subscriptions.get(OWNER, webhook.id).disabled_because == "failing")
        assert wait_until_finished(stores, "msg_1").reason == "The webhook was disabled."


def test_redirects_are_not_followed(stores: Stores, receiver: WebhookReceiver) -> None:
    """A redirect counts as a failure."""
    with run_receiver() as elsewhere:
        receiver.respond = lambda _request: CannedResponse(307, {"Location": elsewhere.url()})
        add_deliveries(stores, receiver.url(), "1")
        with running_dispatcher(stores):
            eventually(lambda: stores.deliveries.list_attempts("msg_1"))
        assert elsewhere.requests == []
    assert stores.deliveries.list_attempts("msg_1")[0].status == 307


def test_progress_events_are_not_retried(stores: Stores, receiver: WebhookReceiver) -> None:
    """They are outdated by the time of a retry."""
    receiver.respond = lambda _request: CannedResponse(500)
    stores.deliveries.add([NewDelivery("msg_1", OWNER, receiver.url(), "job.in_progress", "{}")])
    with running_dispatcher(stores):
        assert wait_until_finished(stores, "msg_1").state is DeliveryState.FAILED
    assert len(receiver.requests) == 1


@pytest.fixture
def unlimited_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no call and no pause of a circuit end, however long a test takes on a busy machine."""
    monkeypatch.setattr(client, "TIMEOUT", aiohttp.ClientTimeout(total=None))
    monkeypatch.setattr(destinations, "MIN_PAUSE_S", destinations.MAX_PAUSE_S)


@pytest.mark.usefixtures("unlimited_times")
def test_a_hanging_receiver_does_not_delay_others(stores: Stores, receiver: WebhookReceiver) -> None:
    """All other deliveries arrive while it holds its few connections."""
    release = threading.Event()

    def hang(_request: ReceivedRequest) -> CannedResponse:
        release.wait(2 * TIMEOUT_S)
        return CannedResponse()

    receiver.respond = hang
    with run_receiver() as good, running_dispatcher(stores):
        add_deliveries(stores, receiver.url(), *(f"slow{number}" for number in range(60)))
        eventually(lambda: len(receiver.requests) >= MAX_CONCURRENT)
        add_deliveries(stores, good.url(), *(f"good{number}" for number in range(60)))
        eventually(lambda: len(good.requests) == 60)
        assert len(receiver.requests) == MAX_CONCURRENT
        release.set()
        eventually(lambda: len(receiver.requests) == 60)


@pytest.mark.parametrize("failure", ["hangs", "throttles"])
@pytest.mark.usefixtures("unlimited_times")
def test_a_failing_webhook_does_not_delay_another_at_the_same_host(
    stores: Stores, receiver: WebhookReceiver, failure: str
) -> None:
    """Each webhook has its own limit and circuit, as many may share one gateway."""
    release = threading.Event()

    def respond(request: ReceivedRequest) -> CannedResponse:
        if request.path.startswith("/good"):
            return CannedResponse()
        release.wait(2 * TIMEOUT_S if failure == "hangs" else 0)
        return CannedResponse(429)

    receiver.respond = respond
    bad, good = (subscribe(stores, receiver.url(path)) for path in ("/bad", "/good"))
    with running_dispatcher(stores):
        add_deliveries(stores, receiver.url("/bad"), *(f"bad{number}" for number in range(40)), webhook=bad)
        eventually(lambda: len(receiver.requests) >= (MAX_CONCURRENT if failure == "hangs" else 1))
        add_deliveries(stores, receiver.url("/good"), *(f"good{number}" for number in range(40)), webhook=good)
        eventually(lambda: sum(path.startswith("/good") for path in receiver.paths()) == 40)
        assert sum(path.startswith("/bad") for path in receiver.paths()) <= MAX_CONCURRENT
        release.set()


@pytest.mark.usefixtures("unlimited_times")
def test_an_open_circuit_stops_deliveries_to_a_dead_receiver(stores: Stores, receiver: WebhookReceiver) -> None:
    """It opens after a few failures in a row; waiting deliveries lose no attempt."""
    receiver.respond = lambda _request: CannedResponse(500)
    with run_receiver() as good, running_dispatcher(stores):
        add_deliveries(stores, receiver.url(), *(f"bad{number:02}" for number in range(80)))
        eventually(lambda: len(receiver.requests) >= FAILURES_TO_OPEN)
        add_deliveries(stores, good.url(), "good")
        assert wait_until_finished(stores, "msg_good").state is DeliveryState.DELIVERED
    unattempted = [item for item in all_deliveries(stores) if item.tries == 0 and item.state is DeliveryState.PENDING]
    assert len(receiver.requests) <= FAILURES_TO_OPEN + MAX_CONCURRENT
    assert len(unattempted) >= 80 - FAILURES_TO_OPEN - MAX_CONCURRENT


def test_dns_rebinding_is_refused(stores: Stores, receiver: WebhookReceiver) -> None:
    """Addresses are checked when the connection is made, and nothing is sent to a forbidden one."""
    answers = ["127.0.0.2"], ["169.254.169.254"], ["::ffff:169.254.169.254"], ["10.0.0.1"]
    resolved: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        resolved.append(host)
        return answers[int(host[0])]

    closed = replace(stores, address_policy=replace(stores.address_policy, allow_rules=()))
    for number in range(4):
        add_deliveries(stores, f"http://{number}.rebinding.example:{receiver.port}", str(number))
    with running_dispatcher(closed, resolve):
        eventually(lambda: all(stores.deliveries.list_attempts(f"msg_{number}") for number in range(4)))
    errors = [stores.deliveries.list_attempts(f"msg_{number}")[0].error for number in range(4)]
    assert receiver.requests == []
    assert sorted(resolved) == [f"{number}.rebinding.example" for number in range(4)]
    assert all("resolves to no address that may be called" in (error or "") for error in errors)


def test_a_name_is_resolved_once_per_connection(stores: Stores, receiver: WebhookReceiver) -> None:
    """The checked address is called, with the name in the Host header."""
    resolved: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        resolved.append(host)
        return ["127.0.0.1"] if len(resolved) == 1 else ["169.254.169.254"]

    add_deliveries(stores, f"http://rebinding.example:{receiver.port}", "1")
    with running_dispatcher(stores, resolve):
        assert wait_until_finished(stores, "msg_1").state is DeliveryState.DELIVERED
    assert resolved == ["rebinding.example"]
    assert receiver.requests[0].headers["host"] == f"rebinding.example:{receiver.port}"


def test_a_hanging_name_server_does_not_delay_other_hosts(stores: Stores, receiver: WebhookReceiver) -> None:
    """All simultaneous look-ups of one host take one thread, however many webhooks have it."""
    release = threading.Event()
    resolved: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        resolved.append(host)
        if host == "hanging.example":
            release.wait(2 * TIMEOUT_S)
        return ["127.0.0.1"]

    hanging = [subscribe(stores, f"http://hanging.example:{receiver.port}/{number}") for number in range(8)]
    with running_dispatcher(stores, resolve):
        for webhook in hanging:
            names = [f"{webhook.id}{number}" for number in range(MAX_CONCURRENT)]
            add_deliveries(stores, f"http://hanging.example:{receiver.port}", *names, webhook=webhook)
        eventually(lambda: "hanging.example" in resolved)
        add_deliveries(stores, f"http://good.example:{receiver.port}", "good")
        assert wait_until_finished(stores, "msg_good").state is DeliveryState.DELIVERED
        assert resolved.count("hanging.example") == 1
        release.set()


@pytest.mark.parametrize("name", ["hooks.example", "other.example"])
def test_the_certificate_must_match_the_host_name(
    stores: Stores, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The connection is made to an IP address."""
    authority = trustme.CA()
    trusted = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with run_receiver(server_context(authority)) as secure:
        add_deliveries(stores, f"https://{name}:{secure.port}", "1")
        with running_dispatcher(stores, lambda _host, _port: ["127.0.0.1"]):
            [attempt] = eventually(lambda: stores.deliveries.list_attempts("msg_1"))
        assert (attempt.status == 200) == (name == "hooks.example") == bool(secure.requests)
        assert attempt.status or "certificate is not valid for 'other.example'" in (attempt.error or "")


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """Return the TLS context of a receiver at hooks.example."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example").configure_cert(context)
    return context


def test_an_endless_response_is_not_read_to_its_end(stores: Stores, receiver: WebhookReceiver) -> None:
    """The status decides the outcome."""
    receiver.respond = lambda _request: CannedResponse(200, {"Content-Length": str(10**9)}, b"x" * 300_000)
    add_deliveries(stores, receiver.url(), "1")
    with running_dispatcher(stores):
        assert wait_until_finished(stores, "msg_1").state is DeliveryState.DELIVERED
    assert stores.deliveries.list_attempts("msg_1")[0].excerpt == "x" * 1024


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (b"\x00\xff inner words\r\n\r\n", "The response is not valid HTTP."),
        (b"HTTP/1.1 200 OK\r\ninner words\r\n\r\n", "The response is not valid HTTP."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: inner\r\n\r\n", "The response is not valid HTTP."),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ninner\r\n", "The response is not valid HTTP."),
        (b"HTTP/1.1 200 OK\r\nX: " + b"inner" * 9000 + b"\r\n\r\n", "The response is not valid HTTP."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ninner", "The response is not valid HTTP."),
        (b"HTTP/1.1 200 inner\r\nX-Inner: words\r\n", "The connection was closed before the response was complete."),
        (b"", "The connection was closed before the response was complete."),
    ],
    ids=["status", "header", "length", "chunk", "long", "short", "half", "nothing"],
)
def test_invalid_responses_are_not_quoted(stores: Stores, response: bytes, message: str) -> None:
    """Attempt and reason omit them: the host may be inside the operator's network."""
    with raw_server(response) as port:
        stores.deliveries.add([NewDelivery("msg_1", OWNER, f"http://127.0.0.1:{port}/", "job.in_progress", "{}")])
        with running_dispatcher(stores):
            assert wait_until_finished(stores, "msg_1").reason == message
    assert [(attempt.error, attempt.excerpt) for attempt in stores.deliveries.list_attempts("msg_1")] == [(message, "")]


def test_a_refused_connection_is_reported_without_the_address(stores: Stores) -> None:
    """The message is the operating system's."""
    port = free_port()
    stores.deliveries.add([NewDelivery("msg_1", OWNER, f"http://inner.example:{port}/", "job.in_progress", "{}")])
    with running_dispatcher(stores, lambda _host, _port: ["127.0.0.1"]):
        assert wait_until_finished(stores, "msg_1").reason == "The connection failed: Connection refused."


@contextmanager
def raw_server(response: bytes) -> Iterator[int]:
    """Serve these bytes as the response to every request; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            # accept() fails once the test closes the server.
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(response)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_an_outbox_entry_written_twice_is_delivered_once(
    stores: Stores, app: AppClient, receiver: WebhookReceiver
) -> None:
    """A process may die between writing to SQL and deleting the outbox entry."""
    subscribe(stores, receiver.url())
    worker = FakeWorker(app)
    worker.start()
    worker.complete()
    [(_, fields)] = stores.redis.xrange(OUTBOX)
    assert stores.outbox.drain() == 1
    stores.redis.xadd(OUTBOX, fields)
    with running_dispatcher(stores):
        eventually(lambda: stores.redis.xlen(OUTBOX) == 0)
        eventually(lambda: all(delivery.state is DeliveryState.DELIVERED for delivery in all_deliveries(stores)))
    assert len(receiver.requests) == len(all_deliveries(stores)) == 1


def test_outcomes_are_recorded_after_a_database_outage(
    stores: Stores, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver is not called a second time."""
    record_outcomes, failures = Deliveries.record_outcomes, iter([True, False, False])

    def failing(self: Deliveries, outcomes: list[DeliveryOutcome]) -> None:
        if next(failures):
            raise Unavailable("The database does not answer.")
        record_outcomes(self, outcomes)

    monkeypatch.setattr(Deliveries, "record_outcomes", failing)
    add_deliveries(stores, receiver.url(), "1")
    with running_dispatcher(stores):
        assert wait_until_finished(stores, "msg_1").state is DeliveryState.DELIVERED
    assert len(receiver.requests) == 1


def test_the_clock_drains_a_stale_outbox(
    stores: Stores, app: AppClient, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delivery waits in SQL for the next dispatcher."""
    # An entry of this minute is not stale, however busy the machine is.
    monkeypatch.setattr(outbox, "STALE_MS", 60_000)
    webhook = subscribe(stores, receiver.url())
    worker = FakeWorker(app)
    worker.start()
    worker.complete()
    assert not stores.outbox.has_stale_entries()
    [(_, fields)] = stores.redis.xrange(OUTBOX)
    stores.redis.delete(OUTBOX)
    stores.redis.xadd(OUTBOX, fields, id="1-1")
    assert stores.outbox.has_stale_entries()
    Sweeper(stores).drain_stale_outbox()
    [waiting] = all_deliveries(stores)
    assert (waiting.subscription, json.loads(waiting.body)["data"]["jobId"]) == (webhook.id, worker.job_id)
