"""The checks of a recipe's parts: one schema for each dataclass of ``schemas.sites.recipe``."""

import json
import re
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from schemas.sites.observe import FramesSpec, ObserveSpec, WatchSpec
from schemas.sites.recipe import (
    CanarySpec,
    CaptureSpec,
    ChoicesSpec,
    ConsentSpec,
    DocumentSpec,
    InputSpec,
    LorasSpec,
    QuotaSpec,
    SessionSpec,
    SiteLimits,
    TestedSpec,
)
from schemas.sites.step_schemas import DataclassSchema, SelectorsField, StepSchema
from schemas.sites.templates import resolve_path

IMAGE_SOURCES = ("src", "background-image", "canvas", "poster")
TEXT_SOURCES = ("text", "aria-valuenow", "width")
MIN_CANARY_INTERVAL_S = 60
PLAYWRIGHT_SELECTOR = re.compile(
    r":(?:has-text|text|text-is|text-matches|visible|nth-match|near|right-of|left-of|above|below)\b|>>|^internal:"
)
NAME_PATTERN = r"^[a-z][a-z0-9_-]{0,39}$"


def _is_number(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValidationError("Not a number.")


class FramesSchema(DataclassSchema):
    """What to look for in the page's own socket."""

    builds = FramesSpec

    match = fields.Dict(keys=fields.String(), values=fields.Raw())
    skip_bytes = fields.Integer(validate=validate.Range(0, 1024))
    text = fields.String()
    step = fields.String()
    steps = fields.String()
    pictures = fields.String()
    url = fields.String()

    @validates_schema
    def looks_for_something(self, data: dict[str, Any], **_: Any) -> None:
        """Every message would tell otherwise."""
        if not data.get("match") and "skip_bytes" not in data:
            raise ValidationError("Either this or 'skip_bytes' is required.", "match")


class WatchSchema(DataclassSchema):
    """An observed element; ``sources`` are those that mean something for what it tells."""

    builds = WatchSpec

    selectors = SelectorsField()
    source = fields.String()
    pattern = fields.String()
    settle_ms = fields.Integer(validate=validate.Range(0, 10_000))
    frames = fields.Nested(FramesSchema)

    def __init__(self, sources: tuple[str, ...]) -> None:
        """The first of ``sources`` is taken when none is given."""
        super().__init__()
        self._sources = sources

    @validates_schema
    def is_somewhere(self, data: dict[str, Any], **_: Any) -> None:
        """On the page, in its socket, or in either."""
        if "selectors" not in data and "frames" not in data:
            raise ValidationError("This or 'frames' is required.", "selectors")

    @validates_schema
    def page_can_look(self, data: dict[str, Any], **_: Any) -> None:
        """What is observed is looked for by the page itself, which knows none of Playwright's additions to CSS."""
        for chain in data.get("selectors", ()):
            for selector in chain:
                if found := PLAYWRIGHT_SELECTOR.search(selector):
                    words = f"{found[0]!r} in {selector!r}: what is observed is found by CSS, aria/, text/ or xpath/."
                    raise ValidationError(words, "selectors")

    @validates_schema
    def source_is_known(self, data: dict[str, Any], **_: Any) -> None:
        """A picture has other sources than a text."""
        if data.get("source", self._sources[0]) not in self._sources:
            raise ValidationError(f"Must be one of: {', '.join(self._sources)}.", "source")

    @validates_schema
    def pattern_compiles(self, data: dict[str, Any], **_: Any) -> None:
        """The pattern must be a regular expression."""
        try:
            re.compile(data.get("pattern") or "")
        except re.error as error:
            raise ValidationError(f"Not a regular expression: {error}.", "pattern") from error

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> WatchSpec:
        """The dataclass, with its source."""
        return WatchSpec(**{"source": self._sources[0], **data})


def _watch(sources: tuple[str, ...], *, required: bool = False) -> fields.Nested:
    return fields.Nested(WatchSchema(sources), required=required)


class ObserveSchema(DataclassSchema):
    """The parts of a page that tell about a running generation."""

    builds = ObserveSpec

    done = _watch(IMAGE_SOURCES, required=True)
    busy = _watch(TEXT_SOURCES)
    preview = _watch(IMAGE_SOURCES)
    progress = _watch(TEXT_SOURCES)
    error = _watch(TEXT_SOURCES)
    human = _watch(TEXT_SOURCES)


class CaptureSchema(DataclassSchema):
    """Where the finished pictures are."""

    builds = CaptureSpec

    source = fields.String(validate=validate.OneOf(["shown", "download"]))
    selectors = SelectorsField()
    many = fields.Boolean()
    steps = fields.List(fields.Nested(StepSchema))

    @validates_schema
    def downloads_have_steps(self, data: dict[str, Any], **_: Any) -> None:
        """Somebody must ask the page for the file."""
        if data.get("source") == "download" and not data.get("steps"):
            raise ValidationError("Needed where source is 'download': the steps that start it.", "steps")


def _check_path(content: Any, path: str) -> None:
    try:
        resolve_path(content, path)
    except KeyError as error:
        raise ValidationError(f"{path!r} leads nowhere in the document.", "fields") from error


class ChoicesSchema(DataclassSchema):
    """Where the page lists its choices."""

    builds = ChoicesSpec

    open = fields.List(fields.Nested(StepSchema), load_default=list)
    item = SelectorsField(required=True)
    close = fields.List(fields.Nested(StepSchema), load_default=list)


class DocumentSchema(DataclassSchema):
    """A JSON document for the page; a recipe file may name a file beside it, which is read before."""

    builds = DocumentSpec

    content = fields.String(required=True)
    fields_ = fields.Dict(data_key="fields", attribute="fields", keys=fields.String(), values=fields.String())

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> DocumentSpec:
        """The document, read."""
        try:
            document = DocumentSpec(**data | {"content": json.loads(data["content"])})
        except ValueError as error:
            raise ValidationError(f"Not JSON: {error}.", "content") from error
        for path in document.fields:
            _check_path(document.content, path)
        return document


class InputSchema(DataclassSchema):
    """A declared input."""

    builds = InputSpec

    type = fields.String(required=True, validate=validate.OneOf(["string", "integer", "number", "boolean"]))
    label = fields.String()
    minimum = fields.Raw(validate=_is_number)
    maximum = fields.Raw(validate=_is_number)
    multiple_of = fields.Integer(validate=validate.Range(min=1))
    max_length = fields.Integer(validate=validate.Range(min=1))
    choices = fields.List(fields.String())
    choices_from = fields.Nested(ChoicesSchema)
    random = fields.Boolean()
    default = fields.Raw()

    @validates_schema
    def random_has_a_range(self, data: dict[str, Any], **_: Any) -> None:
        """Only whole numbers between two bounds are drawn."""
        if data.get("random") and not (data["type"] == "integer" and {"minimum", "maximum"} <= set(data)):
            raise ValidationError("Needs type 'integer', a minimum and a maximum.", "random")

    @validates_schema
    def range_is_one(self, data: dict[str, Any], **_: Any) -> None:
        """From the least to the most."""
        if "minimum" in data and "maximum" in data and data["minimum"] > data["maximum"]:
            raise ValidationError("Is more than the maximum.", "minimum")


class LorasSchema(DataclassSchema):
    """The catalogue flow."""

    builds = LorasSpec

    open = fields.List(fields.Nested(StepSchema), load_default=list)
    close = fields.List(fields.Nested(StepSchema), load_default=list)
    query = SelectorsField()
    item = SelectorsField()
    name = SelectorsField()
    add = SelectorsField()
    remove = SelectorsField()
    syntax = fields.String()
    image = SelectorsField()
    tags = SelectorsField()
    description = SelectorsField()
    settle_ms = fields.Integer(validate=validate.Range(0, 10_000))

    @validates_schema
    def can_be_added(self, data: dict[str, Any], **_: Any) -> None:
        """By the syntax of the prompt, or in a catalogue that can be searched."""
        if "syntax" not in data:
            for key in ("query", "item", "name", "add"):
                if key not in data:
                    raise ValidationError("Needed where there is no 'syntax'.", key)
        elif "{{lora}}" not in data["syntax"]:
            raise ValidationError("Must contain {{lora}}.", "syntax")


class QuotaSchema(DataclassSchema):
    """The quota readout."""

    builds = QuotaSpec

    used = SelectorsField(required=True)
    limit = SelectorsField(required=True)


class LimitsSchema(DataclassSchema):
    """How hard the site may be driven; what is left out is gentle."""

    builds = SiteLimits

    concurrency = fields.Integer(validate=validate.Range(min=0))
    min_interval_s = fields.Float(validate=validate.Range(min=0))
    daily = fields.Integer(validate=validate.Range(min=0))


class SessionSchema(DataclassSchema):
    """The site's login."""

    builds = SessionSpec

    required = fields.Boolean()
    login_url = fields.Url(schemes={"https", "http"}, require_tld=False)
    signed_in = SelectorsField()


class CanarySchema(DataclassSchema):
    """The job that watches the page."""

    builds = CanarySpec

    every_s = fields.Integer(required=True, validate=validate.Range(min=MIN_CANARY_INTERVAL_S))
    prompt = fields.String(required=True, validate=validate.Length(1, 200))
    inputs = fields.Dict(keys=fields.String())


class TestedSchema(DataclassSchema):
    """What the recipe was run against."""

    builds = TestedSpec

    with_ = fields.String(data_key="with", required=True)
    real = fields.Boolean(required=True)


class ConsentSchema(DataclassSchema):
    """Whose page it is."""

    builds = ConsentSpec

    ownership = fields.String(required=True, validate=validate.OneOf(["own", "terms"]))
    terms_url = fields.Url(schemes={"https", "http"})

    @validates_schema
    def foreign_pages_have_terms(self, data: dict[str, Any], **_: Any) -> None:
        """A page of somebody else's needs the address of the terms that allow automation."""
        if data.get("ownership") == "terms" and not data.get("terms_url"):
            raise ValidationError("Needed where ownership is 'terms'.", "terms_url")
