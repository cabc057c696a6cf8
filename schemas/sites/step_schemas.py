"""Schemas of a recipe's selectors and steps, and the base class of all recipe schemas.

The description in a field's metadata is its text in the recipe reference.
"""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from schemas.sites.observe import Selectors
from schemas.sites.recipe import DEFAULT_STEP_TIMEOUT_MS, Step

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
    "upload": (),
    "open": ("selectors", "reveals"),
}
MAX_STEP_TIMEOUT_MS = 120_000
MAX_SETTLE_MS = 10_000
MAX_VIEWPORT_PX = 8192


def doc(description: str) -> dict[str, str]:
    """Return the metadata of a field with this description."""
    return {"description": description}


class SelectorsField(fields.Field[Selectors]):
    """A list of alternatives, each a selector or a chain of selectors (frame or shadow host first)."""

    def __init__(self, description: str, *, required: bool = False) -> None:
        """``description`` describes the elements that the selectors match."""
        super().__init__(required=required, metadata=doc(description))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Selectors:
        alternatives = [value] if isinstance(value, str) else value
        if not isinstance(alternatives, list) or not alternatives:
            raise ValidationError("Must be a list of selectors, at least one.")
        return tuple(self._chain(alternative) for alternative in alternatives)

    @staticmethod
    def _chain(alternative: Any) -> tuple[str, ...]:
        chain = [alternative] if isinstance(alternative, str) else alternative
        if not isinstance(chain, list) or not chain or not all(isinstance(part, str) and part for part in chain):
            raise ValidationError("Each alternative is a selector or a list of selectors.")
        return tuple(chain)


class DataclassSchema(Schema):
    """A schema that builds an instance of ``dataclass_type``, with tuples in place of lists."""

    dataclass_type: ClassVar[type]

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Any:
        """Build the instance."""
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return self.dataclass_type(**values)


class StepSchema(DataclassSchema):
    """A step; its type decides which further keys it needs."""

    dataclass_type = Step

    type = fields.String(
        required=True,
        validate=validate.OneOf(REQUIRED_KEYS),
        metadata=doc("As in Chrome's Recorder; `customStep` is an action of Darkroom, chosen by `name`."),
    )
    selectors = SelectorsField("The element; alternatives, tried in order.")
    value = fields.String(metadata=doc("What a `change` types or selects, or a `choose` selects."))
    url = fields.String(
        validate=validate.Regexp(
            r"(?i)\{\{url\}\}|https?://[^\s{]", error="Must begin with {{{{url}}}}, http:// or https://, and a host."
        ),
        metadata=doc("Where `navigate` goes, or where `upload` posts a picture; begins with `{{url}}` or http(s)."),
    )
    key = fields.String(metadata=doc("The key of `keyDown` and `keyUp`."))
    name = fields.String(
        validate=validate.OneOf(REQUIRED_CUSTOM_KEYS),
        metadata=doc(
            "`addLora`, `removeLoras`, `choose` (from a list that opens), `upload` (a document or a picture) or "
            "`open` (a tab, an accordion or the like, unless its content is already visible)."
        ),
    )
    document = fields.String(metadata=doc("The document that `upload` sends."))
    image = fields.String(metadata=doc("The image input whose picture `upload` sends; skipped if the job has none."))
    field = fields.String(metadata=doc("With `url`: the form field of the picture; default `image`."))
    answer = fields.String(
        metadata=doc(
            "With `url`: where the JSON response names the picture, for the input's placeholder; default `name`."
        )
    )
    reveals = SelectorsField(
        "What `open` makes visible: if nothing of it is, the elements of `selectors` are clicked in turn until it is."
    )
    width = fields.Integer(validate=validate.Range(1, MAX_VIEWPORT_PX), metadata=doc("Viewport width in pixels."))
    height = fields.Integer(validate=validate.Range(1, MAX_VIEWPORT_PX), metadata=doc("Viewport height in pixels."))
    x = fields.Integer(metadata=doc("Pixels to scroll to the right."))
    y = fields.Integer(metadata=doc("Pixels to scroll down."))
    count = fields.Integer(
        validate=validate.Range(min=0), metadata=doc("Accepted because the Recorder writes it; one element is enough.")
    )
    visible = fields.Boolean(metadata=doc("Whether `waitForElement` waits until the element is visible."))
    timeout_ms = fields.Integer(
        data_key="timeout",
        validate=validate.Range(1, MAX_STEP_TIMEOUT_MS),
        metadata=doc(f"Milliseconds to wait for the element or the page; default {DEFAULT_STEP_TIMEOUT_MS}."),
    )
    when = fields.String(metadata=doc("An input; without it the step is skipped."))
    settle_ms = fields.Integer(
        validate=validate.Range(0, MAX_SETTLE_MS),
        metadata=doc("Milliseconds to pause after the step, before waiting for the page to be idle."),
    )
    submits = fields.Boolean(metadata=doc("True for the one step that submits the prompt."))

    @validates_schema
    def require_keys_of_type(self, data: dict[str, Any], **_: Any) -> None:
        """Require the keys of the step's type."""
        if "name" in data and data["type"] != "customStep":
            raise ValidationError("Only a step of type 'customStep' has this key.", "name")
        kind = f"type {data['type']!r}" if "name" not in data else f"name {data['name']!r}"
        for key in REQUIRED_KEYS.get(data["type"], ()) + REQUIRED_CUSTOM_KEYS.get(data.get("name", ""), ()):
            if key not in data:
                raise ValidationError(f"A step of {kind} needs this key.", key)

    @validates_schema
    def check_upload(self, data: dict[str, Any], **_: Any) -> None:
        """Require of an ``upload`` one thing to send and one place for it; reject these keys elsewhere."""
        for key in ("document", "image", "field", "answer"):
            if key in data and data.get("name") != "upload":
                raise ValidationError("Only a step of name 'upload' has this key.", key)
        if data.get("name") != "upload":
            return
        if ("document" in data) == ("image" in data):
            raise ValidationError("An upload needs either this or 'image'.", "document")
        if ("selectors" in data) == ("url" in data) or ("url" in data and "document" in data):
            raise ValidationError("An upload needs this key, or for an image either this or 'url'.", "selectors")

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Step:
        """Build the step; an upload of a picture is skipped if there is none."""
        when = {"when": data["image"]} if "image" in data else {}
        step: Step = super().build({**when, **data})
        return step
