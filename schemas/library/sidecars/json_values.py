"""How strangers' JSON is read: bytes to a document with limits, and its values one by one. Pure.

A value that is not what it should be is nothing, and costs no other one.
"""

import codecs
import contextlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from schemas.library.sanitize import MAX_LINE_CHARS, clean_line, clean_multiline

MAX_SIDECAR_BYTES = 8 * 1024 * 1024
DEEPEST = 100
MAX_WORDS = 500
MAX_INT64 = 2**63 - 1
# Seeds are 64 bits without a sign.
MAX_SEED = 2**64 - 1
_LONGEST_NUMBER = 20
_DIGITS = re.compile(r"-?\d{1,20}", re.ASCII)
_URL = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)


class SidecarError(ValueError):
    """A file cannot be read at all; ``code`` is stable, the message is a sentence for people.

    Codes: ``too_large``, ``not_text``, ``not_json``, ``too_deep``, ``wrong_shape``.
    """

    def __init__(self, code: str, message: str) -> None:
        """``code`` is one word of the report."""
        super().__init__(message)
        self.code = code


def load_sidecar(raw: bytes) -> dict[str, Any]:
    """The document of a sidecar: a JSON object. NaN, infinities and numbers that no database takes become None.

    Raises:
        SidecarError: it is none.
    """
    if len(raw) > MAX_SIDECAR_BYTES:
        raise SidecarError("too_large", f"The file has {len(raw)} bytes; {MAX_SIDECAR_BYTES} are allowed.")
    document = parse_json(_decoded(raw))
    if not isinstance(document, dict):
        raise SidecarError("wrong_shape", "The file is JSON, but no object: '{' was expected at its beginning.")
    return document


def parse_json(written: str) -> Any:
    """What a JSON text says.

    Raises:
        SidecarError: it is none, or nested too deeply.
    """
    try:
        document = json.loads(written, parse_constant=_no_constant, parse_int=_whole, parse_float=_fraction)
    except RecursionError as error:
        raise SidecarError("too_deep", f"The file is nested more than {DEEPEST} levels deep.") from error
    except ValueError as error:
        raise SidecarError("not_json", f"The file is not JSON: {str(error)[:100]}") from error
    _check_depth(document)
    return document


def as_object(value: Any) -> Mapping[str, Any]:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any, most: int) -> Iterator[Mapping[str, Any]]:
    """The objects of a list."""
    return (one for one in (value[:most] if isinstance(value, list) else ()) if isinstance(one, dict))


def as_line(value: Any) -> str | None:
    """A text of one line."""
    return clean_line(value) or None if isinstance(value, str) else None


def as_text(value: Any) -> str | None:
    """A text that may have several lines."""
    return clean_multiline(value) or None if isinstance(value, str) else None


def as_words(value: Any) -> tuple[str, ...]:
    """A list of one-line texts, each once; one text is a list of one. Old answers have objects with a name in it."""
    listed = value if isinstance(value, list) else [value]
    named = (one.get("name") if isinstance(one, dict) else one for one in listed[:MAX_WORDS])
    return tuple(dict.fromkeys(word for word in map(as_line, named) if word))


def as_integer(value: Any, most: int = MAX_INT64) -> int | None:
    """A whole number, also in digits."""
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and -most <= value <= most else None


def as_id(value: Any) -> int | None:
    """A catalogue's id: a whole number above zero."""
    found = as_integer(value)
    return found if found and found > 0 else None


def as_number(value: Any) -> float | None:
    """A number, also in words; finite."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < 1e15 else None


def as_utc_time(value: Any) -> str | None:
    """A time as ISO 8601 in UTC with a Z; one that does not say where is meant so, as old answers are."""
    if not isinstance(value, str) or len(value) > MAX_LINE_CHARS:
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    precision = "milliseconds" if found.microsecond >= 1000 else "seconds"
    return found.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def as_url(value: Any) -> str | None:
    """An address in the web."""
    found = as_line(value)
    return found if found and _URL.fullmatch(found) else None


def drop_empty(**values: Any) -> dict[str, Any]:
    """Those of the values that say something."""
    return {name: value for name, value in values.items() if value is not None and value not in ((), {}, [], "")}


def _decoded(raw: bytes) -> str:
    for encoding in _encodings(raw):
        with contextlib.suppress(UnicodeDecodeError):
            return raw.decode(encoding)
    raise SidecarError("not_text", "The file is no text in UTF-8, nor in what Windows writes.")


def _encodings(raw: bytes) -> Iterator[str]:
    """UTF-8, or what programs write that ask the system: UTF-16 with its mark, Chinese or western Windows."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield "utf-16"
        return
    yield "utf-8-sig"
    yield from ("gbk", "cp1252") if _looks_chinese(raw) else ("cp1252", "gbk")


def _looks_chinese(raw: bytes) -> bool:
    """Whether what is not ASCII is mostly common Chinese. Letters with accents make rare characters, if any."""
    try:
        foreign = [character for character in raw.decode("gbk") if not character.isascii()]
    except UnicodeDecodeError:
        return False
    return len("".join(foreign).encode("gb2312", errors="ignore")) // 2 > 0.8 * len(foreign)


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(DEEPEST):
        holders = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [inner for holder in holders for inner in holder]
        if not level:
            return
    raise SidecarError("too_deep", f"The file is nested more than {DEEPEST} levels deep.")


def _no_constant(_word: str) -> None:
    return None


def _whole(digits: str) -> int | None:
    found = int(digits) if len(digits) <= _LONGEST_NUMBER else None
    return found if found is not None and -MAX_INT64 <= found <= MAX_SEED else None


def _fraction(digits: str) -> float | None:
    found = float(digits)
    return found if math.isfinite(found) else None
