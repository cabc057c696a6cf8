"""The windows of quotas: days and weeks (from Monday on) in UTC."""

DAY_MS = 86_400_000


def compute_reset_times(now_ms: int) -> dict[str, int]:
    """Return when the present ``DAILY`` and ``WEEKLY`` windows end, in Unix milliseconds."""
    day = now_ms // DAY_MS
    # 1 January 1970 was a Thursday: day 4 is the first Monday.
    days_until_monday = (4 - day) % 7 or 7
    return {"DAILY": (day + 1) * DAY_MS, "WEEKLY": (day + days_until_monday) * DAY_MS}
