"""Properties of OpenAPI for the fields of this application that say more than marshmallow's."""

from typing import Any

from marshmallow import fields, validate

from schemas.fields import PLAIN_TEXT, VISIBLE_TEXT, Text
from schemas.gallery.requests.attributes import Attributes
from schemas.gallery.requests.fields import Uint256
from schemas.library.requests import MAX_TAG_CHARS, MAX_TAGS, StringList

TAGS: dict[str, Any] = {
    "type": "array",
    "maxItems": MAX_TAGS,
    "items": {"type": "string", "maxLength": MAX_TAG_CHARS, "pattern": PLAIN_TEXT},
}


def describe_text(_converter: Any, field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    """Return the pattern of a text: its class's own, or that of texts with or without a visible character."""
    if not isinstance(field, Text) or "pattern" in ret or "enum" in ret:
        return {}
    has_content = any(isinstance(rule, validate.Length) and rule.min for rule in field.validators)
    return {"pattern": field.pattern or (VISIBLE_TEXT if has_content else PLAIN_TEXT)}


def describe_special(_converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    """Return the properties of fields that read several types."""
    if isinstance(field, StringList):
        nothing = [{"type": "null"}] if field.allow_none else []
        return {"anyOf": [TAGS, {"type": "string", "maxLength": MAX_TAG_CHARS, "pattern": PLAIN_TEXT}, *nothing]}
    if isinstance(field, Uint256 | Attributes):
        return field.description
    if isinstance(field, fields.Enum) and all(isinstance(each.value, str) for each in field.enum):
        return {"type": ["string", "null"] if field.allow_none else "string"}
    return {}


def describe_query_list(_converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    """Return how a list stands in a query: separated by commas."""
    return {"style": "form", "explode": False, "schema": TAGS} if isinstance(field, StringList) else {}
