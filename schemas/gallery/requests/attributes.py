"""Attributes of tokens: a name and a value, and how it is displayed, as in the metadata of ERC-1155 tokens."""

import math
from typing import Any

from marshmallow import ValidationError, fields

from schemas.fields import CONTROL_CHARACTERS, MAX_INT64, PLAIN_TEXT, is_valid_unicode

MAX_ATTRIBUTES = 100
MAX_TRAIT_CHARS = 200
MAX_VALUE_CHARS = 2000
# The display types of numbers that galleries know; without one, a value is shown as text.
NUMBER_TYPES = ("number", "boost_number", "boost_percentage", "date")
DISPLAY_TYPES = (*NUMBER_TYPES, "string")
NUMBER = {"type": "number", "minimum": -MAX_INT64, "maximum": MAX_INT64}
VALUE = {
    "anyOf": [{"type": "string", "maxLength": MAX_VALUE_CHARS, "pattern": PLAIN_TEXT}, NUMBER, {"type": "boolean"}]
}


class Attributes(fields.Field[list[dict[str, Any]]]):
    """A list of ``{"trait_type", "value", "display_type"}``; null is an empty list.

    A strict field refuses unknown keys; otherwise they are dropped, for clients that send more.
    """

    def __init__(self, *, strict: bool = True, **kwargs: Any) -> None:
        """``kwargs`` are those of a marshmallow field."""
        super().__init__(allow_none=True, **kwargs)
        self._strict = strict

    @property
    def description(self) -> dict[str, Any]:
        """The description in OpenAPI."""
        texts = {"trait_type": {"type": "string", "maxLength": MAX_TRAIT_CHARS, "pattern": PLAIN_TEXT}}
        plain = {**texts, "value": VALUE, "display_type": {"type": ["string", "null"], "enum": ["string", None]}}
        number = {**texts, "value": NUMBER, "display_type": {"type": "string", "enum": list(NUMBER_TYPES)}}
        closed = {"additionalProperties": False} if self._strict else {}
        items: list[dict[str, Any]] = [
            {"type": "object", "properties": plain, "required": ["value"], **closed},
            {"type": "object", "properties": number, "required": ["value", "display_type"], **closed},
        ]
        example = [{"trait_type": "Style", "value": "oil painting"}]
        return {"type": ["array", "null"], "maxItems": MAX_ATTRIBUTES, "items": {"anyOf": items}, "example": example}

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        """Return the list; null and a missing value differ."""
        return [] if value is None else super().deserialize(value, attr, data, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise ValidationError("Must be a list of objects with 'trait_type' and 'value'.")
        if len(value) > MAX_ATTRIBUTES:
            raise ValidationError(f"Has {len(value)} entries; at most {MAX_ATTRIBUTES} are kept.")
        problems: dict[int, list[str]] = {}
        attributes = []
        for number, entry in enumerate(value):
            try:
                attributes.append(self._read(entry))
            except ValidationError as error:
                problems[number] = list(error.messages)
        if problems:
            raise ValidationError(problems)
        return attributes

    def _read(self, entry: Any) -> dict[str, Any]:
        if not isinstance(entry, dict):
            raise ValidationError("Must be an object with 'trait_type' and 'value'.")
        known = ("trait_type", "value", "display_type")
        if self._strict and (unknown := sorted(set(entry) - set(known))):
            raise ValidationError(f"Unknown keys: {', '.join(unknown)}.")
        display = entry.get("display_type")
        if display is not None and display not in DISPLAY_TYPES:
            raise ValidationError(f"display_type must be one of {', '.join(DISPLAY_TYPES)}.")
        attribute: dict[str, Any] = {"trait_type": _text(entry.get("trait_type", ""), "trait_type", MAX_TRAIT_CHARS)}
        attribute["value"] = _value(entry.get("value"), display)
        # Without a trait type an attribute is a property, which has only a value.
        attribute = {name: part for name, part in attribute.items() if name == "value" or part}
        return attribute | ({"display_type": display} if display else {})


def _text(value: Any, name: str, max_chars: int) -> str:
    if not isinstance(value, str) or not is_valid_unicode(value) or CONTROL_CHARACTERS.search(value):
        raise ValidationError(f"{name} must be text without control characters.")
    if len(value) > max_chars:
        raise ValidationError(f"{name} has {len(value)} characters; at most {max_chars} are kept.")
    return value


def _value(value: Any, display: str | None) -> str | int | float | bool:
    """Return a value: a text, a finite number or a boolean; with a numeric display type, a number."""
    if isinstance(value, bool) and display not in NUMBER_TYPES:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value) or abs(value) > MAX_INT64:
            raise ValidationError("value must be a finite number of at most 64 bits.")
        return value
    if display in NUMBER_TYPES:
        raise ValidationError(f"value must be a number for the display type {display}.")
    if not isinstance(value, str):
        raise ValidationError("value must be a text, a number, true or false.")
    return _text(value, "value", MAX_VALUE_CHARS)
