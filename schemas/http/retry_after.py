"""The Retry-After header (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# More than any caller waits; keeps the number of digits bounded.
_MAX_DIGITS = 9


def parse_retry_after(text: str | None, now_s: float) -> float | None:
    """Return the seconds to wait, from a number of seconds or an HTTP date; None if it is absent or malformed."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:_MAX_DIGITS])
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.fromtimestamp(now_s, UTC)).total_seconds())
