"""The checks that a recipe file must pass as a whole, and the building of a ``Recipe`` from it."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from schemas.errors import Invalid
from schemas.fields import flatten_errors
from schemas.sites.recipe import Recipe, Step
from schemas.sites.section_schemas import (
    NAME_PATTERN,
    CanarySchema,
    CaptureSchema,
    ConsentSchema,
    DocumentSchema,
    InputSchema,
    LimitsSchema,
    LorasSchema,
    ObserveSchema,
    QuotaSchema,
    SessionSchema,
    TestedSchema,
)
from schemas.sites.step_schemas import DataclassSchema, StepSchema
from schemas.sites.templates import PLACEHOLDER

BUILT_IN_PLACEHOLDERS = frozenset({"prompt", "lora", "url"})
HOST_PATTERN = r"^([a-z0-9.-]{1,253}|[0-9a-f:]{2,45})$"
Place = tuple[str | int, ...]
INPUT_NAME_PATTERN = r"^[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*$"


def load_recipe(name: str, raw: Mapping[str, Any]) -> Recipe:
    """The recipe called ``name`` from its file's content.

    Raises:
        Invalid: something in it is missing or wrong; each problem names the key, the value and what is allowed.
    """
    try:
        recipe: Recipe = RecipeSchema().load({"name": name, **raw})
    except ValidationError as error:
        problems = [f"{name}.toml: {sentence}" for sentence in flatten_errors(error.normalized_messages(), raw)]
        raise Invalid(f"The recipe {name!r} is not valid.", problems=problems) from error
    _check_canary(recipe)
    return recipe


def _check_canary(recipe: Recipe) -> None:
    try:
        recipe.validate_inputs(recipe.canary.inputs if recipe.canary else {})
    except Invalid as error:
        problems = [f"{recipe.name}.toml: canary.inputs: {problem}" for problem in error.problems]
        raise Invalid(f"The recipe {recipe.name!r} is not valid.", problems=problems) from error


class RecipeSchema(DataclassSchema):
    """A whole recipe file."""

    builds = Recipe

    name = fields.String(required=True, validate=validate.Regexp(NAME_PATTERN))
    title = fields.String(required=True)
    description = fields.String(required=True)
    url = fields.Url(required=True, schemes={"https", "http"}, require_tld=False)
    bundle = fields.String(validate=validate.Regexp(NAME_PATTERN))
    steps = fields.List(fields.Nested(StepSchema), required=True, validate=validate.Length(min=1))
    observe = fields.Nested(ObserveSchema, required=True)
    inputs = fields.Dict(
        keys=fields.String(validate=[validate.Regexp(INPUT_NAME_PATTERN), validate.NoneOf(BUILT_IN_PLACEHOLDERS)]),
        values=fields.Nested(InputSchema),
    )
    loras = fields.Nested(LorasSchema)
    quota = fields.Nested(QuotaSchema)
    capture = fields.Nested(CaptureSchema)
    documents = fields.Dict(
        keys=fields.String(validate=validate.Regexp(NAME_PATTERN)), values=fields.Nested(DocumentSchema)
    )
    session = fields.Nested(SessionSchema)
    canary = fields.Nested(CanarySchema)
    tested = fields.Nested(TestedSchema)
    hosts = fields.List(fields.String(validate=validate.Regexp(HOST_PATTERN)))
    limits = fields.Nested(LimitsSchema)
    consent = fields.Nested(ConsentSchema, required=True)

    @validates_schema
    def one_step_submits(self, data: dict[str, Any], **_: Any) -> None:
        """The driver must know which step hands the prompt over."""
        submitting = [number for number, step in enumerate(data.get("steps", ())) if step.submits]
        if len(submitting) != 1:
            raise ValidationError("Exactly one step must have 'submits = true'.", "steps")
        if data["steps"][submitting[0]].when is not None:
            words = "A step that submits cannot be left out, so it has no 'when'."
            raise ValidationError({"steps": {submitting[0]: {"when": [words]}}})

    @validates_schema
    def names_are_known(self, data: dict[str, Any], **_: Any) -> None:
        """Placeholders, conditions and documents speak of what is declared."""
        known = BUILT_IN_PLACEHOLDERS | set(data.get("inputs", {}))
        for place, step in _steps_of(data):
            _check_placeholders(place, step.value + step.url, known)
            if step.when is not None and step.when not in known:
                raise ValidationError(_at(place, _unknown([step.when], known)))
            if step.document and step.document not in data.get("documents", {}):
                raise ValidationError(_at((*place, "document"), f"There is no [documents.{step.document}]."))
        for name, document in data.get("documents", {}).items():
            for path, value in document.fields.items():
                _check_placeholders(("documents", name, "fields", path), value, known)
        if "loras" in data:
            _check_placeholders(("loras", "syntax"), data["loras"].syntax, known)

    @validates_schema
    def done_and_capture_agree(self, data: dict[str, Any], **_: Any) -> None:
        """A picture must be somewhere."""
        done, capture = data["observe"].done, data.get("capture")
        shown = capture is None or capture.source == "shown"
        if (
            done.frames
            and shown
            and not (done.frames.pictures and done.frames.url)
            and not (capture and capture.selectors)
        ):
            raise ValidationError(
                "Say where the pictures are: here, or with 'pictures' and 'url' of observe.done.frames.", "capture"
            )

    @validates_schema
    def lora_steps_have_a_catalogue(self, data: dict[str, Any], **_: Any) -> None:
        """``addLora`` needs to know where the catalogue is."""
        for step in data.get("steps", ()):
            if step.name == "addLora" and not ("loras" in data and data["loras"].query):
                raise ValidationError("A step adds a LoRA, so this section is needed.", "loras")
            if step.name == "removeLoras" and not ("loras" in data and data["loras"].remove):
                raise ValidationError("A step removes LoRAs, so this section and its 'remove' are needed.", "loras")


def _steps_of(data: Mapping[str, Any]) -> Iterator[tuple[Place, Step]]:
    """Every step of a recipe, wherever it stands, with its place in the file."""
    lists: list[tuple[Place, tuple[Step, ...]]] = [(("steps",), data.get("steps", ()))]
    if capture := data.get("capture"):
        lists.append((("capture", "steps"), capture.steps))
    if loras := data.get("loras"):
        lists += [(("loras", "open"), loras.open), (("loras", "close"), loras.close)]
    for name, known in data.get("inputs", {}).items():
        if choices := known.choices_from:
            place: Place = ("inputs", name, "choices_from")
            lists += [((*place, "open"), choices.open), ((*place, "close"), choices.close)]
    for place, steps in lists:
        for number, step in enumerate(steps):
            yield (*place, number), step


def _check_placeholders(place: Place, text: str, known: Collection[str]) -> None:
    if "{{" in PLACEHOLDER.sub("", text):
        raise ValidationError(_at(place, "Has a '{{' that begins no placeholder: these are {{small_letters}}."))
    if unknown := sorted(set(PLACEHOLDER.findall(text)) - set(known)):
        raise ValidationError(_at(place, _unknown(unknown, known)))


def _at(place: Place, words: str) -> dict[Any, Any]:
    """A sentence at its place, as marshmallow has it."""
    inner: Any = [words]
    for key in reversed(place):
        inner = {key: inner}
    return dict(inner)


def _unknown(unknown: list[str], known: Collection[str]) -> str:
    return f"Unknown: {', '.join(unknown)}. Known: {', '.join(sorted(known))}."
