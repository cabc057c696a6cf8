"""JSON of strangers: read with limits on size and depth, and without what no other program could take in. Pure.

What is no number becomes null, and one number that is too long costs only itself.
"""

import json
import math
import re
from typing import Any

LONGEST_JSON = 4_000_000
MOST_CONTAINERS = 200_000
DEEPEST = 100
LONGEST_NUMBER = 40
# NUL and halves of surrogate pairs, which neither databases nor UTF-8 know; whole pairs and backslashes stay.
ESCAPES = re.compile(
    r"(?P<good>\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def read_json(text: str) -> Any:
    """What a text says; None if it is no JSON, or too much of it."""
    if len(text) > LONGEST_JSON or text.count("[") + text.count("{") > MOST_CONTAINERS:
        return None
    if "\\u" in text:
        text = ESCAPES.sub(lambda found: found["good"] or "\\ufffd", text)
    try:
        found = DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        return None
    return found if _shallow(found) else None


def read_object(text: str) -> dict[str, Any] | None:
    """The object that a text is; None if it is none."""
    found = read_json(text) if text.lstrip()[:1] == "{" else None
    return found if isinstance(found, dict) else None


def end_of_json(text: str, start: int) -> int | None:
    """Where the JSON ends that begins at ``start``; None if none does."""
    try:
        return int(DECODER.raw_decode(text, start)[1])
    except (ValueError, RecursionError):
        return None


def _shallow(found: Any) -> bool:
    level = [found]
    for _ in range(DEEPEST):
        level = [part for value in level for part in _parts(value)]
        if not level:
            return True
    return False


def _parts(value: Any) -> list[Any]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [part for part in inside if isinstance(part, dict | list)]


def _float(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _int(text: str) -> int | str:
    return int(text) if len(text) <= LONGEST_NUMBER else text


# Line breaks within texts are let pass: several programs write them.
DECODER = json.JSONDecoder(parse_float=_float, parse_int=_int, parse_constant=lambda _: None, strict=False)
