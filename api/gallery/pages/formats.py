"""Values as the pages show them: times, amounts, prices, sizes, attributes, links and addresses.

The texts come from users. Nothing here is HTML; the templates escape it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from schemas.gallery.encodings import MAX_UINT256, iso_time

WEI_DIGITS = 18
MAX_LABEL_LENGTH = 60
OPEN_EDITION_TEXT = "Open edition"
# The maximum of the date type of attributes: seconds up to the year 9999.
MAX_SECONDS = 253_402_300_799
# Shorter numbers in hexadecimal text are written out; longer ones are not amounts that a person reads.
MAX_READABLE_NUMBER = 10**15


@dataclass(frozen=True, slots=True)
class Day:
    """A day for people, and the instant for programs."""

    human: str
    machine: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a description list. ``note`` stands behind the value; ``is_code`` sets the value in a fixed pitch."""

    label: str
    value: str
    note: str = ""
    is_code: bool = False


def format_day(time_ms: int) -> Day:
    """Return a time in Unix ms as a day in UTC."""
    time = datetime.fromtimestamp(time_ms / 1000, UTC)
    return Day(f"{time.day} {time:%B %Y}", iso_time(time_ms))


def format_count(count: int, noun: str) -> str:
    """Return ``1 picture``, ``2 pictures``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_size(size_bytes: int) -> str:
    """Return a size in the largest decimal unit that fits."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1000)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} bytes"


def format_price(wei: int) -> str:
    """Return a price in ETH, exactly."""
    whole, fraction = divmod(wei, 10**WEI_DIGITS)
    return f"{whole:,}.{fraction:0{WEI_DIGITS}d}".rstrip("0").rstrip(".") + " ETH"


def format_edition(amount: str) -> str:
    """Describe an amount in hexadecimal; empty for a single piece."""
    number = int(amount, 16)
    if number == MAX_UINT256:
        return OPEN_EDITION_TEXT
    return "" if number == 1 else f"Edition of {_format_number(number)}"


def format_listing_time(text: str) -> str:
    """Return a time of a listing, in hexadecimal seconds, with its minute; ``none`` beyond the calendar."""
    seconds = int(text, 16)
    if seconds > MAX_SECONDS:
        return "none"
    time = datetime.fromtimestamp(seconds, UTC)
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def _format_number(number: int) -> str:
    return f"{number:,}" if number < MAX_READABLE_NUMBER else "a very large number"


def format_attribute(attribute: Mapping[str, Any]) -> Row:
    """Return an attribute of a token; ``display_type`` decides how its number is shown (ERC-1155, OpenSea)."""
    value, kind = attribute.get("value"), attribute.get("display_type")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = _format_numeric(value, kind)
        if maximum := attribute.get("max_value"):
            text = f"{text} of {maximum}"
    return Row(str(attribute.get("trait_type") or "Property"), text)


def _format_numeric(value: float, kind: Any) -> str:
    if kind == "date" and 0 <= value <= MAX_SECONDS:
        return format_day(round(value * 1000)).human
    text = f"{value:,}"
    if kind in ("boost_number", "boost_percentage") and value >= 0:
        text = f"+{text}"
    return f"{text} %" if kind == "boost_percentage" else text


def format_link(url: str | None) -> tuple[str, str] | None:
    """Return a web address and a short label for it; None if it is no address that is safe to link."""
    try:
        parts = urlsplit(url or "")
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or any(ord(letter) <= ord(" ") for letter in url or ""):
        return None
    label = f"{host.removeprefix('www.')}{parts.path.rstrip('/')}"
    return str(url), shorten(label, MAX_LABEL_LENGTH)


def format_address(address: str) -> str:
    """Return the beginning and the end of an address."""
    return f"{address[:6]}…{address[-4:]}"


def shorten(text: str, length: int) -> str:
    """Return ``text`` on one line, with an ellipsis if it is longer than ``length``."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
