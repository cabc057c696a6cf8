"""Concurrency and circuit breaker of the deliveries to one destination."""

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


def prepared_delivery(number: int) -> PreparedDelivery:
    """Return a pending delivery."""
    state = DeliveryState.PENDING
    return PreparedDelivery(
        Delivery(f"msg_{number}", "o", None, None, "u", "t", "{}", state, 0, 0, 0, None, None), None, ()
    )


def filled_queue(count: int = MAX_CLAIMED) -> DestinationQueue:
    """Return a queue with waiting deliveries."""
    queue = DestinationQueue()
    queue.waiting.extend(prepared_delivery(number) for number in range(count))
    return queue


def test_a_limited_number_of_deliveries_runs_at_once() -> None:
    """They start in order, and each end starts the next."""
    queue = filled_queue()
    assert [prepared.delivery.id for prepared in queue.start_ready(0)] == [
        f"msg_{number}" for number in range(MAX_CONCURRENT)
    ]
    assert list(queue.start_ready(0)) == []
    assert queue.capacity(0) == 0
    assert queue.finish(GOOD, 0) == []
    assert [prepared.delivery.id for prepared in queue.start_ready(0)] == [f"msg_{MAX_CONCURRENT}"]
    assert queue.capacity(0) == 1


def test_consecutive_failures_open_the_circuit() -> None:
    """Waiting deliveries are returned; after the pause one delivery at a time starts."""
    queue = filled_queue()
    list(queue.start_ready(0))
    returned = [queue.finish(BAD, 10.0) for _ in range(FAILURES_TO_OPEN)]
    assert [len(deliveries) for deliveries in returned] == [0] * (FAILURES_TO_OPEN - 1) + [MAX_CLAIMED - MAX_CONCURRENT]
    assert queue.capacity(10.0) == 0
    queue.running = 0
    assert queue.capacity(10.0 + MIN_PAUSE_S) == 1
    queue.waiting.extend(prepared_delivery(number) for number in range(3))
    assert len(list(queue.start_ready(10.0))) == 0
    assert len(list(queue.start_ready(10.0 + MIN_PAUSE_S))) == 1


def test_a_success_resets_the_failure_count() -> None:
    """Only consecutive failures open the circuit."""
    queue = filled_queue(100)
    for _ in range(3):
        for _ in range(FAILURES_TO_OPEN - 1):
            list(queue.start_ready(0))
            queue.finish(BAD, 0)
        queue.finish(GOOD, 0)
    assert not queue.is_circuit_open


def test_an_overloaded_receiver_opens_the_circuit_at_once() -> None:
    """One response of 429 is enough."""
    queue = filled_queue()
    list(queue.start_ready(0))
    assert len(queue.finish(AttemptOutcome(status=429), 0)) == MAX_CLAIMED - MAX_CONCURRENT


def test_pauses_double_up_to_a_limit_until_a_success() -> None:
    """Failures of attempts that ran when the circuit opened do not lengthen the pause."""
    queue, now_s, pauses = DestinationQueue(consecutive_failures=FAILURES_TO_OPEN - 1, running=2), 0.0, []
    for _ in range(8):
        queue.running = 2
        queue.finish(BAD, now_s)
        queue.finish(BAD, now_s + 0.5)
        pauses.append(queue.retry_at - now_s)
        now_s = queue.retry_at
    assert pauses == [MIN_PAUSE_S * 2**number for number in range(6)] + [MAX_PAUSE_S] * 2
    queue.running = 1
    queue.finish(GOOD, now_s)
    assert (queue.capacity(now_s), queue.is_idle) == (MAX_CLAIMED, True)


def test_a_receiver_that_is_gone_does_not_open_the_circuit() -> None:
    """A response of 410 is not a failure of the destination."""
    queue = DestinationQueue(consecutive_failures=FAILURES_TO_OPEN - 1, running=1)
    queue.finish(AttemptOutcome(status=410), 0)
    assert not queue.is_circuit_open
