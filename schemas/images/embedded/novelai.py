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
MODEL_AND_HASH = re.compile(r"(.*\S)\s+([0-9A-Fa-f]{8,64})")
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
    builder.set_field("prompt", texts.get("Description"), "Description")
    for key, field in FIELDS.items():
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
