"""Reads NovelAI's metadata: ``Description``, ``Source`` and a JSON ``Comment``.

NovelAI writes the same texts into PNG chunks, comments and the lowest bits of pixels.
"""

import re
from collections.abc import Mapping
from typing import Any

from schemas.images.embedded.builder import GenerationBuilder
from schemas.images.generation_params import GenerationParams

FIELDS: Mapping[str, str] = {
    "prompt": "prompt",
    "uc": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "sampler": "sampler",
    "noise_schedule": "scheduler",
    "scale": "cfg_scale",
    "strength": "denoise",
    "width": "width",
    "height": "height",
}
IDENTIFYING_KEYS = ("uc", "sampler", "scale", "v4_prompt", "noise_schedule")
MODEL_AND_HASH = re.compile(r"(.{0,200}\S)\s{1,100}([0-9A-Fa-f]{8,64})")
# Prompts of version 4 and later, which have a text for each character beside that of the whole image.
STRUCTURED_PROMPTS: Mapping[str, str] = {"v4_prompt": "prompt", "v4_negative_prompt": "negative_prompt"}
PROMPT_FIELDS = tuple(STRUCTURED_PROMPTS.values())
CHARACTER_SEPARATOR = " | "
MAX_CHARACTERS = 100
OTHER_TEXTS = ("Title", "Software", "Generation time")


def is_novelai(comment: Any) -> bool:
    """Whether a comment looks like NovelAI's."""
    return isinstance(comment, dict) and sum(key in comment for key in IDENTIFYING_KEYS) >= 2


def read_novelai(texts: Mapping[str, Any]) -> GenerationParams | None:
    """Read ``Comment`` and the texts beside it; the prompt may be in ``Description`` or in the comment."""
    comment = texts.get("Comment")
    if not isinstance(comment, dict) or not (is_novelai(comment) or texts.get("Software") == "NovelAI"):
        return None
    builder = GenerationBuilder("NovelAI")
    if not _set_prompts_with_characters(builder, comment):
        builder.set_field("prompt", texts.get("Description"), "Description")
    for key, field in FIELDS.items():
        if field not in builder.fields or field not in PROMPT_FIELDS:
            builder.set_field(field, comment.get(key), key)
    source = texts.get("Source")
    match = MODEL_AND_HASH.fullmatch(source[:300].strip()) if isinstance(source, str) else None
    model, hash_ = (match[1], match[2]) if match else (source, None)
    builder.set_field("model", model, "Source")
    builder.add_resource("checkpoint", model, hash_)
    for keyword in OTHER_TEXTS:
        builder.add_other(keyword, texts.get(keyword))
    for key, value in comment.items():
        if key not in FIELDS:
            builder.add_other(key, value)
    return builder.build()


def _set_prompts_with_characters(builder: GenerationBuilder, comment: Mapping[str, Any]) -> bool:
    """Set the prompts that have texts for characters, separated as NovelAI separates them in one text.

    Returns whether the positive prompt has such texts.
    """
    for key, field in STRUCTURED_PROMPTS.items():
        parts = _caption_parts(comment.get(key))
        if len(parts) > 1:
            builder.set_field(field, CHARACTER_SEPARATOR.join(parts), key)
    return "prompt" in builder.fields


def _caption_parts(prompt: Any) -> list[str]:
    """Return the text of the whole image, and that of each character that has one."""
    caption = prompt.get("caption") if isinstance(prompt, dict) else None
    if not isinstance(caption, dict):
        return []
    characters = caption.get("char_captions")
    entries = characters[:MAX_CHARACTERS] if isinstance(characters, list) else []
    texts = [entry.get("char_caption") for entry in entries if isinstance(entry, dict)]
    parts = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    base = caption.get("base_caption")
    return [base.strip() if isinstance(base, str) else "", *parts]
