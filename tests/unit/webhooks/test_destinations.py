"""How many deliveries to one destination are under way at once."""

from schemas.webhooks.retry_policy import Outcome
from schemas.webhooks.subscriptions import Delivery, DeliveryState
from workers.webhooks.destinations import AHEAD, FAILURES_TO_OPEN, FIRST_PAUSE_S, LONGEST_PAUSE_S, PLACES, Lane, Load

GOOD, BAD = Outcome(status=200), Outcome(status=500)


def load(number: int) -> Load:
    """Something to deliver."""
    state = DeliveryState.PENDING
    return Load(Delivery(f"msg_{number}", "o", None, None, "u", "t", "{}", state, 0, 0, 0, None, None), None, ())


def full(count: int = AHEAD) -> Lane:
    """A lane with so many that wait."""
    lane = Lane()
    lane.waiting.extend(load(number) for number in range(count))
    return lane


def test_some_run_and_some_wait() -> None:
    """In their order; whoever ends makes room for the next."""
    lane = full()
    assert [one.delivery.id for one in lane.begin(0)] == [f"msg_{number}" for number in range(PLACES)]
    assert list(lane.begin(0)) == []
    assert lane.room(0) == 0
    assert lane.end(GOOD, 0) == []
    assert [one.delivery.id for one in lane.begin(0)] == [f"msg_{PLACES}"]
    assert lane.room(0) == 1


def test_failures_in_a_row_open_the_circuit() -> None:
    """What waits is given back; nothing is begun until the pause is over, and then one at a time."""
    lane = full()
    list(lane.begin(0))
    given_back = [lane.end(BAD, 10.0) for _ in range(FAILURES_TO_OPEN)]
    assert [len(one) for one in given_back] == [0] * (FAILURES_TO_OPEN - 1) + [AHEAD - PLACES]
    assert lane.room(10.0) == 0
    lane.running = 0
    assert lane.room(10.0 + FIRST_PAUSE_S) == 1
    lane.waiting.extend(load(number) for number in range(3))
    assert len(list(lane.begin(10.0))) == 0
    assert len(list(lane.begin(10.0 + FIRST_PAUSE_S))) == 1


def test_a_success_in_between_keeps_it_closed() -> None:
    """Only an unbroken row counts."""
    lane = full(100)
    for _ in range(3):
        for _ in range(FAILURES_TO_OPEN - 1):
            list(lane.begin(0))
            lane.end(BAD, 0)
        lane.end(GOOD, 0)
    assert not lane.broken


def test_who_says_that_it_is_too_much_is_believed() -> None:
    """At once."""
    lane = full()
    list(lane.begin(0))
    assert len(lane.end(Outcome(status=429), 0)) == AHEAD - PLACES


def test_pauses_grow_up_to_a_limit_and_end_with_a_success() -> None:
    """Attempts that were under way when it opened lengthen nothing."""
    lane, now_s, pauses = Lane(failures=FAILURES_TO_OPEN - 1, running=2), 0.0, []
    for _ in range(8):
        lane.running = 2
        lane.end(BAD, now_s)
        lane.end(BAD, now_s + 0.5)
        pauses.append(lane.retry_at - now_s)
        now_s = lane.retry_at
    assert pauses == [FIRST_PAUSE_S * 2**number for number in range(6)] + [LONGEST_PAUSE_S] * 2
    lane.running = 1
    lane.end(GOOD, now_s)
    assert (lane.room(now_s), lane.idle) == (AHEAD, True)


def test_a_receiver_that_wants_no_more_is_not_broken() -> None:
    """It has answered well."""
    lane = Lane(failures=FAILURES_TO_OPEN - 1, running=1)
    lane.end(Outcome(status=410), 0)
    assert not lane.broken
