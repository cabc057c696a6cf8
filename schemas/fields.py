"""The field types and checks that more than one schema uses, and how their errors are told."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import ValidationError, fields

MAX_URL_LENGTH = 2048
MAX_PROMPT_LENGTH = 4000
MAX_LORA_NAME_LENGTH = 200
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CAMEL = re.compile(r"(?<!^)(?=[A-Z])")
MAX_QUOTED_LENGTH = 60
# What SQL and Redis hold as a number.
MAX_INT64 = 2**63 - 1


def is_valid_unicode(text: str) -> bool:
    """Whether ``text`` can be encoded: JSON may name half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Text(fields.String):
    """A string without control characters, stripped of white space around it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs)).strip()
        if CONTROL_CHARACTERS.search(text):
            raise ValidationError("Contains control characters.")
        if not is_valid_unicode(text):
            raise ValidationError("Contains half of a surrogate pair: not valid Unicode.")
        return text


class WholeNumber(fields.Integer):
    """An integer, also as the words of a URL; a fraction is refused and not cut off."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, float) and not value.is_integer():
            raise self.make_error("invalid", input=value)
        return int(super()._validated(value))


def to_camel_case(name: str) -> str:
    """``negative_prompt`` as it is written on the wire: ``negativePrompt``."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def to_snake_case(name: str) -> str:
    """``negativePrompt`` as it is written in a recipe: ``negative_prompt``."""
    return _CAMEL.sub("_", name).lower()


def flatten_errors(messages: Any, source: Any = None, path: str = "") -> Iterator[str]:
    """Marshmallow's nested messages as one sentence each: where, what is wrong, and the value that was given."""
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from flatten_errors(inner, _child(source, key), _join(path, key))
    elif isinstance(messages, list):
        shown = f" (given: {_short(source)})" if isinstance(source, str | int | float | bool) else ""
        for message in messages:
            yield f"{path}: {message}{shown}" if path else str(message)
    else:
        yield f"{path}: {messages}"


def _child(source: Any, key: Any) -> Any:
    if isinstance(source, Mapping):
        return source.get(key)
    if isinstance(source, list) and isinstance(key, int) and key < len(source):
        return source[key]
    return None


def _join(path: str, key: Any) -> str:
    if key == "_schema":
        return path
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_QUOTED_LENGTH else text[:MAX_QUOTED_LENGTH] + "…"
