"""JSON inside image texts, read leniently: what cannot be parsed within the limits is None, never an error."""

import re
from typing import Any

from schemas.format_error import FormatError
from schemas.untrusted_json import JsonReader

MAX_INTEGER_DIGITS = 40
# NUL and lone surrogates, which neither databases nor UTF-8 can hold; the first group matches what stays: escaped
# backslashes and surrogate pairs.
ESCAPES = re.compile(
    r"(?P<valid>\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def _parse_int(digits: str) -> int | str:
    # Some programs write numbers that are meant as text; one of them must not cost the whole document.
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else digits


# Several programs write line breaks inside strings.
READER = JsonReader(max_chars=4_000_000, max_containers=200_000, parse_int=_parse_int, allow_control_characters=True)


def parse_json(text: str) -> Any:
    """Return the value that ``text`` encodes; None if it is not JSON or exceeds a limit."""
    if "\\u" in text:
        text = ESCAPES.sub(lambda match: match["valid"] or "\\ufffd", text)
    try:
        return READER.parse(text.strip())
    except FormatError:
        return None


def parse_object(text: str) -> dict[str, Any] | None:
    """Return the object that ``text`` encodes, or None."""
    value = parse_json(text) if text.lstrip()[:1] == "{" else None
    return value if isinstance(value, dict) else None


def find_json_end(text: str, start: int) -> int | None:
    """Return the index after the JSON value that begins at ``start``, or None."""
    return READER.find_end(text, start)
