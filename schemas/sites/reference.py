"""The reference of recipe files in Markdown, generated from the descriptions in the schemas.

``docs/recipes.md`` contains it; a test compares the two.
"""

from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, fields, validate

from schemas.sites import section_schemas as sections
from schemas.sites.observe_schemas import IMAGE_SOURCES, TEXT_SOURCES, ErrorSchema, FramesSchema, OneOrMore, WatchSchema
from schemas.sites.recipe_schema import RecipeSchema
from schemas.sites.step_schemas import SelectorsField, StepSchema

SECTIONS: dict[str, Schema] = {
    "The file": RecipeSchema(exclude=["name"]),
    "`[[steps]]`": StepSchema(),
    "`[observe.WHAT]`": WatchSchema(IMAGE_SOURCES + TEXT_SOURCES),
    "`[observe.WHAT.frames]`": FramesSchema(),
    "`[[observe.error]]`, besides": ErrorSchema(TEXT_SOURCES, only=["kind", "wait_ms", "message"]),
    "`[capture]`": sections.CaptureSchema(),
    "`[cancel]`": sections.CancelSchema(),
    "`[[cancel.requests]]`": sections.CancelRequestSchema(),
    "`[inputs.NAME]`": sections.InputSchema(),
    "`[inputs.NAME.choices_from]`": sections.ChoicesSchema(),
    "`[documents.NAME]`": sections.DocumentSchema(),
    "`[loras]`": sections.LorasSchema(),
    "`[quota]`": sections.QuotaSchema(),
    "`[session]`": sections.SessionSchema(),
    "`[limits]`": sections.LimitsSchema(),
    "`[consent]`": sections.ConsentSchema(),
    "`[canary]`": sections.CanarySchema(),
    "`[tested]`": sections.TestedSchema(),
    "`[[tested.programs]]`": sections.TestedProgramSchema(),
}
# The first match counts: field types are subclasses of one another.
TYPE_NAMES: tuple[tuple[type[fields.Field[Any]], str], ...] = (
    (SelectorsField, "selectors"),
    (OneOrMore, "table or list"),
    (fields.List, "list"),
    (fields.Nested, "table"),
    (fields.Dict, "table"),
    (fields.Boolean, "true or false"),
    (fields.Integer, "whole number"),
    (fields.Float, "number"),
    (fields.Url, "URL"),
    (fields.String, "text"),
)


def render_reference() -> str:
    """Return the reference of all sections."""
    return "\n".join(line for title, schema in SECTIONS.items() for line in _render_section(title, schema))


def _render_section(title: str, schema: Schema) -> Iterator[str]:
    yield from (f"### {title}", "", "| key | value | meaning |", "| --- | --- | --- |")
    for name, field in schema.fields.items():
        required = ", required" if field.required else ""
        yield f"| `{field.data_key or name}` | {_value_type(field)}{required} | {field.metadata['description']} |"
    yield ""


def _value_type(field: fields.Field[Any]) -> str:
    checked = (check.choices for check in field.validators if isinstance(check, validate.OneOf))
    if choices := field.metadata.get("choices") or next(checked, None):
        return ", ".join(f"`{choice}`" for choice in choices)
    return next((name for field_type, name in TYPE_NAMES if isinstance(field, field_type)), "value")
