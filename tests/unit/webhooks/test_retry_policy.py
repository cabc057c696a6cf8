"""When a delivery is tried again."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.webhooks.retry_policy import SCHEDULE_S, AttemptOutcome, next_delay_s, parse_response

NOW_S = 1_700_000_000.0


def middle(low: float, high: float) -> float:
    """Draws no lot."""
    return (low + high) / 2


def test_the_schedule_lasts_three_days_and_more() -> None:
    """75.6 hours, in ten attempts."""
    assert sum(SCHEDULE_S) / 3600 == pytest.approx(75.6, abs=0.05)
    delays = [next_delay_s(tries, AttemptOutcome(status=500), middle) for tries in range(1, len(SCHEDULE_S) + 1)]
    assert delays == [*SCHEDULE_S[1:], None]


def test_attempts_scatter_by_a_fifth() -> None:
    """So that what failed together does not come back together."""
    drawn = [next_delay_s(2, AttemptOutcome(status=500), random.uniform) or 0 for _ in range(500)]
    assert 240 <= min(drawn) < 260
    assert 340 < max(drawn) <= 360


@pytest.mark.parametrize(
    ("said", "delay_s"),
    [("400", 400), ("10", 300), ("9999", 600), ("0", 300), ("99999999999999999999", 600), ("soon", 300), ("-5", 300),
     ("Tue, 14 Nov 2023 22:20:00 GMT", 400), ("Tue, 14 Nov 2023 22:20:00", 400), ("Tue, 14 Nov 2000 22:20:00 GMT", 300),
     ("٣", 300), ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 300), ("Fri, 31 Dec 9999 23:59:59 -2359", 600)],
)  # fmt: skip
def test_a_receiver_may_ask_for_more_time_within_bounds(said: str, delay_s: float) -> None:
    """No less than the schedule says, and no more than twice that."""
    outcome = parse_response(503, {"retry-after": said}, "", NOW_S)
    assert next_delay_s(2, outcome, middle) == pytest.approx(delay_s)


@given(
    st.one_of(
        st.text(max_size=60),
        st.from_regex(r"Mon, \d{1,25} Jan \d{1,25} \d{1,25}:\d\d:\d\d [+-]?\d{1,25}", fullmatch=True),
    )
)
def test_a_receiver_may_ask_for_any_nonsense(said: str) -> None:
    """It has the delivery all the same."""
    outcome = parse_response(200, {"retry-after": said}, "", NOW_S)
    assert outcome.is_delivered
    assert outcome.retry_after_s is None or outcome.retry_after_s >= 0


@pytest.mark.parametrize(
    ("status", "headers", "meaning"),
    [
        (200, {}, {"is_delivered": True, "is_gone": False, "is_final": False}),
        (299, {}, {"is_delivered": True}),
        (302, {"location": "http://127.0.0.1"}, {"is_delivered": False, "is_final": False}),
        (404, {}, {"is_delivered": False, "is_final": False}),
        (410, {}, {"is_delivered": False, "is_gone": True, "is_final": True}),
        (500, {"webhook-delivery": " Disable "}, {"is_gone": True, "is_final": True}),
        (500, {"webhook-delivery": "abort-message"}, {"is_gone": False, "is_final": True}),
        (500, {"webhook-delivery": "whatever"}, {"is_gone": False, "is_final": False}),
    ],
)
def test_what_an_answer_means(status: int, headers: dict[str, str], meaning: dict[str, Any]) -> None:
    """Only 2xx is delivered."""
    outcome = parse_response(status, headers, "", NOW_S)
    assert {name: getattr(outcome, name) for name in meaning} == meaning


def test_a_reason_is_a_sentence() -> None:
    """For whoever looks at the delivery."""
    assert AttemptOutcome(status=500).reason == "The receiver answered 500."
    assert AttemptOutcome(error="It hangs.").reason == "It hangs."
    assert "wants no more" in AttemptOutcome(status=410).reason
