"""Schemas of a recipe's ``[observe]`` sections."""

import re
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from schemas.sites.observe import FramesSpec, ObserveSpec, WatchSpec
from schemas.sites.step_schemas import MAX_SETTLE_MS, DataclassSchema, SelectorsField, doc

IMAGE_SOURCES = ("src", "background-image", "canvas", "poster")
TEXT_SOURCES = ("text", "aria-valuenow", "width")
MAX_SKIP_BYTES = 1024
# Playwright's extensions of CSS. A script in the page does the observing, and it knows only standard selectors.
PLAYWRIGHT_SELECTOR = re.compile(
    r":(?:has-text|text|text-is|text-matches|visible|nth-match|near|right-of|left-of|above|below)\b|>>|^internal:"
)


class FramesSchema(DataclassSchema):
    """``[observe.WHAT.frames]``."""

    dataclass_type = FramesSpec

    match = fields.Dict(
        keys=fields.String(),
        values=fields.Raw(),
        metadata=doc("Paths and the values that a JSON message must have there to count."),
    )
    skip_bytes = fields.Integer(
        validate=validate.Range(0, MAX_SKIP_BYTES),
        metadata=doc("Count binary messages instead: an image behind this many bytes."),
    )
    text = fields.String(metadata=doc("Path of the text."))
    step = fields.String(metadata=doc("Path of the number of the current step."))
    steps = fields.String(metadata=doc("Path of the number of steps."))
    pictures = fields.String(metadata=doc("Path of the list of finished pictures."))
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
        metadata=doc("A regular expression for the part of a text that counts; two groups are step and steps, one %.")
    )
    settle_ms = fields.Integer(
        validate=validate.Range(0, MAX_SETTLE_MS),
        metadata=doc("For `done`: milliseconds for which the value must have been stable."),
    )
    frames = fields.Nested(FramesSchema, metadata=doc("Frames of the page's WebSocket, in addition or instead."))

    def __init__(self, sources: tuple[str, ...]) -> None:
        """Use the first of ``sources`` as the default."""
        super().__init__()
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
            re.compile(data.get("pattern") or "")
        except re.error as error:
            raise ValidationError(f"Not a regular expression: {error}.", "pattern") from error

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> WatchSpec:
        """Build the instance with the default source."""
        return WatchSpec(**{"source": self._sources[0], **data})


class ObserveSchema(DataclassSchema):
    """``[observe]``."""

    dataclass_type = ObserveSpec

    done = fields.Nested(WatchSchema(IMAGE_SOURCES), required=True)
    busy = fields.Nested(WatchSchema(TEXT_SOURCES))
    preview = fields.Nested(WatchSchema(IMAGE_SOURCES))
    progress = fields.Nested(WatchSchema(TEXT_SOURCES))
    error = fields.Nested(WatchSchema(TEXT_SOURCES))
    human = fields.Nested(WatchSchema(TEXT_SOURCES))
