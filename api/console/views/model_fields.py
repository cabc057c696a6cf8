"""The fields of a model as the console edits them: value, source, and how a form is parsed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import Invalid
from schemas.fields import to_snake_case
from schemas.library.metadata import Source
from schemas.library.model_views import ModelView
from schemas.library.requests import ModelChange, load_body

# Fields by their JSON names: the title, and whether the form has one line, several lines or one item a line.
LINE, TEXT, ITEMS, NUMBER = "line", "text", "items", "number"
FIELDS = {
    "name": ("Name", LINE),
    "notes": ("Notes", TEXT),
    "trainedWords": ("Trained words", ITEMS),
    "tags": ("Tags", ITEMS),
    "type": ("Type", LINE),
    "baseModel": ("Base model", LINE),
    "creator": ("Creator", LINE),
    "description": ("Description", TEXT),
    "nsfwLevel": ("Content rating", NUMBER),
}
SOURCES = {
    Source.FILE_NAME: "the file name, a guess",
    Source.HEADER: "the model file itself",
    Source.CIVITDL: "the civitdl file beside it",
    Source.CIVITAI_INFO: "the .civitai.info file beside it",
    Source.API_INFO: "the .api_info.json file beside it",
    Source.LORA_MANAGER: "the LoRA Manager file beside it",
    Source.STABILITY_MATRIX: "the Stability Matrix file beside it",
    Source.A1111: "the AUTOMATIC1111 file beside it",
    Source.USER: "you",
}
VIEW_NAMES = {"creator": "creatorName"}


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field: its value in the form, its source, and when a person edited it."""

    name: str
    title: str
    kind: str
    value: str
    source: str
    is_edited: bool
    edited_at: int | None


def field_rows(model: ModelView, view: Mapping[str, Any]) -> list[FieldRow]:
    """Return the fields of a model; ``view`` is its detail."""
    rows = []
    for name, (title, kind) in FIELDS.items():
        value = view.get(VIEW_NAMES.get(name, name))
        if name == "description":
            # As stored, because the view has been made HTML.
            value = model.metadata.description
        source = str(model.sources.get(to_snake_case(name), ""))
        rows.append(
            FieldRow(
                name=name,
                title=title,
                kind=kind,
                value="\n".join(value) if isinstance(value, list) else "" if value is None else str(value),
                source=SOURCES.get(Source(source), source) if source in list(Source) else "",
                is_edited=source == Source.USER,
                edited_at=model.edited_at.get(name),
            )
        )
    return rows


def parse_change(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the edit that a form makes: ``field``, and ``value`` or ``revert``.

    Raises:
        Invalid: there is no such field, or the value is not acceptable.
    """
    name = form.get("field", "")
    if name not in FIELDS:
        raise Invalid(problems=["field: There is no such field."])
    if form.get("revert"):
        return {name: None}
    text, kind = form.get("value", "").replace("\r\n", "\n"), FIELDS[name][1]
    value: Any = text
    if kind == ITEMS:
        value = [line.strip() for line in text.split("\n") if line.strip()]
    elif kind == NUMBER:
        try:
            value = int(text)
        except ValueError as error:
            raise Invalid(problems=[f"{FIELDS[name][0]}: A whole number is needed."]) from error
    return load_body(ModelChange(), {name: value})
