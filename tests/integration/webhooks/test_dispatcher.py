"""Webhooks from a job's end to a real receiver."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import trustme
from standardwebhooks import Webhook

from ops.infra.settings import Settings
from schemas.errors import Unavailable
from schemas.webhooks.retry_policy import DISABLE_AFTER_S
from schemas.webhooks.subscriptions import Delivery, DeliveryState, NewDelivery, Subscription
from stores import Stores, open_stores
from stores.webhooks.deliveries import Deliveries, DeliveryOutcome
from stores.webhooks.outbox import OUTBOX
from tests.conftest import FakeClock, eventually, free_port
from tests.integration.conftest import AppClient, FakeWorker, close_app, open_app
from tests.support.webhook_receiver import CannedResponse, ReceivedRequest, WebhookReceiver, run_receiver
from workers.clock.sweeper import Sweeper
from workers.webhooks.client import ResolveHost, WebhookClient
from workers.webhooks.destinations import FAILURES_TO_OPEN, MAX_CONCURRENT
from workers.webhooks.dispatcher import WebhookDispatcher

OWNER = "owner"


@pytest.fixture
def app(settings: Settings) -> Iterator[AppClient]:
    """A front that may call this machine."""
    front = open_app(replace(settings, egress_allow=("127.0.0.0/8",)))
    yield front
    close_app(front)


@pytest.fixture
def stores(app: AppClient, clock: FakeClock) -> Iterator[Stores]:
    """The same stores at a time that a test sets."""
    opened = open_stores(app.stores.settings, clock=clock)
    clock.time_ms = app.stores.clock.now_ms()
    yield opened
    opened.close()


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """A receiver that takes everything."""
    with run_receiver() as receiver:
        yield receiver


@contextmanager
def running_dispatcher(stores: Stores, resolve: ResolveHost | None = None) -> Iterator[WebhookDispatcher]:
    """A courier at work."""
    courier = WebhookDispatcher(stores, (lambda: WebhookClient(stores.address_policy, resolve)) if resolve else None)
    courier.start()
    try:
        yield courier
    finally:
        courier.stop()


def subscribe(stores: Stores, url: str, *types: str) -> Subscription:
    """A webhook of the owner's."""
    return stores.subscriptions.create(OWNER, url, {"types": types} if types else {})


def add_deliveries(stores: Stores, url: str, *names: str, webhook: Subscription | None = None) -> None:
    """Deliveries of nothing in particular."""
    hook = webhook.id if webhook else None
    made = [NewDelivery(f"msg_{name}", OWNER, f"{url}/{name}", "job.completed", "{}", hook) for name in names]
    stores.deliveries.add(made)
    stores.outbox.wake_dispatchers()


def wait_until_finished(stores: Stores, ident: str) -> Delivery:
    """The delivery once it has ended."""

    def look() -> Delivery | None:
        found = stores.deliveries.get(OWNER, ident)
        return found if found.state is not DeliveryState.PENDING else None

    ended: Delivery = eventually(look)
    return ended


def all_deliveries(stores: Stores) -> list[Delivery]:
    """What there is, the newest first."""
    return stores.deliveries.page(OWNER, {}, None, 100)[0]


def test_the_end_of_a_job_is_delivered_and_signed(stores: Stores, app: AppClient, receiver: WebhookReceiver) -> None:
    """The library of Standard Webhooks takes it for genuine; it says what the stream says."""
    webhook = subscribe(stores, receiver.url())
    painter = FakeWorker(app)
    painter.start()
    painter.complete()
    with running_dispatcher(app.stores):
        [call] = eventually(lambda: list(receiver.requests))
        assert Webhook(webhook.secrets[0]).verify(call.body, dict(call.headers))
        told = call.json
        assert told["type"] == "job.completed"
        assert told["data"]["jobId"] == painter.job_id
        assert told["data"]["link"].endswith(f"/{painter.job_id}.png")
        assert told["data"]["seq"] == app.get_job(painter.job_id)["seq"]
        assert call.headers["content-type"] == "application/json"
        done = wait_until_finished(stores, call.headers["webhook-id"])
    assert done.state is DeliveryState.DELIVERED
    [attempt] = stores.deliveries.list_attempts(done.id)
    assert (attempt.status, attempt.excerpt) == (200, "thank you")


@pytest.mark.parametrize("good", [True, False])
def test_an_address_that_a_job_names_gets_the_flat_body(app: AppClient, receiver: WebhookReceiver, good: bool) -> None:
    """As clients of the generaitiv API read it; it is signed with the caller's own secret."""
    answer = app.post("/v1/consumer/gen", json={"input": {"prompt": "a lake"}, "webhook": receiver.url("/mine")})
    assert sorted(answer.json) == ["id", "workload_id"]
    painter = object.__new__(FakeWorker)
    painter._attempts = app.stores.attempts
    painter.start()
    painter.complete() if good else painter.fail()
    with running_dispatcher(app.stores):
        [call] = eventually(lambda: list(receiver.requests))
    told = call.json
    assert call.path == "/mine"
    assert told["id"] == answer.json["id"]
    assert told["status"] == ("COMPLETED" if good else "FAILED")
    assert told["type"] == ("workload.completed" if good else "workload.failed")
    assert ("link" in told, told.get("message")) == ((True, None) if good else (False, "Not here."))
    secret = app.get("/api/v1/webhooks/secret").json["secret"]
    assert Webhook(secret).verify(call.body, dict(call.headers))


def test_only_what_was_asked_for_is_delivered(stores: Stores, app: AppClient, receiver: WebhookReceiver) -> None:
    """Of each type in the order of a job's life, with its number; other callers' jobs never."""
    subscribe(stores, receiver.url(), "job.starting", "job.in_progress", "job.preview")
    stores.subscriptions.create("somebody", receiver.url("/somebody"), {})
    with running_dispatcher(app.stores):
        painter = FakeWorker(app)
        painter.start()
        painter.report_progress(3)
        painter.report_preview()
        painter.complete()
        eventually(lambda: len(receiver.requests) >= 4)
        eventually(lambda: all(one.state is DeliveryState.DELIVERED for one in all_deliveries(stores)))
    kinds = sorted(call.json["type"] for call in receiver.requests)
    assert kinds == ["job.in_progress", "job.in_progress", "job.preview", "job.starting"]
    assert set(receiver.paths()) == {"/hook"}
    assert len({call.json["data"]["seq"] for call in receiver.requests}) == 4


def test_what_fails_is_tried_again_under_the_same_id(
    stores: Stores, receiver: WebhookReceiver, clock: FakeClock
) -> None:
    """Signed anew each time, by the schedule, until it is taken."""
    receiver.respond = lambda _call: CannedResponse(500 if len(receiver.requests) < 3 else 204, body=b"")
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
    assert {call.headers["webhook-id"] for call in receiver.requests} == {"msg_1"}
    assert len({call.headers["webhook-timestamp"] for call in receiver.requests}) == 3
    assert len({call.headers["webhook-signature"] for call in receiver.requests}) == 3


def test_after_the_last_attempt_it_has_failed(stores: Stores, receiver: WebhookReceiver, clock: FakeClock) -> None:
    """With the reason; sent once more by hand it arrives."""
    receiver.respond = lambda _call: CannedResponse(500)
    add_deliveries(stores, receiver.url(), "1")
    with running_dispatcher(stores) as courier:
        for tries in range(1, 11):
            eventually(lambda tries=tries: len(stores.deliveries.list_attempts("msg_1")) == tries)
            courier._queues.clear()
            clock.advance(2 * 86_400)
            stores.outbox.wake_dispatchers()
        failed = wait_until_finished(stores, "msg_1")
        assert (failed.state, failed.reason) == (DeliveryState.FAILED, "The receiver answered 500.")
        receiver.respond = lambda _call: CannedResponse()
        stores.deliveries.redeliver(OWNER, "msg_1")
        stores.outbox.wake_dispatchers()
        assert wait_until_finished(stores, "msg_1").state is DeliveryState.DELIVERED
    assert len(receiver.requests) == 11


def test_a_receiver_that_is_gone_is_disabled(stores: Stores, app: AppClient, receiver: WebhookReceiver) -> None:
    """Its owner is told by the other webhooks and in the stream; what else was on its way is given up."""
    receiver.respond = lambda call: CannedResponse(410 if call.path.startswith("/gone") else 200)
    gone = subscribe(stores, receiver.url("/gone"))
    subscribe(stores, receiver.url("/other"), "webhook.disabled")
    add_deliveries(stores, receiver.url("/gone"), "1", webhook=gone)
    with running_dispatcher(stores):
        assert wait_until_finished(stores, "msg_1").reason == "The receiver wants no more deliveries."
        eventually(lambda: "/other" in receiver.paths())
    assert stores.subscriptions.get(OWNER, gone.id).disabled_because == "gone"
    told = next(call for call in receiver.requests if call.path == "/other").json
    assert (told["type"], told["data"]["webhookId"]) == ("webhook.disabled", gone.id)
    [(_, event)] = app.stores.event_log.read_owner(OWNER, "0-0")
    assert (event.type, event.data["because"]) == ("webhook_disabled", "gone")


def test_one_that_is_dead_for_five_days_is_disabled(
    stores: Stores, receiver: WebhookReceiver, clock: FakeClock
) -> None:
    """Without one success in between."""
    receiver.respond = lambda _call: CannedResponse(500)
    webhook = subscribe(stores, receiver.url())
    add_deliveries(stores, receiver.url(), "1", webhook=webhook)
    with running_dispatcher(stores):
        eventually(lambda: stores.subscriptions.get(OWNER, webhook.id).failing_since is not None)
        clock.advance(DISABLE_AFTER_S + 60)
        stores.outbox.wake_dispatchers()
        eventually(lambda: stores.subscriptions.get(OWNER, webhook.id).disabled_because == "failing")
        assert wait_until_finished(stores, "msg_1").reason == "The webhook was disabled."


def test_no_redirect_is_followed(stores: Stores, receiver: WebhookReceiver) -> None:
    """It counts as a failure."""
    with run_receiver() as elsewhere:
        receiver.respond = lambda _call: CannedResponse(307, {"Location": elsewhere.url()})
        add_deliveries(stores, receiver.url(), "1")
        with running_dispatcher(stores):
            eventually(lambda: stores.deliveries.list_attempts("msg_1"))
        assert elsewhere.requests == []
    assert stores.deliveries.list_attempts("msg_1")[0].status == 307


def test_what_progress_tells_is_sent_once(stores: Stores, receiver: WebhookReceiver) -> None:
    """An old one is worth nothing."""
    receiver.respond = lambda _call: CannedResponse(500)
    stores.deliveries.add([NewDelivery("msg_1", OWNER, receiver.url(), "job.in_progress", "{}")])
    with running_dispatcher(stores):
        assert wait_until_finished(stores, "msg_1").state is DeliveryState.FAILED
    assert len(receiver.requests) == 1


def test_a_receiver_that_hangs_keeps_nobody_else(stores: Stores, receiver: WebhookReceiver) -> None:
    """All others arrive while it still holds its few places."""
    letting_go = threading.Event()

    def hang(_call: ReceivedRequest) -> CannedResponse:
        letting_go.wait(30)
        return CannedResponse()

    receiver.respond = hang
    with run_receiver() as good, running_dispatcher(stores):
        add_deliveries(stores, receiver.url(), *(f"slow{number}" for number in range(60)))
        eventually(lambda: len(receiver.requests) >= MAX_CONCURRENT)
        add_deliveries(stores, good.url(), *(f"good{number}" for number in range(60)))
        eventually(lambda: len(good.requests) == 60)
        assert len(receiver.requests) == MAX_CONCURRENT
        letting_go.set()
        eventually(lambda: len(receiver.requests) == 60)


@pytest.mark.parametrize("trouble", ["hangs", "throttles"])
def test_a_webhook_in_trouble_keeps_no_other_at_its_host(
    stores: Stores, receiver: WebhookReceiver, trouble: str
) -> None:
    """Many are behind one gateway: each has places and a circuit of its own."""
    letting_go = threading.Event()

    def answer(call: ReceivedRequest) -> CannedResponse:
        if call.path.startswith("/good"):
            return CannedResponse()
        letting_go.wait(30 if trouble == "hangs" else 0)
        return CannedResponse(429)

    receiver.respond = answer
    bad, good = (subscribe(stores, receiver.url(path)) for path in ("/bad", "/good"))
    with running_dispatcher(stores):
        add_deliveries(stores, receiver.url("/bad"), *(f"bad{number}" for number in range(40)), webhook=bad)
        eventually(lambda: len(receiver.requests) >= (MAX_CONCURRENT if trouble == "hangs" else 1))
        add_deliveries(stores, receiver.url("/good"), *(f"good{number}" for number in range(40)), webhook=good)
        eventually(lambda: sum(path.startswith("/good") for path in receiver.paths()) == 40)
        assert sum(path.startswith("/bad") for path in receiver.paths()) <= MAX_CONCURRENT
        letting_go.set()


def test_a_receiver_that_is_gone_is_not_called_for_what_waits(stores: Stores, receiver: WebhookReceiver) -> None:
    """All of it is given up."""
    receiver.respond = lambda _call: CannedResponse(410)
    gone = subscribe(stores, receiver.url())
    add_deliveries(stores, receiver.url(), *(str(number) for number in range(60)), webhook=gone)
    with running_dispatcher(stores):
        eventually(lambda: all(one.state is DeliveryState.FAILED for one in all_deliveries(stores)))
    assert len(receiver.requests) <= MAX_CONCURRENT


def test_a_dead_receiver_is_not_called_for_each_delivery(stores: Stores, receiver: WebhookReceiver) -> None:
    """After a few failures in a row its circuit is open: what waits has lost no attempt."""
    receiver.respond = lambda _call: CannedResponse(500)
    with run_receiver() as good, running_dispatcher(stores):
        add_deliveries(stores, receiver.url(), *(f"bad{number:02}" for number in range(80)))
        eventually(lambda: len(receiver.requests) >= FAILURES_TO_OPEN)
        add_deliveries(stores, good.url(), "good")
        assert wait_until_finished(stores, "msg_good").state is DeliveryState.DELIVERED
    untried = [one for one in all_deliveries(stores) if one.tries == 0 and one.state is DeliveryState.PENDING]
    assert len(receiver.requests) <= FAILURES_TO_OPEN + MAX_CONCURRENT
    assert len(untried) >= 80 - FAILURES_TO_OPEN - MAX_CONCURRENT


def test_a_name_that_means_another_address_at_the_call_is_not_called(stores: Stores, receiver: WebhookReceiver) -> None:
    """Each connection is judged by what the name leads to then; nothing is sent to what it may not reach."""
    answers = iter([["127.0.0.2"], ["169.254.169.254"], ["::ffff:169.254.169.254"], ["10.0.0.1"]])
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    closed = replace(stores, address_policy=replace(stores.address_policy, allow_rules=()))
    for number in range(4):
        add_deliveries(stores, f"http://turning.example:{receiver.port}", str(number))
    with running_dispatcher(closed, resolve):
        eventually(lambda: all(stores.deliveries.list_attempts(f"msg_{number}") for number in range(4)))
    errors = [stores.deliveries.list_attempts(f"msg_{number}")[0].error for number in range(4)]
    assert receiver.requests == []
    assert asked == ["turning.example"] * 4
    assert all("resolves to no address that may be called" in (error or "") for error in errors)


def test_a_name_is_resolved_once_and_what_was_judged_is_called(stores: Stores, receiver: WebhookReceiver) -> None:
    """The Host header stays the name's."""
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    add_deliveries(stores, f"http://turning.example:{receiver.port}", "1")
    with running_dispatcher(stores, resolve):
        assert wait_until_finished(stores, "msg_1").state is DeliveryState.DELIVERED
    assert asked == ["turning.example"]
    assert receiver.requests[0].headers["host"] == f"turning.example:{receiver.port}"


@pytest.mark.parametrize("name", ["hooks.example", "other.example"])
def test_a_certificate_must_be_the_names(
    stores: Stores, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Although the connection goes to an address."""
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
    """What a receiver at hooks.example shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example").configure_cert(context)
    return context


def test_an_answer_without_an_end_is_read_no_further(stores: Stores, receiver: WebhookReceiver) -> None:
    """What counts is its status."""
    receiver.respond = lambda _call: CannedResponse(200, {"Content-Length": str(10**9)}, b"x" * 300_000)
    add_deliveries(stores, receiver.url(), "1")
    with running_dispatcher(stores):
        assert wait_until_finished(stores, "msg_1").state is DeliveryState.DELIVERED
    assert stores.deliveries.list_attempts("msg_1")[0].excerpt == "x" * 1024


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\x00\xff inner words\r\n\r\n", "It did not answer in valid HTTP."),
        (b"HTTP/1.1 200 OK\r\ninner words\r\n\r\n", "It did not answer in valid HTTP."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: inner\r\n\r\n", "It did not answer in valid HTTP."),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ninner\r\n", "It did not answer in valid HTTP."),
        (b"HTTP/1.1 200 OK\r\nX: " + b"inner" * 9000 + b"\r\n\r\n", "It did not answer in valid HTTP."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ninner", "It did not answer in valid HTTP."),
        (b"HTTP/1.1 200 inner\r\nX-Inner: words\r\n", "It closed the connection without a whole answer."),
        (b"", "It closed the connection without a whole answer."),
    ],
    ids=["status", "header", "length", "chunk", "long", "short", "half", "nothing"],
)
def test_nothing_of_a_broken_answer_is_told(stores: Stores, answer: bytes, words: str) -> None:
    """Neither in the attempt nor as the reason: the address may be one within this network."""
    with raw_server(answer) as port:
        stores.deliveries.add([NewDelivery("msg_1", OWNER, f"http://127.0.0.1:{port}/", "job.in_progress", "{}")])
        with running_dispatcher(stores):
            assert wait_until_finished(stores, "msg_1").reason == words
    assert [(one.error, one.excerpt) for one in stores.deliveries.list_attempts("msg_1")] == [(words, "")]


def test_where_nobody_listens_is_told_without_the_address_it_leads_to(stores: Stores) -> None:
    """In the system's words."""
    port = free_port()
    stores.deliveries.add([NewDelivery("msg_1", OWNER, f"http://inner.example:{port}/", "job.in_progress", "{}")])
    with running_dispatcher(stores, lambda _host, _port: ["127.0.0.1"]):
        assert wait_until_finished(stores, "msg_1").reason == "It takes no connection: Connection refused."


@contextmanager
def raw_server(answer: bytes) -> Iterator[int]:
    """The port of a server that says these bytes to whatever it is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            # The end of the test closes the server.
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_an_event_is_delivered_once_although_it_was_written_twice(
    stores: Stores, app: AppClient, receiver: WebhookReceiver
) -> None:
    """As when a process dies after it has written to SQL and before it has said so."""
    subscribe(stores, receiver.url())
    painter = FakeWorker(app)
    painter.start()
    painter.complete()
    [(_, fields)] = stores.redis.xrange(OUTBOX)
    assert stores.outbox.drain() == 1
    stores.redis.xadd(OUTBOX, fields)
    with running_dispatcher(stores):
        eventually(lambda: stores.redis.xlen(OUTBOX) == 0)
        eventually(lambda: all(one.state is DeliveryState.DELIVERED for one in all_deliveries(stores)))
    assert len(receiver.requests) == len(all_deliveries(stores)) == 1


def test_what_could_not_be_written_down_is_written_later(
    stores: Stores, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was away when the answer came: it is not asked for twice."""
    settle, failures = Deliveries.record_outcomes, iter([True, False, False])

    def failing(self: Deliveries, settled: list[DeliveryOutcome]) -> None:
        if next(failures):
            raise Unavailable("The database does not answer.")
        settle(self, settled)

    monkeypatch.setattr(Deliveries, "record_outcomes", failing)
    add_deliveries(stores, receiver.url(), "1")
    with running_dispatcher(stores):
        assert wait_until_finished(stores, "msg_1").state is DeliveryState.DELIVERED
    assert len(receiver.requests) == 1


def test_the_clock_writes_what_no_courier_has_written(
    stores: Stores, app: AppClient, receiver: WebhookReceiver
) -> None:
    """After a while; a courier delivers it when there is one."""
    webhook = subscribe(stores, receiver.url())
    painter = FakeWorker(app)
    painter.start()
    painter.complete()
    assert not stores.outbox.has_stale_entries()
    [(_, fields)] = stores.redis.xrange(OUTBOX)
    stores.redis.delete(OUTBOX)
    stores.redis.xadd(OUTBOX, fields, id="1-1")
    assert stores.outbox.has_stale_entries()
    Sweeper(stores).drain_stale_outbox()
    [waiting] = all_deliveries(stores)
    assert (waiting.subscription, json.loads(waiting.body)["data"]["jobId"]) == (webhook.id, painter.job_id)
