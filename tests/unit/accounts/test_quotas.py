"""Reset times of quotas."""

from datetime import UTC, datetime

import pytest

from stores.accounts.quota_windows import compute_reset_times


@pytest.mark.parametrize(
    ("now", "day", "week"),
    [
        ("2026-11-22T10:00:00", "2026-11-23T00:00:00", "2026-11-23T00:00:00"),
        ("2026-11-23T00:00:00", "2026-11-24T00:00:00", "2026-11-30T00:00:00"),
        ("2026-11-25T23:59:59", "2026-11-26T00:00:00", "2026-11-30T00:00:00"),
    ],
)
def test_days_reset_at_midnight_and_weeks_on_monday(now: str, day: str, week: str) -> None:
    """Both are in UTC."""

    def ms(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)

    assert {"DAILY": ms(day), "WEEKLY": ms(week)} == compute_reset_times(ms(now))
