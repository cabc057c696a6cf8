"""Deliveries, in SQLite and in PostgreSQL."""

import threading

import pytest
from sqlalchemy import Engine, insert

from schemas.errors import Conflict, NotFound
from schemas.webhooks.subscriptions import Delivery, DeliveryAttempt, DeliveryState, NewDelivery
from stores.sql import tables
from stores.webhooks.deliveries import DELIVERED_RETENTION_MS, LEASE_MS, Deliveries, DeliveryOutcome, destination_key
from tests.conftest import FakeClock

URL = "https://example.com/hook"
DESTINATION = destination_key("bob", URL)
WEBHOOK_DESTINATION = destination_key("bob", URL, "wh_1")
MINUTE_MS = 60_000


@pytest.fixture
def deliveries(engine: Engine, clock: FakeClock) -> Deliveries:
    """The store under test."""
    return Deliveries(engine, clock)


def outgoing(name: str, url: str = URL, owner: str = "bob", webhook: str | None = None) -> NewDelivery:
    """Something to deliver."""
    return NewDelivery(f"msg_{name}", owner, url, "job.completed", "{}", webhook, "a" * 32)


def insert_webhook(engine: Engine, ident: str = "wh_1") -> None:
    """A webhook that gets deliveries."""
    row = {"id": ident, "owner": "bob", "url": URL, "types": "", "description": "", "secret": "", "created_at": 0}
    with engine.begin() as connection:
        connection.execute(insert(tables.webhooks).values(row))


def claim_all(deliveries: Deliveries) -> list[Delivery]:
    """All that is due, wherever it goes."""
    return [one for to in deliveries.due_destinations() for one in deliveries.claim(to, 9)]


def outcome_of(
    delivery: Delivery, state: DeliveryState, next_at: int = 0, reason: str | None = None
) -> DeliveryOutcome:
    """A delivery after an attempt."""
    return DeliveryOutcome(delivery, DeliveryAttempt(1, 5, 500, None, "oh"), state, next_at, reason)


def test_what_is_there_is_not_made_again(deliveries: Deliveries) -> None:
    """Whatever its state."""
    deliveries.add([outgoing("1"), outgoing("2"), outgoing("1")])
    [first, _] = deliveries.claim(DESTINATION, 10)
    deliveries.record_outcomes([outcome_of(first, DeliveryState.DELIVERED)])
    deliveries.add([outgoing("1"), outgoing("2")])
    assert deliveries.get("bob", first.id).state is DeliveryState.DELIVERED
    assert len(deliveries.page("bob", {}, None, 10)[0]) == 2


def test_one_is_taken_once_until_its_lease_is_over(deliveries: Deliveries, clock: FakeClock) -> None:
    """The courier that took it may have died."""
    deliveries.add([outgoing("1")])
    assert deliveries.due_destinations() == [DESTINATION]
    [taken] = deliveries.claim(DESTINATION, 10)
    assert taken.body == "{}"
    assert deliveries.claim(DESTINATION, 10) == []
    assert deliveries.due_destinations() == []
    clock.advance(LEASE_MS / 1000 + 1)
    [again] = deliveries.claim(DESTINATION, 10)
    assert again.id == taken.id
    deliveries.record_outcomes([outcome_of(taken, DeliveryState.FAILED, reason="late")])
    assert deliveries.get("bob", "msg_1").state is DeliveryState.PENDING, "a late courier has nothing to say"
    deliveries.record_outcomes([outcome_of(again, DeliveryState.DELIVERED)])
    assert deliveries.get("bob", "msg_1").state is DeliveryState.DELIVERED
    assert len(deliveries.list_attempts("msg_1")) == 2


def test_couriers_at_the_same_time_share_without_doing_one_twice(deliveries: Deliveries) -> None:
    """Eight threads, two hundred deliveries."""
    deliveries.add([outgoing(str(number)) for number in range(200)])
    taken: list[str] = []

    def courier() -> None:
        while batch := deliveries.claim(DESTINATION, 5):
            taken.extend(one.id for one in batch)

    threads = [threading.Thread(target=courier) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while batch := deliveries.claim(DESTINATION, 5):
        # A lock that was skipped over leaves some to whoever comes next.
        taken.extend(one.id for one in batch)
    assert sorted(taken) == sorted({f"msg_{number}" for number in range(200)})


def test_each_destination_is_a_queue_of_its_own(deliveries: Deliveries) -> None:
    """By caller, scheme, host and port; and for each webhook, so that one does not wait for another at its host."""
    urls = [
        URL,
        "https://example.com/other",
        "https://example.com:8443/",
        "https://example.org/",
        "http://example.com/",
    ]
    deliveries.add([outgoing(str(number), url) for number, url in enumerate(urls)])
    deliveries.add([outgoing("eve", URL, owner="eve"), outgoing("hook", webhook="wh_1"), outgoing("b", webhook="wh_2")])
    assert len(deliveries.due_destinations()) == 7
    assert {one.id for one in deliveries.claim(DESTINATION, 10)} == {"msg_0", "msg_1"}
    assert {one.id for one in deliveries.claim(WEBHOOK_DESTINATION, 10)} == {"msg_hook"}
    assert not {DESTINATION, WEBHOOK_DESTINATION} & set(deliveries.due_destinations())


def test_what_is_due_later_waits(deliveries: Deliveries, clock: FakeClock) -> None:
    """Until then its destination is not due."""
    deliveries.add([outgoing("1")])
    [one] = deliveries.claim(DESTINATION, 1)
    deliveries.record_outcomes([outcome_of(one, DeliveryState.PENDING, clock.now_ms() + MINUTE_MS)])
    assert deliveries.due_destinations() == []
    clock.advance(61)
    [again] = deliveries.claim(DESTINATION, 1)
    assert again.tries == 1


def test_what_has_ended_can_be_sent_again(deliveries: Deliveries) -> None:
    """Under the same id, from the start of the schedule; not while it is on its way."""
    deliveries.add([outgoing("1")])
    with pytest.raises(Conflict):
        deliveries.redeliver("bob", "msg_1")
    [one] = deliveries.claim(DESTINATION, 1)
    deliveries.record_outcomes([outcome_of(one, DeliveryState.FAILED, reason="no")])
    assert deliveries.get("bob", "msg_1").reason == "no"
    with pytest.raises(NotFound):
        deliveries.redeliver("eve", "msg_1")
    again = deliveries.redeliver("bob", "msg_1")
    assert (again.state, again.tries, again.reason) == (DeliveryState.PENDING, 0, None)
    assert [one.id for one in deliveries.claim(DESTINATION, 9)] == ["msg_1"]


def test_all_that_failed_since_can_be_sent_again(deliveries: Deliveries, engine: Engine, clock: FakeClock) -> None:
    """Those to a webhook that gets nothing any more stay."""
    insert_webhook(engine)
    deliveries.add([outgoing("old")])
    clock.advance(60)
    since = clock.now_ms()
    deliveries.add([outgoing("new"), outgoing("hook", webhook="wh_1"), outgoing("removed", webhook="wh_2")])
    deliveries.add([outgoing("good")])
    for one in claim_all(deliveries):
        good = one.id == "msg_good"
        deliveries.record_outcomes([outcome_of(one, DeliveryState.DELIVERED if good else DeliveryState.FAILED)])
    assert deliveries.redeliver_failed("eve", 0, None) == 0
    assert deliveries.redeliver_failed("bob", since, "wh_1") == 1
    assert deliveries.redeliver_failed("bob", since, None) == 1
    assert {one.id for one in claim_all(deliveries)} == {"msg_hook", "msg_new"}
    with pytest.raises(Conflict):
        deliveries.redeliver("bob", "msg_removed")


def test_what_is_on_its_way_can_be_given_up_or_sent_elsewhere(deliveries: Deliveries) -> None:
    """When its webhook is removed, or moves."""
    deliveries.add([outgoing("1", webhook="wh_1"), outgoing("2", webhook="wh_2")])
    deliveries.fail_pending("wh_1", "removed")
    deliveries.redirect_pending("wh_2", "bob", "https://example.org/new")
    assert deliveries.get("bob", "msg_1").state is DeliveryState.FAILED
    assert deliveries.due_destinations() == [destination_key("bob", "https://example.org", "wh_2")]
    [moved] = claim_all(deliveries)
    assert moved.url == "https://example.org/new"


@pytest.mark.parametrize("outcome", DeliveryState)
def test_what_was_given_up_under_way_stays_so(
    deliveries: Deliveries, engine: Engine, clock: FakeClock, outcome: DeliveryState
) -> None:
    """Its attempt is written down and changes nothing; only its owner sends it again."""
    insert_webhook(engine)
    deliveries.add([outgoing("1", webhook="wh_1")])
    [taken] = deliveries.claim(WEBHOOK_DESTINATION, 1)
    deliveries.fail_pending("wh_1", "disabled")
    deliveries.record_outcomes([outcome_of(taken, outcome, clock.now_ms() + MINUTE_MS)])
    given_up = deliveries.get("bob", "msg_1")
    assert (given_up.state, given_up.reason, given_up.tries) == (DeliveryState.FAILED, "disabled", 0)
    assert len(deliveries.list_attempts("msg_1")) == 1
    clock.advance(LEASE_MS / 1000 + 1)
    assert deliveries.claim(WEBHOOK_DESTINATION, 1) == []
    deliveries.redeliver("bob", "msg_1")
    [again] = deliveries.claim(WEBHOOK_DESTINATION, 1)
    deliveries.record_outcomes([outcome_of(again, DeliveryState.DELIVERED)])
    assert deliveries.get("bob", "msg_1").state is DeliveryState.DELIVERED


def test_pages_hang_together(deliveries: Deliveries, clock: FakeClock) -> None:
    """Newest first, filtered, each once."""
    for number in range(7):
        deliveries.add([outgoing(str(number), webhook="wh_1" if number % 2 else None)])
        clock.advance(number % 2)
    seen, cursor = [], None
    while True:
        page, cursor = deliveries.page("bob", {}, cursor, 3)
        seen += [one.id for one in page]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 7
    assert seen[0] == "msg_6"
    assert len(deliveries.page("bob", {"webhook": "wh_1"}, None, 9)[0]) == 3
    assert deliveries.page("bob", {"state": DeliveryState.FAILED}, None, 9) == ([], None)
    assert deliveries.page("eve", {}, None, 9) == ([], None)


def test_old_ones_are_forgotten_with_their_attempts(deliveries: Deliveries, clock: FakeClock) -> None:
    """Delivered ones first; what is on its way never."""
    deliveries.add([outgoing("1"), outgoing("2"), outgoing("3")])
    first, second, _ = deliveries.claim(DESTINATION, 3)
    deliveries.record_outcomes([outcome_of(first, DeliveryState.DELIVERED), outcome_of(second, DeliveryState.FAILED)])
    clock.advance(DELIVERED_RETENTION_MS / 1000 + 1)
    deliveries.purge()
    assert deliveries.list_attempts(first.id) == []
    assert {one.id for one in deliveries.page("bob", {}, None, 9)[0]} == {"msg_1", "msg_2", "msg_3"} - {first.id}
    clock.advance(30 * 86_400)
    deliveries.purge()
    assert len(deliveries.page("bob", {}, None, 9)[0]) == 1
