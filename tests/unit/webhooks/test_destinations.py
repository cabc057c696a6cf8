"""How many deliveries to one destination are under way at once."""

from schemas.webhooks.retry_policy import AttemptOutcome
from schemas.webhooks.subscriptions import Delivery, DeliveryState
from workers.webhooks.destinations import (
    FAILURES_TO_OPEN,
    MAX_CLAIMED,
    MAX_CONCURRENT,
    MAX_PAUSE_S,
    MIN_PAUSE_S,
    DestinationQueue,
    PreparedDelivery,
)

GOOD, BAD = AttemptOutcome(status=200), AttemptOutcome(status=500)


def load(number: int) -> PreparedDelivery:
    """Something to deliver."""
    state = DeliveryState.PENDING
    return PreparedDelivery(
        Delivery(f"msg_{number}", "o", None, None, "u", "t", "{}", state, 0, 0, 0, None, None), None, ()
    )


def full(count: int = MAX_CLAIMED) -> DestinationQueue:
    """A lane with so many that wait."""
    lane = DestinationQueue()
    lane.waiting.extend(load(number) for number in range(count))
    return lane


def test_some_run_and_some_wait() -> None:
    """In their order; whoever ends makes room for the next."""
    lane = full()
    assert [one.delivery.id for one in lane.start_ready(0)] == [f"msg_{number}" for number in range(MAX_CONCURRENT)]
    assert list(lane.start_ready(0)) == []
    assert lane.capacity(0) == 0
    assert lane.finish(GOOD, 0) == []
    assert [one.delivery.id for one in lane.start_ready(0)] == [f"msg_{MAX_CONCURRENT}"]
    assert lane.capacity(0) == 1


def test_failures_in_a_row_open_the_circuit() -> None:
    """What waits is given back; nothing is begun until the pause is over, and then one at a time."""
    lane = full()
    list(lane.start_ready(0))
    given_back = [lane.finish(BAD, 10.0) for _ in range(FAILURES_TO_OPEN)]
    assert [len(one) for one in given_back] == [0] * (FAILURES_TO_OPEN - 1) + [MAX_CLAIMED - MAX_CONCURRENT]
    assert lane.capacity(10.0) == 0
    lane.running = 0
    assert lane.capacity(10.0 + MIN_PAUSE_S) == 1
    lane.waiting.extend(load(number) for number in range(3))
    assert len(list(lane.start_ready(10.0))) == 0
    assert len(list(lane.start_ready(10.0 + MIN_PAUSE_S))) == 1


def test_a_success_in_between_keeps_it_closed() -> None:
    """Only an unbroken row counts."""
    lane = full(100)
    for _ in range(3):
        for _ in range(FAILURES_TO_OPEN - 1):
            list(lane.start_ready(0))
            lane.finish(BAD, 0)
        lane.finish(GOOD, 0)
    assert not lane.is_circuit_open


def test_who_says_that_it_is_too_much_is_believed() -> None:
    """At once."""
    lane = full()
    list(lane.start_ready(0))
    assert len(lane.finish(AttemptOutcome(status=429), 0)) == MAX_CLAIMED - MAX_CONCURRENT


def test_pauses_grow_up_to_a_limit_and_end_with_a_success() -> None:
    """Attempts that were under way when it opened lengthen nothing."""
    lane, now_s, pauses = DestinationQueue(consecutive_failures=FAILURES_TO_OPEN - 1, running=2), 0.0, []
    for _ in range(8):
        lane.running = 2
        lane.finish(BAD, now_s)
        lane.finish(BAD, now_s + 0.5)
        pauses.append(lane.retry_at - now_s)
        now_s = lane.retry_at
    assert pauses == [MIN_PAUSE_S * 2**number for number in range(6)] + [MAX_PAUSE_S] * 2
    lane.running = 1
    lane.finish(GOOD, now_s)
    assert (lane.capacity(now_s), lane.is_idle) == (MAX_CLAIMED, True)


def test_a_receiver_that_wants_no_more_is_not_broken() -> None:
    """It has answered well."""
    lane = DestinationQueue(consecutive_failures=FAILURES_TO_OPEN - 1, running=1)
    lane.finish(AttemptOutcome(status=410), 0)
    assert not lane.is_circuit_open
