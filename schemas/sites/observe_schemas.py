"""Schemas of a recipe's ``[observe]`` sections."""

import re
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from schemas.sites.observe import DEFAULT_EMPTY_MS, ErrorSpec, FramesSpec, ObserveSpec, WatchSpec
from schemas.sites.page_patterns import PatternError, compile_pattern
from schemas.sites.step_schemas import MAX_SETTLE_MS, DataclassSchema, SelectorsField, doc

IMAGE_SOURCES = ("src", "background-image", "canvas", "poster")
TEXT_SOURCES = ("text", "aria-valuenow", "width")
MAX_SKIP_BYTES = 1024
MAX_EMPTY_MS = 300_000
ERROR_KINDS = ("refused", "busy", "unavailable", "failed")
# Playwright's extensions of CSS. A script in the page does the observing, and it knows only standard selectors.
PLAYWRIGHT_SELECTOR = re.compile(
    r":(?:has-text|text|text-is|text-matches|visible|nth-match|near|right-of|left-of|above|below)\b|>>|^internal:"
)


class OneOrMore(fields.Field[tuple[Any, ...]]):
    """A table, or a list of such tables; loaded as a tuple."""

    def __init__(self, schema: fields.Nested, description: str) -> None:
        """``schema`` is that of one table."""
        super().__init__(metadata=doc(description))
        self._schema = schema

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            return (self._schema.deserialize(value, attr, data),)
        loaded, problems = [], {}
        for number, item in enumerate(value):
            try:
                loaded.append(self._schema.deserialize(item, attr, data))
            except ValidationError as error:
                problems[number] = error.messages
        if problems or not loaded:
            raise ValidationError(problems or ["Must have at least one entry."])
        return tuple(loaded)


class FramesSchema(DataclassSchema):
    """``[observe.WHAT.frames]``."""

    dataclass_type = FramesSpec

    match = fields.Dict(
        keys=fields.String(),
        values=fields.Raw(),
        metadata=doc(
            "Paths and the values, or lists of values, that a JSON message must have there to count; "
            "`{{id}}` is the id that `[cancel]` names, for messages about the jobs of several pages."
        ),
    )
    skip_bytes = fields.Integer(
        validate=validate.Range(0, MAX_SKIP_BYTES),
        metadata=doc("Count binary messages instead: those that contain an image, behind this many bytes or more."),
    )
    text = fields.String(metadata=doc("Path of the text."))
    step = fields.String(metadata=doc("Path of the number of the current step."))
    steps = fields.String(metadata=doc("Path of the number of steps."))
    fraction = fields.String(metadata=doc("Path of the progress as a number from 0 to 1."))
    picture = fields.String(metadata=doc("Path of one picture: a `data:` URL or, for `done`, any URL."))
    pictures = fields.String(
        metadata=doc("Path of the list of finished pictures, or of a single one; `*` stands for every key.")
    )
    where = fields.Dict(
        keys=fields.String(),
        values=fields.Raw(),
        metadata=doc("Fields and the values that an entry of `pictures` must have there to count."),
    )
    url = fields.String(metadata=doc("URL of a picture, with `{{url}}` and the fields of its entry as placeholders."))

    @validates_schema
    def require_match(self, data: dict[str, Any], **_: Any) -> None:
        """Reject a section that would match every message."""
        if not data.get("match") and "skip_bytes" not in data:
            raise ValidationError("Either this or 'skip_bytes' is required.", "match")


class WatchSchema(DataclassSchema):
    """``[observe.WHAT]``; ``sources`` are the sources that apply to it, the default first."""

    dataclass_type = WatchSpec

    selectors = SelectorsField("The element on the page.")
    source = fields.String(
        metadata={
            **doc("What is read: the first four for pictures (default `src`), the others for texts (default `text`)."),
            "choices": IMAGE_SOURCES + TEXT_SOURCES,
        }
    )
    pattern = fields.String(
        metadata=doc(
            "A regular expression (RE2) for the part of a text that counts; two groups are step and steps, one %. "
            "An error whose text does not match is ignored."
        )
    )
    settle_ms = fields.Integer(
        validate=validate.Range(0, MAX_SETTLE_MS),
        metadata=doc("For `done`: milliseconds for which the value must have been stable."),
    )
    empty_ms = fields.Integer(
        validate=validate.Range(0, MAX_EMPTY_MS),
        metadata=doc(
            "For `done`: milliseconds after which a page that has stopped working and shows no new picture ends the "
            f"attempt as `no_picture`; default {DEFAULT_EMPTY_MS}."
        ),
    )
    frames = OneOrMore(
        fields.Nested(FramesSchema),
        "Messages of the page's WebSockets and event streams, in addition or instead: one table, or alternatives.",
    )

    def __init__(self, sources: tuple[str, ...], **options: Any) -> None:
        """Use the first of ``sources`` as the default."""
        super().__init__(**options)
        self._sources = sources

    @validates_schema
    def require_location(self, data: dict[str, Any], **_: Any) -> None:
        """Require selectors, frames or both."""
        if "selectors" not in data and "frames" not in data:
            raise ValidationError("This or 'frames' is required.", "selectors")

    @validates_schema
    def reject_playwright_selectors(self, data: dict[str, Any], **_: Any) -> None:
        """Reject selectors that only Playwright understands."""
        for chain in data.get("selectors", ()):
            for selector in chain:
                if match := PLAYWRIGHT_SELECTOR.search(selector):
                    message = f"{match[0]!r} in {selector!r}: observed elements need CSS, aria/, text/ or xpath/."
                    raise ValidationError(message, "selectors")

    @validates_schema
    def check_source(self, data: dict[str, Any], **_: Any) -> None:
        """Accept only the sources of pictures or those of texts."""
        if data.get("source", self._sources[0]) not in self._sources:
            raise ValidationError(f"Must be one of: {', '.join(self._sources)}.", "source")

    @validates_schema
    def check_pattern(self, data: dict[str, Any], **_: Any) -> None:
        """Require a valid regular expression."""
        try:
            compile_pattern(data.get("pattern") or "")
        except PatternError as error:
            message = f"Not a regular expression of RE2 (no lookaround, no backreferences): {error}."
            raise ValidationError(message, "pattern") from error

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Any:
        """Build the instance with the default source."""
        return self.dataclass_type(**{"source": self._sources[0], **data})


class ErrorSchema(WatchSchema):
    """``[observe.error]`` or an entry of ``[[observe.error]]``."""

    dataclass_type = ErrorSpec

    kind = fields.String(
        validate=validate.OneOf(ERROR_KINDS),
        metadata=doc(
            "What the error means. `refused`: the site does not want this prompt, so the job fails. `busy`, "
            "`unavailable` and `failed`: it is tried again after a pause. Default: its words decide, else `refused`."
        ),
    )
    wait_ms = fields.Integer(
        validate=validate.Range(0, MAX_EMPTY_MS),
        metadata=doc(
            "For `unavailable`: milliseconds that the page has to recover; default 0, "
            "but 20000 if it says that it is reconnecting."
        ),
    )
    message = fields.String(metadata=doc("The message of the job if the page gives none."))


class ObserveSchema(DataclassSchema):
    """``[observe]``."""

    dataclass_type = ObserveSpec

    done = fields.Nested(WatchSchema(IMAGE_SOURCES), required=True)
    busy = fields.Nested(WatchSchema(TEXT_SOURCES))
    until = fields.Nested(WatchSchema(TEXT_SOURCES))
    started = fields.Nested(WatchSchema(TEXT_SOURCES))
    preview = fields.Nested(WatchSchema(IMAGE_SOURCES))
    progress = fields.Nested(WatchSchema(TEXT_SOURCES))
    error = OneOrMore(
        fields.Nested(ErrorSchema(TEXT_SOURCES)), "Where the page shows errors; the first entry that matches counts."
    )
    human = fields.Nested(WatchSchema(TEXT_SOURCES))
    missed = fields.String(
        validate=validate.Regexp(r"^\{\{url\}\}", error="Must begin with {{url}}, because it goes to the site itself."),
        metadata=doc("URL to request while messages may have been missed; its JSON is read as `{missed = JSON}`."),
    )
