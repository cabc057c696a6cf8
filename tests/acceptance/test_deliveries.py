"""Background processes that are killed while they hold webhook deliveries."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ops.testbed.stack import Stack, kill_tree
from schemas.accounts.caller import OWNER
from schemas.webhooks.subscriptions import DeliveryState
from stores.redis.keys import OUTBOX
from tests.conftest import eventually
from tests.support.killing import (
    KillOnCommand,
    await_end,
    connect_without_relay,
    eventually_with_restarts,
    run_hostile_darkroom,
    submit,
)
from tests.support.webhook_receiver import CannedResponse, ReceivedRequest, WebhookReceiver, run_receiver


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A whole Darkroom that may call this machine."""
    with run_hostile_darkroom("worker", EGRESS_ALLOW="127.0.0.0/8") as stack:
        yield stack


@pytest.fixture
def receiver(stack: Stack) -> Iterator[WebhookReceiver]:
    """A receiver with its own subscription."""
    with run_receiver() as receiver:
        subscription = stack.stores.subscriptions.create(OWNER, receiver.url(), {})
        yield receiver
        stack.stores.subscriptions.delete(OWNER, subscription.id)


def delivery_ids(receiver: WebhookReceiver, job_id: str) -> set[str]:
    """Return the ids under which deliveries about a job have arrived."""
    return {request.headers["webhook-id"] for request in receiver.requests if request.json["data"]["jobId"] == job_id}


def deliveries(stack: Stack, job_id: str) -> list[Any]:
    """Return the stored deliveries about a job."""
    return list(stack.stores.deliveries.page(OWNER, {"job_id": job_id}, None, 10)[0])


def assert_delivered_once(stack: Stack, receiver: WebhookReceiver, job_id: str) -> None:
    """Assert that one delivery has arrived, under one id, and is recorded as delivered."""
    eventually_with_restarts(stack, lambda: delivery_ids(receiver, job_id))

    def delivered() -> list[Any]:
        rows = deliveries(stack, job_id)
        return rows if all(row.state is DeliveryState.DELIVERED for row in rows) else []

    [delivery] = eventually_with_restarts(stack, delivered)
    assert delivery_ids(receiver, job_id) == {delivery.id}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("command", [b"XRANGE", b"XDEL"], ids=["before it is written", "after it is written"])
def test_a_kill_while_draining_the_outbox_loses_and_repeats_nothing(
    stack: Stack, receiver: WebhookReceiver, command: bytes
) -> None:
    """An event stays in Redis until its deliveries are in SQL; writing them twice has no effect."""
    assert stack.relay
    with connect_without_relay(stack) as direct:
        # The clock looks at the outbox too, also while it is empty.
        command += b"\r\n$%d\r\n%b\r\n" % (len(OUTBOX), OUTBOX.encode())
        kill = KillOnCommand(stack, "background", command, when=lambda: bool(direct.xlen(OUTBOX)))
        job_id, _ = submit(stack)
        eventually_with_restarts(stack, lambda: kill.triggered)
        await_end(stack, job_id)
        assert_delivered_once(stack, receiver, job_id)
        stack.relay.inspect = lambda _data: False


@pytest.mark.timeout(400)
def test_a_delivery_is_repeated_after_a_kill_during_its_request(stack: Stack, receiver: WebhookReceiver) -> None:
    """The next process sends it under the same id once the lease has expired (here it is released by hand)."""
    killed = threading.Event()

    def kill_at_the_first_request(_request: ReceivedRequest) -> CannedResponse:
        if not killed.is_set():
            kill_tree(pid)
            killed.set()
        return CannedResponse()

    pid = stack.supervisor.pid("background")
    receiver.respond = kill_at_the_first_request
    job_id, _ = submit(stack)
    # Before it is dead, the process could send what is released.
    eventually(killed.is_set)
    pending = deliveries(stack, job_id)
    assert [delivery.state for delivery in pending] == [DeliveryState.PENDING]
    stack.stores.deliveries.release(pending)
    eventually_with_restarts(stack, lambda: len(receiver.requests) >= 2)
    assert_delivered_once(stack, receiver, job_id)


@pytest.mark.timeout(400)
def test_the_clock_drains_the_outbox_without_a_background_process(stack: Stack, receiver: WebhookReceiver) -> None:
    """The clock writes the delivery, the next background process sends it."""
    kill_tree(stack.supervisor.pid("background"))
    job_id, _ = submit(stack)
    eventually(lambda: stack.stores.jobs.get(job_id).state.is_final)
    eventually(lambda: deliveries(stack, job_id))
    assert receiver.requests == []
    assert_delivered_once(stack, receiver, job_id)
