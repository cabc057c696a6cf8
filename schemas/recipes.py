"""Owns the checks that a recipe file must pass, and the building of a ``Recipe`` from it.

Called by ``stores.recipes`` with the content of each TOML file.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from schemas.errors import Invalid
from schemas.fields import sentences
from schemas.sites import (
    Consent,
    Input,
    Limits,
    Loras,
    Observe,
    Quota,
    Recipe,
    Selectors,
    Step,
    Watch,
)

STEP_NEEDS: dict[str, tuple[str, ...]] = {
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
CUSTOM_STEPS = ("addLora",)
SOURCES = ("src", "background-image", "canvas", "poster")
LONGEST_STEP_TIMEOUT_MS = 120_000
PLACEHOLDER = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")
BUILT_IN_PLACEHOLDERS = frozenset({"prompt", "lora", "url"})


def load_recipe(name: str, raw: Mapping[str, Any]) -> Recipe:
    """The recipe called ``name`` from its file's content.

    Raises:
        Invalid: something in it is missing or wrong; each problem names the key, the value and what is allowed.
    """
    try:
        recipe: Recipe = RecipeSchema().load({"name": name, **raw})
    except ValidationError as error:
        problems = [f"{name}.toml: {sentence}" for sentence in sentences(error.normalized_messages(), raw)]
        raise Invalid(f"The recipe {name!r} is not valid.", problems=problems) from error
    return recipe


def _is_number(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValidationError("Not a number.")


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


class _Frozen(Schema):
    """A schema that refuses unknown keys and builds the dataclass named by ``builds``."""

    builds: ClassVar[type]

    class Meta:
        """Nothing is ignored in silence."""

        unknown = RAISE

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Any:
        """The frozen dataclass, with tuples for lists."""
        return self.builds(**{key: tuple(one) if isinstance(one, list) else one for key, one in data.items()})


class StepSchema(_Frozen):
    """A step; which further keys it needs follows from its type."""

    builds = Step

    type = fields.String(required=True, validate=validate.OneOf(STEP_NEEDS))
    selectors = SelectorsField()
    value = fields.String()
    url = fields.String()
    key = fields.String()
    name = fields.String(validate=validate.OneOf(CUSTOM_STEPS))
    width = fields.Integer(validate=validate.Range(1, 8192))
    height = fields.Integer(validate=validate.Range(1, 8192))
    x = fields.Integer()
    y = fields.Integer()
    count = fields.Integer(validate=validate.Range(min=0))
    visible = fields.Boolean()
    timeout_ms = fields.Integer(data_key="timeout", validate=validate.Range(1, LONGEST_STEP_TIMEOUT_MS))
    when = fields.String()
    submits = fields.Boolean()

    @validates_schema
    def has_what_its_type_needs(self, data: dict[str, Any], **_: Any) -> None:
        """Each type has keys without which it means nothing."""
        for key in STEP_NEEDS.get(data["type"], ()):
            if key not in data:
                raise ValidationError(f"A step of type {data['type']!r} needs this key.", key)


class WatchSchema(_Frozen):
    """An observed element."""

    builds = Watch

    selectors = SelectorsField(required=True)
    source = fields.String(validate=validate.OneOf(SOURCES))
    pattern = fields.String()

    @validates_schema
    def pattern_compiles(self, data: dict[str, Any], **_: Any) -> None:
        """The pattern must be a regular expression."""
        try:
            re.compile(data.get("pattern") or "")
        except re.error as error:
            raise ValidationError(f"Not a regular expression: {error}.", "pattern") from error


class ObserveSchema(_Frozen):
    """The parts of a page that tell about a running generation."""

    builds = Observe

    done = fields.Nested(WatchSchema, required=True)
    preview = fields.Nested(WatchSchema)
    progress = fields.Nested(WatchSchema)
    error = fields.Nested(WatchSchema)
    human = fields.Nested(WatchSchema)


class InputSchema(_Frozen):
    """A declared input."""

    builds = Input

    type = fields.String(required=True, validate=validate.OneOf(["string", "integer", "number", "boolean"]))
    label = fields.String()
    minimum = fields.Raw(validate=_is_number)
    maximum = fields.Raw(validate=_is_number)
    multiple_of = fields.Integer(validate=validate.Range(min=1))
    max_length = fields.Integer(validate=validate.Range(min=1))
    choices = fields.List(fields.String())
    default = fields.Raw()


class LorasSchema(_Frozen):
    """The catalogue flow."""

    builds = Loras

    open = fields.List(fields.Nested(StepSchema), load_default=list)
    close = fields.List(fields.Nested(StepSchema), load_default=list)
    query = SelectorsField(required=True)
    item = SelectorsField(required=True)
    name = SelectorsField(required=True)
    add = SelectorsField(required=True)
    image = SelectorsField()
    tags = SelectorsField()
    description = SelectorsField()
    settle_ms = fields.Integer(validate=validate.Range(0, 10_000))


class QuotaSchema(_Frozen):
    """The quota readout."""

    builds = Quota

    used = SelectorsField(required=True)
    limit = SelectorsField(required=True)


class LimitsSchema(_Frozen):
    """All three are required: nobody drives a page without having thought about it."""

    builds = Limits

    concurrency = fields.Integer(required=True, validate=validate.Range(min=0))
    min_interval_s = fields.Float(required=True, validate=validate.Range(min=0))
    daily = fields.Integer(required=True, validate=validate.Range(min=0))


class ConsentSchema(_Frozen):
    """Whose page it is."""

    builds = Consent

    ownership = fields.String(required=True, validate=validate.OneOf(["own", "terms"]))
    terms_url = fields.Url(schemes={"https", "http"})

    @validates_schema
    def foreign_pages_have_terms(self, data: dict[str, Any], **_: Any) -> None:
        """A page of somebody else's needs the address of the terms that allow automation."""
        if data.get("ownership") == "terms" and not data.get("terms_url"):
            raise ValidationError("Needed where ownership is 'terms'.", "terms_url")


class RecipeSchema(_Frozen):
    """A whole recipe file."""

    builds = Recipe

    name = fields.String(required=True, validate=validate.Regexp(r"^[a-z][a-z0-9_-]{0,39}$"))
    title = fields.String(required=True)
    description = fields.String(required=True)
    url = fields.Url(required=True, schemes={"https", "http"}, require_tld=False)
    bundle = fields.String(validate=validate.Regexp(r"^[a-z][a-z0-9_-]{0,39}$"))
    steps = fields.List(fields.Nested(StepSchema), required=True, validate=validate.Length(min=1))
    observe = fields.Nested(ObserveSchema, required=True)
    inputs = fields.Dict(
        keys=fields.String(validate=validate.Regexp(r"^[a-z][a-z0-9_]*$")), values=fields.Nested(InputSchema)
    )
    loras = fields.Nested(LorasSchema)
    quota = fields.Nested(QuotaSchema)
    limits = fields.Nested(LimitsSchema, required=True)
    consent = fields.Nested(ConsentSchema, required=True)

    @validates_schema
    def one_step_submits(self, data: dict[str, Any], **_: Any) -> None:
        """The driver must know which step hands the prompt over."""
        if sum(step.submits for step in data.get("steps", ())) != 1:
            raise ValidationError("Exactly one step must have 'submits = true'.", "steps")

    @validates_schema
    def names_are_known(self, data: dict[str, Any], **_: Any) -> None:
        """Placeholders and conditions speak of declared inputs only."""
        known = BUILT_IN_PLACEHOLDERS | set(data.get("inputs", {}))
        for number, step in enumerate(data.get("steps", ())):
            used = set(PLACEHOLDER.findall(step.value + step.url)) | ({step.when} if step.when else set())
            if unknown := sorted(used - known):
                raise ValidationError(
                    {"steps": {number: [f"Unknown: {', '.join(unknown)}. Known: {', '.join(sorted(known))}."]}}
                )

    @validates_schema
    def lora_steps_have_a_catalogue(self, data: dict[str, Any], **_: Any) -> None:
        """``addLora`` needs to know where the catalogue is."""
        if any(step.name == "addLora" for step in data.get("steps", ())) and "loras" not in data:
            raise ValidationError("A step adds a LoRA, so this section is needed.", "loras")
