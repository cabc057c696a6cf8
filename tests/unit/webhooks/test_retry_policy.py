"""Retry schedule of webhook deliveries."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.webhooks.retry_policy import SCHEDULE_S, AttemptOutcome, next_delay_s, parse_response

NOW_S = 1_700_000_000.0


def middle(low: float, high: float) -> float:
    """Return the middle of the range instead of a random number."""
    return (low + high) / 2


def test_the_schedule_spans_75_hours() -> None:
    """It has ten attempts; no delay follows the last."""
    assert sum(SCHEDULE_S) / 3600 == pytest.approx(75.6, abs=0.05)
    delays = [next_delay_s(tries, AttemptOutcome(status=500), middle) for tries in range(1, len(SCHEDULE_S) + 1)]
    assert delays == [*SCHEDULE_S[1:], None]


def test_delays_have_a_jitter_of_a_fifth() -> None:
    """Deliveries that failed together do not come back together."""
    delays = [next_delay_s(2, AttemptOutcome(status=500), random.uniform) or 0 for _ in range(500)]
    assert 240 <= min(delays) < 260
    assert 340 < max(delays) <= 360


@pytest.mark.parametrize(
    ("retry_after", "delay_s"),
    [("400", 400), ("10", 300), ("9999", 600), ("0", 300), ("99999999999999999999", 600), ("soon", 300), ("-5", 300),
     ("Tue, 14 Nov 2023 22:20:00 GMT", 400), ("Tue, 14 Nov 2023 22:20:00", 400), ("Tue, 14 Nov 2000 22:20:00 GMT", 300),
     ("٣", 300), ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 300), ("Fri, 31 Dec 9999 23:59:59 -2359", 600)],
)  # fmt: skip
def test_retry_after_counts_within_bounds(retry_after: str, delay_s: float) -> None:
    """The delay is between the scheduled one and twice that."""
    outcome = parse_response(503, {"retry-after": retry_after}, "", NOW_S)
    assert next_delay_s(2, outcome, middle) == pytest.approx(delay_s)


# Generating text is slow on a busy machine.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.text(max_size=60),
        st.from_regex(r"Mon, \d{1,25} Jan \d{1,25} \d{1,25}:\d\d:\d\d [+-]?\d{1,25}", fullmatch=True),
    )
)
def test_a_malformed_retry_after_is_ignored(retry_after: str) -> None:
    """It raises nothing and does not change the outcome."""
    outcome = parse_response(200, {"retry-after": retry_after}, "", NOW_S)
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
def test_a_response_has_a_meaning(status: int, headers: dict[str, str], meaning: dict[str, Any]) -> None:
    """Only 2xx counts as delivered."""
    outcome = parse_response(status, headers, "", NOW_S)
    assert {name: getattr(outcome, name) for name in meaning} == meaning


def test_a_failure_reason_is_a_sentence() -> None:
    """It states the status, the error or the receiver's request."""
    assert AttemptOutcome(status=500).reason == "The receiver answered 500."
    assert AttemptOutcome(error="It hangs.").reason == "It hangs."
    assert "wants no more" in AttemptOutcome(status=410).reason


@pytest.mark.parametrize("wrong_s", [0, 90, -90])
def test_a_date_is_counted_from_the_responses_own_date(wrong_s: int) -> None:
    """The receiver's clock and ours may differ; without a valid date of the response ours counts."""
    now = datetime.fromtimestamp(NOW_S + wrong_s, UTC)
    headers = {"retry-after": format_datetime(now + timedelta(seconds=7))}
    for date, seconds in ((format_datetime(now), 7), ("yesterday", max(0, 7 + wrong_s)), (None, max(0, 7 + wrong_s))):
        given = headers | ({"date": date} if date else {})
        assert parse_response(503, given, "", NOW_S).retry_after_s == seconds
