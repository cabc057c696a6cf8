"""Deliveries on SQLite and PostgreSQL."""

import threading

import pytest
from sqlalchemy import Engine, insert

from schemas.errors import Conflict, NotFound
from schemas.webhooks.subscriptions import Delivery, DeliveryAttempt, DeliveryState, NewDelivery
from stores.sql import tables
from stores.webhooks.deliveries import (
    DELIVERED_RETENTION_MS,
    LEASE_MS,
    PURGE_BATCH,
    Deliveries,
    DeliveryOutcome,
    destination_key,
)
from tests.conftest import FakeClock

URL = "https://example.com/hook"
DESTINATION = destination_key("bob", URL)
WEBHOOK_DESTINATION = destination_key("bob", URL, "wh_1")
MINUTE_MS = 60_000


@pytest.fixture
def deliveries(engine: Engine, clock: FakeClock) -> Deliveries:
    """The store under test."""
    return Deliveries(engine, clock)


def new_delivery(name: str, url: str = URL, owner: str = "bob", webhook: str | None = None) -> NewDelivery:
    """Build a delivery."""
    return NewDelivery(f"msg_{name}", owner, url, "job.completed", "{}", webhook, "a" * 32)


def insert_webhook(engine: Engine, webhook_id: str = "wh_1") -> None:
    """Insert an enabled webhook."""
    row = {"id": webhook_id, "owner": "bob", "url": URL, "types": "", "description": "", "secret": "", "created_at": 0}
    with engine.begin() as connection:
        connection.execute(insert(tables.webhooks).values(row))


def claim_all(deliveries: Deliveries) -> list[Delivery]:
    """Claim the due deliveries of all destinations."""
    return [delivery for key in deliveries.due_destinations() for delivery in deliveries.claim(key, 9)]


def outcome_of(
    delivery: Delivery, state: DeliveryState, next_at: int = 0, reason: str | None = None
) -> DeliveryOutcome:
    """Build the outcome of an attempt."""
    return DeliveryOutcome(delivery, DeliveryAttempt(1, 5, 500, None, "oh"), state, next_at, reason)


def test_existing_deliveries_are_not_added_again(deliveries: Deliveries) -> None:
    """Their state does not matter."""
    deliveries.add([new_delivery("1"), new_delivery("2"), new_delivery("1")])
    [first, _] = deliveries.claim(DESTINATION, 10)
    deliveries.record_outcomes([outcome_of(first, DeliveryState.DELIVERED)])
    deliveries.add([new_delivery("1"), new_delivery("2")])
    assert deliveries.get("bob", first.id).state is DeliveryState.DELIVERED
    assert len(deliveries.page("bob", {}, None, 10)[0]) == 2


def test_a_claim_holds_until_its_lease_expires(deliveries: Deliveries, clock: FakeClock) -> None:
    """A dispatcher that dies loses its claim; an outcome that it records afterwards is ignored."""
    deliveries.add([new_delivery("1")])
    assert deliveries.due_destinations() == [DESTINATION]
    [claimed] = deliveries.claim(DESTINATION, 10)
    assert claimed.body == "{}"
    assert deliveries.claim(DESTINATION, 10) == []
    assert deliveries.due_destinations() == []
    clock.advance(LEASE_MS / 1000 + 1)
    [again] = deliveries.claim(DESTINATION, 10)
    assert again.id == claimed.id
    deliveries.record_outcomes([outcome_of(claimed, DeliveryState.FAILED, reason="late")])
    assert deliveries.get("bob", "msg_1").state is DeliveryState.PENDING, "the lease has expired"
    deliveries.record_outcomes([outcome_of(again, DeliveryState.DELIVERED)])
    assert deliveries.get("bob", "msg_1").state is DeliveryState.DELIVERED
    assert len(deliveries.list_attempts("msg_1")) == 2


def test_concurrent_dispatchers_claim_each_delivery_once(deliveries: Deliveries) -> None:
    """Eight threads claim two hundred deliveries."""
    deliveries.add([new_delivery(str(number)) for number in range(200)])
    claimed: list[str] = []

    def claim_until_empty() -> None:
        while batch := deliveries.claim(DESTINATION, 5):
            claimed.extend(delivery.id for delivery in batch)

    threads = [threading.Thread(target=claim_until_empty) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while batch := deliveries.claim(DESTINATION, 5):
        # SKIP LOCKED may have hidden rows from the last claim of every thread.
        claimed.extend(delivery.id for delivery in batch)
    assert sorted(claimed) == sorted({f"msg_{number}" for number in range(200)})


def test_each_destination_has_its_own_queue(deliveries: Deliveries) -> None:
    """A destination is a caller, a webhook, and scheme, host and port."""
    urls = [
        URL,
        "https://example.com/other",
        "https://example.com:8443/",
        "https://example.org/",
        "http://example.com/",
    ]
    deliveries.add([new_delivery(str(number), url) for number, url in enumerate(urls)])
    deliveries.add(
        [new_delivery("eve", URL, owner="eve"), new_delivery("hook", webhook="wh_1"), new_delivery("b", webhook="wh_2")]
    )
    assert len(deliveries.due_destinations()) == 7
    assert {delivery.id for delivery in deliveries.claim(DESTINATION, 10)} == {"msg_0", "msg_1"}
    assert {delivery.id for delivery in deliveries.claim(WEBHOOK_DESTINATION, 10)} == {"msg_hook"}
    assert not {DESTINATION, WEBHOOK_DESTINATION} & set(deliveries.due_destinations())


def test_a_delivery_is_not_claimed_before_it_is_due(deliveries: Deliveries, clock: FakeClock) -> None:
    """Until then its destination is not due either."""
    deliveries.add([new_delivery("1")])
    [delivery] = deliveries.claim(DESTINATION, 1)
    deliveries.record_outcomes([outcome_of(delivery, DeliveryState.PENDING, clock.now_ms() + MINUTE_MS)])
    assert deliveries.due_destinations() == []
    clock.advance(61)
    [again] = deliveries.claim(DESTINATION, 1)
    assert again.tries == 1


def test_a_finished_delivery_can_be_redelivered(deliveries: Deliveries) -> None:
    """It keeps its id and restarts the retry schedule; a pending one cannot be redelivered."""
    deliveries.add([new_delivery("1")])
    with pytest.raises(Conflict):
        deliveries.redeliver("bob", "msg_1")
    [delivery] = deliveries.claim(DESTINATION, 1)
    deliveries.record_outcomes([outcome_of(delivery, DeliveryState.FAILED, reason="no")])
    assert deliveries.get("bob", "msg_1").reason == "no"
    with pytest.raises(NotFound):
        deliveries.redeliver("eve", "msg_1")
    again = deliveries.redeliver("bob", "msg_1")
    assert (again.state, again.tries, again.reason) == (DeliveryState.PENDING, 0, None)
    assert [delivery.id for delivery in deliveries.claim(DESTINATION, 9)] == ["msg_1"]


def test_failed_deliveries_since_a_time_can_be_redelivered(
    deliveries: Deliveries, engine: Engine, clock: FakeClock
) -> None:
    """Those to disabled or deleted webhooks are excluded."""
    insert_webhook(engine)
    deliveries.add([new_delivery("old")])
    clock.advance(60)
    since = clock.now_ms()
    deliveries.add([new_delivery("new"), new_delivery("hook", webhook="wh_1"), new_delivery("deleted", webhook="wh_2")])
    deliveries.add([new_delivery("good")])
    for delivery in claim_all(deliveries):
        state = DeliveryState.DELIVERED if delivery.id == "msg_good" else DeliveryState.FAILED
        deliveries.record_outcomes([outcome_of(delivery, state)])
    assert deliveries.redeliver_failed("eve", 0, None) == 0
    assert deliveries.redeliver_failed("bob", since, "wh_1") == 1
    assert deliveries.redeliver_failed("bob", since, None) == 1
    assert {delivery.id for delivery in claim_all(deliveries)} == {"msg_hook", "msg_new"}
    with pytest.raises(Conflict):
        deliveries.redeliver("bob", "msg_deleted")


def test_pending_deliveries_can_be_failed_or_redirected(deliveries: Deliveries) -> None:
    """This happens when their webhook is deleted or gets another URL."""
    deliveries.add([new_delivery("1", webhook="wh_1"), new_delivery("2", webhook="wh_2")])
    deliveries.fail_pending("wh_1", "deleted")
    deliveries.redirect_pending("wh_2", "bob", "https://example.org/new")
    assert deliveries.get("bob", "msg_1").state is DeliveryState.FAILED
    assert deliveries.due_destinations() == [destination_key("bob", "https://example.org", "wh_2")]
    [moved] = claim_all(deliveries)
    assert moved.url == "https://example.org/new"


@pytest.mark.parametrize("outcome", DeliveryState)
def test_a_delivery_failed_during_its_attempt_stays_failed(
    deliveries: Deliveries, engine: Engine, clock: FakeClock, outcome: DeliveryState
) -> None:
    """The attempt is recorded; only its owner can redeliver it."""
    insert_webhook(engine)
    deliveries.add([new_delivery("1", webhook="wh_1")])
    [claimed] = deliveries.claim(WEBHOOK_DESTINATION, 1)
    deliveries.fail_pending("wh_1", "disabled")
    deliveries.record_outcomes([outcome_of(claimed, outcome, clock.now_ms() + MINUTE_MS)])
    failed = deliveries.get("bob", "msg_1")
    assert (failed.state, failed.reason, failed.tries) == (DeliveryState.FAILED, "disabled", 0)
    assert len(deliveries.list_attempts("msg_1")) == 1
    clock.advance(LEASE_MS / 1000 + 1)
    assert deliveries.claim(WEBHOOK_DESTINATION, 1) == []
    deliveries.redeliver("bob", "msg_1")
    [again] = deliveries.claim(WEBHOOK_DESTINATION, 1)
    deliveries.record_outcomes([outcome_of(again, DeliveryState.DELIVERED)])
    assert deliveries.get("bob", "msg_1").state is DeliveryState.DELIVERED


def test_pages_list_each_delivery_once(deliveries: Deliveries, clock: FakeClock) -> None:
    """The newest comes first, and filters apply."""
    for number in range(7):
        deliveries.add([new_delivery(str(number), webhook="wh_1" if number % 2 else None)])
        clock.advance(number % 2)
    ids, cursor = [], None
    while True:
        page, cursor = deliveries.page("bob", {}, cursor, 3)
        ids += [delivery.id for delivery in page]
        if cursor is None:
            break
    assert len(ids) == len(set(ids)) == 7
    assert ids[0] == "msg_6"
    assert len(deliveries.page("bob", {"webhook": "wh_1"}, None, 9)[0]) == 3
    assert deliveries.page("bob", {"state": DeliveryState.FAILED}, None, 9) == ([], None)
    assert deliveries.page("eve", {}, None, 9) == ([], None)


@pytest.mark.parametrize("batch", [1, 2, PURGE_BATCH])
def test_old_deliveries_are_purged_with_their_attempts(
    deliveries: Deliveries, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Delivered ones are purged first, then failed ones, pending ones never, whatever is deleted at a time."""
    monkeypatch.setattr("stores.webhooks.deliveries.PURGE_BATCH", batch)
    deliveries.add([new_delivery("1"), new_delivery("2"), new_delivery("3")])
    first, second, _ = deliveries.claim(DESTINATION, 3)
    deliveries.record_outcomes([outcome_of(first, DeliveryState.DELIVERED), outcome_of(second, DeliveryState.FAILED)])
    clock.advance(DELIVERED_RETENTION_MS / 1000 + 1)
    deliveries.purge()
    assert deliveries.list_attempts(first.id) == []
    remaining = {delivery.id for delivery in deliveries.page("bob", {}, None, 9)[0]}
    assert remaining == {"msg_1", "msg_2", "msg_3"} - {first.id}
    clock.advance(30 * 86_400)
    deliveries.purge()
    assert len(deliveries.page("bob", {}, None, 9)[0]) == 1
