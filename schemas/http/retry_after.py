"""The Retry-After header (RFC 9110, section 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Longer than any caller waits; keeps hostile numbers short.
_MAX_DIGITS = 9


def parse_retry_after(text: str | None, now_s: float) -> float | None:
    """Return the seconds to wait, from a number of seconds or an HTTP date; None if it is absent or malformed.

    A negative number and a date in the past mean 0.
    """
    if not text:
        return None
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        return float(digits[:_MAX_DIGITS]) if digits == text else 0.0
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.fromtimestamp(now_s, UTC)).total_seconds())
