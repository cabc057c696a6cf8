"""Reads the JSON that Draw Things writes as a comment, in XMP."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.images.embedded.builder import GenerationBuilder
from schemas.images.embedded.samplers import split_sampler
from schemas.images.generation_params import GenerationParams

KEYWORD = "Draw Things"
FIELDS: Mapping[str, str] = {
    "c": "prompt",
    "uc": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "scale": "cfg_scale",
    "strength": "denoise",
    "model": "model",
}
READ_KEYS = {*FIELDS, "size", "sampler", "lora", "v2"}
IDENTIFYING_KEYS = ("uc", "seed_mode", "scale", "sampler", "size", "v2")
SIZE = re.compile(r"(\d{1,6})x(\d{1,6})", re.ASCII)
MAX_LORAS = 100


def is_draw_things(document: Mapping[str, Any]) -> bool:
    """Whether an object looks like that of Draw Things."""
    return isinstance(document.get("c"), str) and sum(key in document for key in IDENTIFYING_KEYS) >= 3


def read_draw_things(texts: Mapping[str, Any]) -> GenerationParams | None:
    """Read the object under ``KEYWORD``."""
    document = texts.get(KEYWORD)
    if not isinstance(document, dict) or not is_draw_things(document):
        return None
    builder = GenerationBuilder(KEYWORD)
    for key, field in FIELDS.items():
        builder.set_field(field, document.get(key), key)
    sampler, scheduler = split_sampler(str(document.get("sampler") or ""))
    builder.set_field("sampler", sampler or None, "sampler")
    builder.set_field("scheduler", scheduler, "sampler")
    size = SIZE.fullmatch(str(document.get("size"))[:20])
    if size:
        builder.set_field("width", size[1], "width")
        builder.set_field("height", size[2], "height")
    builder.add_resource("checkpoint", document.get("model"))
    settings = document.get("v2")
    settings = settings if isinstance(settings, dict) else {}
    builder.set_field("clip_skip", settings.get("clipSkip"), "clipSkip")
    for lora in _loras(document.get("lora"), settings.get("loras")):
        builder.add_resource("lora", lora.get("model") or lora.get("file"), weight=lora.get("weight"))
    for key, value in document.items():
        if key not in READ_KEYS:
            builder.add_other(key, value)
    return builder.build()


def _loras(*lists: Any) -> Iterator[Mapping[str, Any]]:
    for entries in lists:
        items = entries[:MAX_LORAS] if isinstance(entries, list) else ()
        yield from (entry for entry in items if isinstance(entry, dict))
