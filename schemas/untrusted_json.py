"""The reader for JSON from untrusted sources: texts in images, sidecars, model headers, form fields.

``json.loads`` accepts NaN and infinities, which no other program reads, keeps the last of two equal keys, and fails
with ``RecursionError`` on deep input. ``JsonReader`` bounds all of that. Its errors are ``FormatError`` with the codes
``too_large``, ``too_deep``, ``double_key`` and ``not_json``.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from schemas.format_error import FormatError

MAX_DEPTH = 100


class JsonReader:
    """Parses JSON within limits; immutable, so one instance serves a whole module.

    ``subject`` begins the error messages, such as "The file". Numbers too large for a float become null, and so do NaN
    and infinities unless ``reject_nan``. ``parse_int`` converts the digits of integers. ``unique_keys`` rejects objects
    that have a key twice. ``allow_control_characters`` accepts line breaks inside strings.
    """

    def __init__(
        self,
        subject: str = "The text",
        *,
        max_depth: int = MAX_DEPTH,
        max_chars: int | None = None,
        max_containers: int | None = None,
        parse_int: Callable[[str], Any] = int,
        unique_keys: bool = False,
        reject_nan: bool = False,
        allow_control_characters: bool = False,
    ) -> None:
        self._subject = subject
        self._max_depth = max_depth
        self._max_chars = max_chars
        self._max_containers = max_containers
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._unique_keys if unique_keys else None,
            parse_constant=self._reject_constant if reject_nan else lambda _name: None,
            parse_float=_finite_or_none,
            parse_int=parse_int,
            strict=not allow_control_characters,
        )

    def parse(self, text: str) -> Any:
        """Return the value that ``text`` encodes; raises FormatError."""
        if self._max_chars is not None and len(text) > self._max_chars:
            raise FormatError("too_large", f"{self._subject} has more than {self._max_chars:,} characters.")
        if self._max_containers is not None and text.count("[") + text.count("{") > self._max_containers:
            raise FormatError("too_large", f"{self._subject} has more than {self._max_containers:,} lists and objects.")
        try:
            value = self._decoder.decode(text)
        except RecursionError as error:
            raise self._too_deep() from error
        except FormatError:
            raise
        except ValueError as error:
            raise FormatError("not_json", f"{self._subject} is not JSON: {str(error)[:100]}") from error
        if is_deeper_than(value, self._max_depth):
            raise self._too_deep()
        return value

    def find_end(self, text: str, start: int) -> int | None:
        """Return the index after the JSON value that begins at ``start``; None if there is no valid value."""
        try:
            return int(self._decoder.raw_decode(text, start)[1])
        except (ValueError, RecursionError):
            return None

    def _too_deep(self) -> FormatError:
        return FormatError("too_deep", f"{self._subject} is nested more than {self._max_depth} levels deep.")

    def _unique_keys(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        object_ = dict(pairs)
        if len(object_) < len(pairs):
            raise FormatError("double_key", f"{self._subject} has an object with the same key twice.")
        return object_

    def _reject_constant(self, name: str) -> Any:
        raise FormatError("not_json", f"{self._subject} is not JSON: it contains {name}.")


def is_deeper_than(value: Any, max_depth: int) -> bool:
    """Whether more than ``max_depth`` lists and objects are nested in one another; does not recurse."""
    level = _containers([value])
    for _ in range(max_depth):
        if not level:
            return False
        level = [
            child
            for container in level
            for child in _containers(container.values() if isinstance(container, Mapping) else container)
        ]
    return bool(level)


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]


def _finite_or_none(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
