"""Marshmallow field types and limits shared by several schemas, and the rendering of validation errors."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields

MAX_URL_LENGTH = 2048
MAX_PROMPT_LENGTH = 4000
MAX_LORA_NAME_LENGTH = 200
# A signed 64-bit integer, the largest that SQL and Redis store.
MAX_INT64 = 2**63 - 1
# A rejected value is quoted in error messages up to this length.
MAX_QUOTED_LENGTH = 60
# A body can have a mistake in each of its values; an answer names these.
MAX_PROBLEMS = 20
# Tab, line feed and carriage return are allowed.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# The same as a pattern of JSON Schema, and a text that has a visible character besides.
PLAIN_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
_INVISIBLE = r"\x00-\x20\x7f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
VISIBLE_TEXT = rf"{PLAIN_TEXT[:-1]}[^{_INVISIBLE}]{PLAIN_TEXT[1:]}"
# JSON has one type of number, so that clients may write a whole one like this in a query as well.
WHOLE_DECIMAL = re.compile(r"[+-]?[0-9]{1,30}\.0{1,30}", re.ASCII)
_CAMEL_HUMP = re.compile(r"(?<!^)(?=[A-Z])")


def is_valid_unicode(text: str) -> bool:
    """Return whether ``text`` can be encoded; JSON escapes can produce lone surrogates, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Text(fields.String):
    """A string without control characters or lone surrogates, stripped of surrounding white space.

    ``pattern`` describes it in OpenAPI, if it is not any such text.
    """

    pattern: ClassVar[str] = ""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        sent = str(super()._deserialize(value, attr, data, **kwargs))
        text = sent.strip()
        if CONTROL_CHARACTERS.search(sent):
            raise ValidationError("Contains control characters.")
        if not is_valid_unicode(text):
            raise ValidationError("Contains half of a surrogate pair: not valid Unicode.")
        return text


class WholeNumber(fields.Integer):
    """An integer, also written as a string, and as 7.0; a fraction is rejected instead of truncated."""

    # fields.Integer(strict=True) would also reject strings, and query parameters are strings.
    def _validated(self, value: Any) -> int:
        if isinstance(value, float) and not value.is_integer():
            raise self.make_error("invalid", input=value)
        if isinstance(value, str) and WHOLE_DECIMAL.fullmatch(value):
            value = value.partition(".")[0]
        return int(super()._validated(value))


class BoundedList(fields.List[Any]):
    """A list whose length is checked before its items, each of which can be a mistake with a message of its own."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list):
            self._validate(value)
        return super()._deserialize(value, attr, data, **kwargs)


class ResponseSchema(Schema):
    """Describes JSON that a serializer builds: every field is always there, but for those with metadata ``optional``.

    Nothing is dumped through it; the tests compare it with the responses.
    """

    class Meta:
        """Clients ignore fields that they do not know."""

        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Make the field required."""
        super().on_bind_field(field_name, field_obj)
        field_obj.required = not field_obj.metadata.get("optional", False)


def to_camel_case(name: str) -> str:
    """Return the name on the wire: ``negative_prompt`` becomes ``negativePrompt``."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def to_snake_case(name: str) -> str:
    """Return the name in recipes: ``negativePrompt`` becomes ``negative_prompt``."""
    return _CAMEL_HUMP.sub("_", name).lower()


def flatten_errors(messages: Any, source: Any = None) -> Iterator[str]:
    """Yield each of marshmallow's nested messages as one sentence: path, problem, and the value found in ``source``.

    Those beyond ``MAX_PROBLEMS`` are left out.
    """
    return itertools.islice(_flatten(messages, source, ""), MAX_PROBLEMS)


def _flatten(messages: Any, source: Any, path: str) -> Iterator[str]:
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from _flatten(inner, _child(source, key), _join_path(path, key))
    elif isinstance(messages, list):
        quoted = f" (given: {_quote(source)})" if isinstance(source, str | int | float | bool) else ""
        for message in messages:
            yield f"{path}: {message}{quoted}" if path else str(message)
    else:
        yield f"{path}: {messages}"


def _child(source: Any, key: Any) -> Any:
    if isinstance(source, Mapping):
        return source.get(key)
    if isinstance(source, list) and isinstance(key, int) and key < len(source):
        return source[key]
    return None


def _join_path(path: str, key: Any) -> str:
    if key == "_schema":
        return path
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)


def _quote(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_QUOTED_LENGTH else text[:MAX_QUOTED_LENGTH] + "…"
