"""The checks of a recipe's selectors and steps, and what all its parts have in common."""

from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from schemas.sites.observe import Selectors
from schemas.sites.recipe import Step

REQUIRED_KEYS: dict[str, tuple[str, ...]] = {
    "navigate": ("url",),
    "setViewport": ("width", "height"),
    "click": ("selectors",),
    "doubleClick": ("selectors",),
    "hover": ("selectors",),
    "change": ("selectors", "value"),
    "keyDown": ("key",),
    "keyUp": ("key",),
    "scroll": (),
    "waitForElement": ("selectors",),
    "customStep": ("name",),
}
REQUIRED_CUSTOM_KEYS: dict[str, tuple[str, ...]] = {
    "addLora": (),
    "removeLoras": (),
    "choose": ("selectors", "value"),
    "upload": ("selectors", "document"),
}
MAX_STEP_TIMEOUT_MS = 120_000


class SelectorsField(fields.Field[Selectors]):
    """A list of alternatives, each a selector or a chain of selectors (frame or shadow host first)."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Selectors:
        alternatives = [value] if isinstance(value, str) else value
        if not isinstance(alternatives, list) or not alternatives:
            raise ValidationError("Must be a list of selectors, at least one.")
        return tuple(self._chain(one) for one in alternatives)

    @staticmethod
    def _chain(one: Any) -> tuple[str, ...]:
        chain = [one] if isinstance(one, str) else one
        if not isinstance(chain, list) or not chain or not all(isinstance(part, str) and part for part in chain):
            raise ValidationError("Each alternative is a selector or a list of selectors.")
        return tuple(chain)


class DataclassSchema(Schema):
    """A schema that refuses unknown keys and builds the dataclass named by ``builds``."""

    builds: ClassVar[type]

    class Meta:
        """Nothing is ignored in silence."""

        unknown = RAISE

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Any:
        """The frozen dataclass, with tuples for lists."""
        return self.builds(**{key: tuple(one) if isinstance(one, list) else one for key, one in data.items()})


class StepSchema(DataclassSchema):
    """A step; which further keys it needs follows from its type."""

    builds = Step

    type = fields.String(required=True, validate=validate.OneOf(REQUIRED_KEYS))
    selectors = SelectorsField()
    value = fields.String()
    url = fields.String()
    key = fields.String()
    name = fields.String(validate=validate.OneOf(REQUIRED_CUSTOM_KEYS))
    document = fields.String()
    width = fields.Integer(validate=validate.Range(1, 8192))
    height = fields.Integer(validate=validate.Range(1, 8192))
    x = fields.Integer()
    y = fields.Integer()
    count = fields.Integer(validate=validate.Range(min=0))
    visible = fields.Boolean()
    timeout_ms = fields.Integer(data_key="timeout", validate=validate.Range(1, MAX_STEP_TIMEOUT_MS))
    when = fields.String()
    settle_ms = fields.Integer(validate=validate.Range(0, 10_000))
    submits = fields.Boolean()

    @validates_schema
    def has_what_its_type_needs(self, data: dict[str, Any], **_: Any) -> None:
        """Each type has keys without which it means nothing."""
        if "name" in data and data["type"] != "customStep":
            raise ValidationError("Belongs to a step of type 'customStep'.", "name")
        kind = f"type {data['type']!r}" if "name" not in data else f"name {data['name']!r}"
        for key in REQUIRED_KEYS.get(data["type"], ()) + REQUIRED_CUSTOM_KEYS.get(data.get("name", ""), ()):
            if key not in data:
                raise ValidationError(f"A step of {kind} needs this key.", key)
