"""The reference of recipe files, made from their schemas: every key, what it may hold, and what it means.

Printed by ``./darkroom sites reference``; a test compares it with ``docs/recipes.md``.
"""

from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, fields, validate

from schemas.sites import section_schemas as parts
from schemas.sites.recipe_schema import RecipeSchema
from schemas.sites.step_schemas import SelectorsField, StepSchema

SECTIONS: dict[str, type[Schema] | Schema] = {
    "The file": RecipeSchema,
    "`[[steps]]`": StepSchema,
    "`[observe.WHAT]`": parts.WatchSchema(parts.IMAGE_SOURCES + parts.TEXT_SOURCES),
    "`[observe.WHAT.frames]`": parts.FramesSchema,
    "`[capture]`": parts.CaptureSchema,
    "`[inputs.NAME]`": parts.InputSchema,
    "`[inputs.NAME.choices_from]`": parts.ChoicesSchema,
    "`[documents.NAME]`": parts.DocumentSchema,
    "`[loras]`": parts.LorasSchema,
    "`[quota]`": parts.QuotaSchema,
    "`[session]`": parts.SessionSchema,
    "`[limits]`": parts.LimitsSchema,
    "`[consent]`": parts.ConsentSchema,
    "`[canary]`": parts.CanarySchema,
    "`[tested]`": parts.TestedSchema,
}
MEANINGS: dict[str, dict[str, str]] = {
    "The file": {
        "title": "What people call the site.",
        "description": "One sentence about it.",
        "url": "Its address; `SITE_<NAME>_URL` replaces it.",
        "bundle": "A folder of static files served for `url` to the worker's browser alone.",
        "hosts": "Private hosts besides its own that the page may reach.",
        "steps": "What is done on the page, in order.",
        "observe": "What is watched: `done` (needed), `busy`, `preview`, `progress`, `error`, `human`.",
        "capture": "Where the finished pictures are.",
        "inputs": "What the site accepts besides the prompt, by name.",
        "documents": "JSON documents that the page is given, by name.",
        "loras": "How a LoRA is found and added.",
        "quota": "Where the page shows its own quota.",
        "session": "Its login.",
        "limits": "How hard it may be driven.",
        "consent": "Whose page it is.",
        "canary": "A tiny job that the clock sends, to find out early that the page has changed.",
        "tested": "What the recipe was run against.",
    },
    "`[[steps]]`": {
        "type": "As in Chrome's Recorder; `customStep` is one of ours, by its `name`.",
        "selectors": "Where; alternatives, tried in order.",
        "value": "What a `change` types or selects, or `choose` takes.",
        "url": "Where `navigate` goes.",
        "key": "The key of `keyDown` and `keyUp`.",
        "name": "`addLora`, `removeLoras`, `choose` (from a list that opens) or `upload` (a document as a file).",
        "document": "Which document is uploaded.",
        "width": "Of the viewport, in pixels.",
        "height": "Of the viewport, in pixels.",
        "x": "Pixels to scroll to the right.",
        "y": "Pixels to scroll down.",
        "count": "As the Recorder writes it; one is enough.",
        "visible": "Whether `waitForElement` waits until it can be seen.",
        "timeout": "Milliseconds to wait for the element or the page; 10000 when left out.",
        "when": "The input without which the step is left out.",
        "settle_ms": "Time the page is given after the step; then it must be idle.",
        "submits": "True at the one step that hands the prompt to the page.",
    },
    "`[observe.WHAT]`": {
        "selectors": "Where it is on the page.",
        "source": "Which part tells: the first four for pictures (`src` when left out), the others for texts (`text`).",
        "pattern": "A regular expression for what counts of a text; two groups are step and steps, one percent.",
        "settle_ms": "For `done`: how long it must have stayed the same.",
        "frames": "Where it is in the page's own WebSocket, instead of `selectors`.",
    },
    "`[observe.WHAT.frames]`": {
        "match": "Paths and the values that they have in a message that tells.",
        "skip_bytes": "Binary messages instead: pictures behind so many bytes.",
        "text": "Path of the text.",
        "step": "Path of the step's number.",
        "steps": "Path of the number of steps.",
        "pictures": "Path of the list of finished pictures.",
        "url": "The address of a picture, with `{{url}}` and the fields of its entry.",
    },
    "`[capture]`": {
        "source": "`shown`: in elements of the page. `download`: in the file that `steps` make it hand out.",
        "selectors": "The elements; those of `observe.done` when left out.",
        "many": "Whether every matching element is a picture of its own.",
        "steps": "For `download`: what starts it.",
    },
    "`[inputs.NAME]`": {
        "type": "What kind of value it is.",
        "label": "What it means, for people.",
        "minimum": "The least.",
        "maximum": "The most.",
        "multiple_of": "Only multiples of it.",
        "max_length": "Most characters.",
        "choices": "The values that are allowed.",
        "choices_from": "Where the page itself lists them.",
        "random": "Draw a whole number between the bounds when the caller gives none; the job says which.",
        "default": "What the page takes when it is left out; for information.",
    },
    "`[inputs.NAME.choices_from]`": {
        "open": "Steps after which the choices are on the page.",
        "item": "The elements whose texts are the choices.",
        "close": "Steps that put the page back.",
    },
    "`[documents.NAME]`": {
        "content": "The document as JSON text; or `file`, a file beside the recipe.",
        "fields": "Templates by the paths where they are put; a node may be named by id or title.",
    },
    "`[loras]`": {
        "syntax": "How a LoRA is written into the prompt, with `{{lora}}`; then no catalogue is needed.",
        "open": "Steps that open the catalogue.",
        "close": "Steps that close it.",
        "query": "The search field.",
        "item": "An entry.",
        "name": "In an entry: its name.",
        "add": "In an entry: the button that adds it.",
        "remove": "On the page: the button that takes a chosen one away.",
        "image": "In an entry: its picture.",
        "tags": "In an entry: its tags.",
        "description": "In an entry: its description.",
        "settle_ms": "Time the list is given after typing.",
    },
    "`[quota]`": {"used": "The number used.", "limit": "The number allowed."},
    "`[session]`": {
        "required": "Whether nothing goes without a login.",
        "login_url": "Where people sign in; `url` when left out.",
        "signed_in": "Something that is on the page only for those who are signed in.",
    },
    "`[limits]`": {
        "concurrency": "Jobs at once, over all workers; 1 when left out, 0 for no limit.",
        "min_interval_s": "Seconds between two starts, over all workers; 1 when left out.",
        "daily": "Jobs started a day (UTC), over all workers; what is beyond waits. No limit when left out.",
    },
    "`[consent]`": {
        "ownership": "`own`: your page. `terms`: somebody else's, who allows this; robots.txt is obeyed then.",
        "terms_url": "Needed with `terms`: what `./darkroom sites accept` asks about.",
    },
    "`[canary]`": {
        "every_s": "Seconds between two.",
        "prompt": "Its prompt.",
        "inputs": "Its inputs; keep it small.",
    },
    "`[tested]`": {"with": "What it was run against, in words.", "real": "Whether that was the real program or site."},
}


def render_reference() -> str:
    """All sections in Markdown."""
    return "\n".join(line for title, schema in SECTIONS.items() for line in _section(title, schema))


def _section(title: str, schema: type[Schema] | Schema) -> Iterator[str]:
    made = schema if isinstance(schema, Schema) else schema()
    yield from (f"### {title}", "", "| key | holds | meaning |", "| --- | --- | --- |")
    for name, field in made.fields.items():
        key = field.data_key or name
        if key == "name" and title == "The file":
            continue
        needed = ", needed" if field.required else ""
        yield f"| `{key}` | {_holds(title, key, field)}{needed} | {MEANINGS[title][key]} |"
    yield ""


def _holds(title: str, key: str, field: fields.Field[Any]) -> str:
    if (title, key) == ("`[observe.WHAT]`", "source"):
        return _one_of(parts.IMAGE_SOURCES + parts.TEXT_SOURCES)
    for check in field.validators:
        if isinstance(check, validate.OneOf):
            return _one_of(tuple(check.choices))
    kinds: list[tuple[type[fields.Field[Any]], str]] = [
        (SelectorsField, "selectors"),
        (fields.List, "list"),
        (fields.Nested, "table"),
        (fields.Dict, "table"),
        (fields.Boolean, "true or false"),
        (fields.Integer, "whole number"),
        (fields.Float, "number"),
        (fields.Url, "address"),
        (fields.String, "text"),
    ]
    return next((words for kind, words in kinds if isinstance(field, kind)), "value")


def _one_of(choices: tuple[str, ...]) -> str:
    return ", ".join(f"`{choice}`" for choice in choices)
