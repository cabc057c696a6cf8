"""Couriers that die at the worst moments, and the deliveries that they had in hand."""

from collections.abc import Iterator
from typing import Any

import pytest

from ops.testbed.stack import Stack, kill_tree
from schemas.accounts.caller import OWNER
from schemas.webhooks.subscriptions import DeliveryState
from stores.webhooks.outbox import OUTBOX
from tests.conftest import eventually
from tests.support.killing import KillOnCommand, await_end, eventually_with_restarts, run_hostile_darkroom, submit
from tests.support.webhook_receiver import CannedResponse, ReceivedRequest, WebhookReceiver, run_receiver


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """A whole Darkroom that may call this machine."""
    with run_hostile_darkroom("worker", EGRESS_ALLOW="127.0.0.0/8") as running:
        yield running


@pytest.fixture
def receiver(running: Stack) -> Iterator[WebhookReceiver]:
    """A receiver with a webhook of its own."""
    with run_receiver() as receiver:
        webhook = running.stores.subscriptions.create(OWNER, receiver.url(), {})
        yield receiver
        running.stores.subscriptions.delete(OWNER, webhook.id)


def ids_of(receiver: WebhookReceiver, job_id: str) -> set[str]:
    """Under which ids the end of a job has come."""
    return {call.headers["webhook-id"] for call in receiver.requests if call.json["data"]["jobId"] == job_id}


def assert_told_once(running: Stack, receiver: WebhookReceiver, job_id: str) -> None:
    """It has come, under one id, and is known to have come."""
    eventually_with_restarts(running, lambda: ids_of(receiver, job_id))

    def all_delivered() -> list[Any]:
        found = running.stores.deliveries.page(OWNER, {"job_id": job_id}, None, 10)[0]
        return found if all(one.state is DeliveryState.DELIVERED for one in found) else []

    [delivery] = eventually_with_restarts(running, all_delivered)
    assert ids_of(receiver, job_id) == {delivery.id}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("words", [b"XRANGE", b"XDEL"], ids=["before it is written", "after it is written"])
def test_a_courier_killed_at_the_outbox_loses_and_doubles_nothing(
    running: Stack, receiver: WebhookReceiver, words: bytes
) -> None:
    """The event is in Redis until its deliveries are in SQL; written twice they are the same."""
    trap = KillOnCommand(running, "courier", words, when=lambda: True)
    assert running.relay
    inner = running.relay.inspect
    running.relay.inspect = lambda data: OUTBOX.encode() in data and inner(data)
    job_id, _ = submit(running)
    eventually_with_restarts(running, lambda: trap.triggered)
    await_end(running, job_id)
    assert_told_once(running, receiver, job_id)
    running.relay.inspect = lambda _data: False


@pytest.mark.timeout(240)
def test_a_courier_killed_while_it_delivers_leaves_it_to_the_next(running: Stack, receiver: WebhookReceiver) -> None:
    """Once its lease is over (here it is ended by hand); the receiver hears the same id again."""

    def kill_the_first(_call: ReceivedRequest) -> CannedResponse:
        if len(receiver.requests) == 1:
            kill_tree(running.supervisor.pid("courier"))
        return CannedResponse()

    receiver.respond = kill_the_first
    job_id, _ = submit(running)
    eventually_with_restarts(running, lambda: receiver.requests)
    held = running.stores.deliveries.page(OWNER, {"job_id": job_id}, None, 10)[0]
    assert [one.state for one in held] == [DeliveryState.PENDING]
    running.stores.deliveries.release(held)
    eventually_with_restarts(running, lambda: len(receiver.requests) >= 2)
    assert_told_once(running, receiver, job_id)


@pytest.mark.timeout(240)
def test_without_a_courier_the_clock_writes_it(running: Stack, receiver: WebhookReceiver) -> None:
    """And the next courier delivers it."""
    kill_tree(running.supervisor.pid("courier"))
    job_id, _ = submit(running)
    eventually(lambda: running.stores.jobs.get(job_id).state.is_final)
    eventually(lambda: running.stores.deliveries.page(OWNER, {"job_id": job_id}, None, 10)[0])
    assert receiver.requests == []
    assert_told_once(running, receiver, job_id)
