"""When the windows of quotas end: days at midnight, weeks on Monday, in UTC."""

DAY_MS = 86_400_000


def compute_reset_times(now_ms: int) -> dict[str, int]:
    """When ``DAILY`` and ``WEEKLY`` quotas begin anew, Unix milliseconds."""
    days = now_ms // DAY_MS
    # 1 January 1970 was a Thursday: day 4 is the first Monday.
    until_monday = (4 - days) % 7 or 7
    return {"DAILY": (days + 1) * DAY_MS, "WEEKLY": (days + until_monday) * DAY_MS}
