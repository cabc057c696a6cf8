"""The Retry-After header (RFC 9110, section 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Longer than any caller waits; keeps hostile numbers short.
_MAX_DIGITS = 9


def parse_retry_after(text: str | None, now_s: float, date: str | None = None) -> float | None:
    """Return the seconds to wait, from a number of seconds or an HTTP date; None if it is absent or malformed.

    A negative number and a date in the past mean 0. ``date`` is the response's own time (its Date header), from which a
    date is counted if possible: our clock or the sender's may be wrong.
    """
    if not text:
        return None
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        return float(digits[:_MAX_DIGITS]) if digits == text else 0.0
    until = _parse_date(text)
    if until is None:
        return None
    now = _parse_date(date or "") or datetime.fromtimestamp(now_s, UTC)
    return max(0.0, (until - now).total_seconds())


def _parse_date(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed
