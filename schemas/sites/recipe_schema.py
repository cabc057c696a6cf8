"""The schema of a whole recipe file, with the checks across its sections."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from schemas.errors import Invalid
from schemas.fields import flatten_errors
from schemas.sites.observe_schemas import ObserveSchema
from schemas.sites.recipe import InputSpec, Recipe, Step
from schemas.sites.section_schemas import (
    CanarySchema,
    CancelSchema,
    CaptureSchema,
    ConsentSchema,
    DocumentSchema,
    InputSchema,
    LimitsSchema,
    LorasSchema,
    QuotaSchema,
    SessionSchema,
    TestedSchema,
)
from schemas.sites.step_schemas import DataclassSchema, StepSchema, doc
from schemas.sites.templates import PLACEHOLDER

BUILT_IN_PLACEHOLDERS = frozenset({"prompt", "lora", "url"})
NAME_PATTERN = r"^[a-z][a-z0-9_-]{0,39}$"
INPUT_NAME_PATTERN = r"^[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*$"
HOST_PATTERN = r"^([a-z0-9.-]{1,253}|[0-9a-f:]{2,45})$"
NO_INPUT = InputSpec("")
# The keys and list indexes that lead to a value of the file.
KeyPath = tuple[str | int, ...]


def load_recipe(name: str, raw: Mapping[str, Any]) -> Recipe:
    """Build the recipe ``name`` from the content of its file.

    Raises:
        Invalid: a key is missing or wrong; each problem names the key, the value and what is allowed.
    """
    try:
        recipe: Recipe = _recipe_schema().load({"name": name, **raw})
    except ValidationError as error:
        problems = [f"{name}.toml: {problem}" for problem in flatten_errors(error.normalized_messages(), raw)]
        raise Invalid(f"The recipe {name!r} is not valid.", problems=problems) from error
    try:
        canary_inputs = recipe.validate_inputs(recipe.canary.inputs if recipe.canary else {})
        if recipe.canary:
            recipe.require_inputs(canary_inputs)
    except Invalid as error:
        problems = [f"{name}.toml: canary.inputs: {problem}" for problem in error.problems]
        raise Invalid(f"The recipe {name!r} is not valid.", problems=problems) from error
    return recipe


@cache
def _recipe_schema() -> "RecipeSchema":
    # Made once: making it, with the schemas inside of it, takes longer than reading a recipe.
    return RecipeSchema()


class Tables(fields.Dict):
    """Tables of a recipe file, by name; a mistake is at the table's name, as in the file."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[Any, Any]:
        try:
            loaded: dict[Any, Any] = super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call] # marshmallow has no annotation
        except ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            # marshmallow says for each name whether the mistake is in the "key" or in the "value".
            merged = {name: next(iter(parts.values())) for name, parts in error.messages.items()}
            raise ValidationError(merged) from error
        return loaded


class RecipeSchema(DataclassSchema):
    """A recipe file; ``name`` comes from the name of the file."""

    dataclass_type = Recipe

    name = fields.String(required=True, validate=validate.Regexp(NAME_PATTERN))
    title = fields.String(required=True, metadata=doc("The site's name for people."))
    description = fields.String(required=True, metadata=doc("One sentence about the site."))
    url = fields.Url(
        required=True,
        schemes={"https", "http"},
        require_tld=False,
        metadata=doc("URL of the page; `SITE_<NAME>_URL` overrides it."),
    )
    bundle = fields.String(
        validate=validate.Regexp(NAME_PATTERN),
        metadata=doc("A folder of static files, served for `url` to the worker's browser only."),
    )
    steps = fields.List(
        fields.Nested(StepSchema),
        required=True,
        validate=validate.Length(min=1),
        metadata=doc("The actions on the page, in order."),
    )
    observe = fields.Nested(
        ObserveSchema,
        required=True,
        metadata=doc(
            "What is observed: `done` (required), `busy`, `until`, `started`, `preview`, `progress`, `error`, `human`; "
            "`missed` is a URL to request from the first lost connection on, or from the submission if the page is not "
            "connected then; an answer that comes twice in a row is read as the message `{missed = JSON}`."
        ),
    )
    inputs = Tables(
        keys=fields.String(validate=[validate.Regexp(INPUT_NAME_PATTERN), validate.NoneOf(BUILT_IN_PLACEHOLDERS)]),
        values=fields.Nested(InputSchema),
        metadata=doc("The inputs that the site accepts besides the prompt, by name."),
    )
    loras = fields.Nested(LorasSchema, metadata=doc("How a LoRA is found and added."))
    quota = fields.Nested(QuotaSchema, metadata=doc("Where the page shows its own quota."))
    capture = fields.Nested(CaptureSchema, metadata=doc("Where the finished pictures are."))
    cancel = fields.Nested(
        CancelSchema, metadata=doc("How the program is stopped when a job is cancelled or exceeds its time.")
    )
    documents = Tables(
        keys=fields.String(validate=validate.Regexp(NAME_PATTERN)),
        values=fields.Nested(DocumentSchema),
        metadata=doc("JSON documents for the page, by name."),
    )
    session = fields.Nested(SessionSchema, metadata=doc("The login of the site."))
    canary = fields.Nested(CanarySchema, metadata=doc("A small scheduled job that detects changes of the page early."))
    tested = fields.Nested(TestedSchema, metadata=doc("What the recipe was tested with."))
    deterministic = fields.Boolean(
        metadata=doc("Whether equal inputs give equal pictures, byte for byte; a rerun then compares both.")
    )
    hosts = fields.List(
        fields.String(validate=validate.Regexp(HOST_PATTERN)),
        metadata=doc("Further private hosts that the page may reach."),
    )
    limits = fields.Nested(LimitsSchema, metadata=doc("Limits of the load on the site."))
    consent = fields.Nested(ConsentSchema, required=True, metadata=doc("Who owns the page."))

    @validates_schema
    def require_one_submitting_step(self, data: dict[str, Any], **_: Any) -> None:
        """Require exactly one step that submits, without a condition."""
        submitting = [number for number, step in enumerate(data.get("steps", ())) if step.submits]
        if len(submitting) != 1:
            raise ValidationError("Exactly one step must have 'submits = true'.", "steps")
        if data["steps"][submitting[0]].when is not None:
            message = "The step that submits must not be skipped, so it cannot have 'when'."
            raise ValidationError(_at(("steps", submitting[0], "when"), message))

    @validates_schema
    def check_references(self, data: dict[str, Any], **_: Any) -> None:
        """Require placeholders, conditions and documents to refer to declared names."""
        known = BUILT_IN_PLACEHOLDERS | set(data.get("inputs", {}))
        for path, step in _all_steps(data):
            _check_placeholders(path, step.value + step.url, known)
            if step.when is not None and step.when not in known:
                raise ValidationError(_at(path, _unknown_names([step.when], known)))
            if step.document and step.document not in data.get("documents", {}):
                raise ValidationError(_at((*path, "document"), f"There is no [documents.{step.document}]."))
            if step.image and data.get("inputs", {}).get(step.image, NO_INPUT).type != "image":
                raise ValidationError(_at((*path, "image"), f"There is no [inputs.{step.image}] of type 'image'."))
        for name, spec in data.get("inputs", {}).items():
            if spec.same_size_as and data["inputs"].get(spec.same_size_as, NO_INPUT).type != "image":
                message = f"There is no [inputs.{spec.same_size_as}] of type 'image'."
                raise ValidationError(_at(("inputs", name, "same_size_as"), message))
        for name, document in data.get("documents", {}).items():
            for field_path, template in document.fields.items():
                _check_placeholders(("documents", name, "fields", field_path), template, known)
        if "loras" in data:
            _check_placeholders(("loras", "syntax"), data["loras"].syntax, known)

    @validates_schema
    def check_cancel_requests(self, data: dict[str, Any], **_: Any) -> None:
        """Allow only the placeholders that are known when a job is stopped."""
        if cancel := data.get("cancel"):
            for request in (*cancel.requests, *cancel.waiting_requests):
                _check_placeholders(("cancel",), request.url + request.body, {"url", "id"})

    @validates_schema
    def require_id_of_frames(self, data: dict[str, Any], **_: Any) -> None:
        """Require the place of the id if messages are chosen by it."""
        frames = [rule for watch in data["observe"].watches for rule in watch.frames]
        needs_id = "{{id}}" in data["observe"].missed or any("{{id}}" in rule.match.values() for rule in frames)
        if needs_id and not (data.get("cancel") and data["cancel"].id):
            raise ValidationError(_at(("cancel", "id"), "A message is chosen by {{id}}, so this key is needed."))
        _check_placeholders(("observe", "missed"), data["observe"].missed, {"url", "id"})

    @validates_schema
    def require_image_location(self, data: dict[str, Any], **_: Any) -> None:
        """Require a place to take the pictures from if ``done`` is observed in WebSocket frames."""
        frames, capture = data["observe"].done.frames, data.get("capture")
        if all(bool(entry.picture or (entry.pictures and entry.url)) for entry in frames):
            return
        if capture is None or (capture.source == "shown" and not capture.selectors):
            message = "State where the pictures are: here, or with 'pictures' and 'url' of observe.done.frames."
            raise ValidationError(message, "capture")

    @validates_schema
    def require_lora_sections(self, data: dict[str, Any], **_: Any) -> None:
        """Require the sections that ``addLora`` and ``removeLoras`` use."""
        for step in data.get("steps", ()):
            if step.name == "addLora" and not ("loras" in data and data["loras"].query):
                raise ValidationError("A step adds a LoRA, so this section is needed.", "loras")
            if step.name == "removeLoras" and not ("loras" in data and data["loras"].remove):
                raise ValidationError("A step removes LoRAs, so this section and its 'remove' are needed.", "loras")


def _all_steps(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Step]]:
    """Yield every step of a recipe, in whatever section, with its path in the file."""
    lists: list[tuple[KeyPath, tuple[Step, ...]]] = [(("steps",), data.get("steps", ()))]
    if capture := data.get("capture"):
        lists.append((("capture", "steps"), capture.steps))
    if cancel := data.get("cancel"):
        lists += [(("cancel", "steps"), cancel.steps), (("cancel", "waiting_steps"), cancel.waiting_steps)]
    if loras := data.get("loras"):
        lists += [(("loras", "open"), loras.open), (("loras", "close"), loras.close)]
    for name, spec in data.get("inputs", {}).items():
        if choices := spec.choices_from:
            section: KeyPath = ("inputs", name, "choices_from")
            lists += [((*section, "open"), choices.open), ((*section, "close"), choices.close)]
    for path, steps in lists:
        for number, step in enumerate(steps):
            yield (*path, number), step


def _check_placeholders(path: KeyPath, text: str, known: Collection[str]) -> None:
    if "{{" in PLACEHOLDER.sub("", text):
        raise ValidationError(_at(path, "Has '{{' without a placeholder; placeholders look like {{small_letters}}."))
    if unknown := sorted(set(PLACEHOLDER.findall(text)) - set(known)):
        raise ValidationError(_at(path, _unknown_names(unknown, known)))


def _at(path: KeyPath, message: str) -> dict[Any, Any]:
    """Return marshmallow's nested form of a message about the value at ``path``."""
    nested: Any = [message]
    for key in reversed(path):
        nested = {key: nested}
    return dict(nested)


def _unknown_names(unknown: list[str], known: Collection[str]) -> str:
    return f"Unknown: {', '.join(unknown)}. Known: {', '.join(sorted(known))}."
