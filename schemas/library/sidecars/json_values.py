"""Decodes sidecars to JSON documents and converts their untrusted values.

A value of the wrong type or range becomes None, or an empty collection, and costs no other value.
"""

import codecs
import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from schemas.format_error import FormatError
from schemas.library.sanitize import MAX_LINE_CHARS, clean_line, clean_multiline
from schemas.untrusted_json import JsonReader

MAX_SIDECAR_BYTES = 8 * 1024 * 1024
MAX_WORDS = 500
MAX_INT64 = 2**63 - 1
# Seeds are unsigned 64-bit numbers.
MAX_SEED = 2**64 - 1
# The digits of MAX_SEED; converting longer numbers takes quadratic time.
_MAX_DIGITS = 20
_INTEGER = re.compile(r"-?\d{1,20}", re.ASCII)
_URL = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)


def load_sidecar(raw: bytes) -> dict[str, Any]:
    """Decode a sidecar that is a JSON object; NaN, infinities and integers beyond 64 bits become None.

    Raises:
        FormatError: ``too_large``, ``not_text``, ``not_json``, ``too_deep`` or ``wrong_shape``.
    """
    if len(raw) > MAX_SIDECAR_BYTES:
        raise FormatError("too_large", f"The file has {len(raw)} bytes; {MAX_SIDECAR_BYTES} are allowed.")
    document = parse_json(_decode(raw))
    if not isinstance(document, dict):
        raise FormatError("wrong_shape", "The file is JSON but not an object: expected '{' at its beginning.")
    return document


def parse_json(text: str) -> Any:
    """Parse a JSON text.

    Raises:
        FormatError: ``not_json`` or ``too_deep``.
    """
    return _READER.parse(text)


def as_object(value: Any) -> Mapping[str, Any]:
    """Return an object; an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any, max_items: int) -> Iterator[Mapping[str, Any]]:
    """Return the objects among the first items of a list."""
    items = value[:max_items] if isinstance(value, list) else ()
    return (item for item in items if isinstance(item, dict))


def as_line(value: Any) -> str | None:
    """Return a text as one line."""
    return clean_line(value) or None if isinstance(value, str) else None


def as_text(value: Any) -> str | None:
    """Return a text, which may have several lines."""
    return clean_multiline(value) or None if isinstance(value, str) else None


def as_word_list(value: Any) -> tuple[str, ...]:
    """Return a list of unique lines. A single text is accepted, and so are objects with a name, as in old responses."""
    items = value if isinstance(value, list) else [value]
    names = (item.get("name") if isinstance(item, dict) else item for item in items[:MAX_WORDS])
    return tuple(dict.fromkeys(line for line in map(as_line, names) if line))


def as_integer(value: Any, maximum: int = MAX_INT64) -> int | None:
    """Return an integer, also one written as a string or as a float without fraction."""
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and -maximum <= value <= maximum else None


def as_id(value: Any) -> int | None:
    """Return one of Civitai's ids, a positive integer."""
    id_ = as_integer(value)
    return id_ if id_ and id_ > 0 else None


def as_number(value: Any) -> float | None:
    """Return a finite number, also one written as a string."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e15 else None


def as_utc_time(value: Any) -> str | None:
    """Return a time as ISO 8601 in UTC with a Z. Old responses have no time zone and mean UTC."""
    if not isinstance(value, str) or len(value) > MAX_LINE_CHARS:
        return None
    try:
        time = datetime.fromisoformat(value.strip())
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    precision = "milliseconds" if time.microsecond >= 1000 else "seconds"
    return time.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def as_url(value: Any) -> str | None:
    """Return an HTTP URL."""
    url = as_line(value)
    return url if url and _URL.fullmatch(url) else None


def drop_empty(**values: Any) -> dict[str, Any]:
    """Return the values that are neither None nor empty."""
    return {name: value for name, value in values.items() if value is not None and value not in ((), {}, [], "")}


def _decode(raw: bytes) -> str:
    for encoding in _likely_encodings(raw):
        with contextlib.suppress(UnicodeDecodeError):
            return raw.decode(encoding)
    raise FormatError("not_text", "The file is not text in UTF-8, UTF-16, GBK or Windows-1252.")


def _likely_encodings(raw: bytes) -> Iterator[str]:
    """Yield UTF-8 and what programs on Windows write by default: UTF-16 with a BOM, GBK or Windows-1252."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield "utf-16"
        return
    yield "utf-8-sig"
    yield from ("gbk", "cp1252") if _looks_chinese(raw) else ("cp1252", "gbk")


def _looks_chinese(raw: bytes) -> bool:
    """Whether most of what is not ASCII is common Chinese; Windows-1252 text decoded as GBK gives rare characters."""
    try:
        foreign = [character for character in raw.decode("gbk") if not character.isascii()]
    except UnicodeDecodeError:
        return False
    return len("".join(foreign).encode("gb2312", errors="ignore")) // 2 > 0.8 * len(foreign)


def _parse_int(digits: str) -> int | None:
    number = int(digits) if len(digits) <= _MAX_DIGITS else None
    return number if number is not None and -MAX_INT64 <= number <= MAX_SEED else None


_READER = JsonReader("The file", parse_int=_parse_int)
