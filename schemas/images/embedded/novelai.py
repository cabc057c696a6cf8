"""What NovelAI writes: ``Description``, ``Source`` and a ``Comment`` that is JSON. Pure.

The same five texts lie in files, in comments and in lowest bits.
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
SIGNS = ("uc", "sampler", "scale", "v4_prompt", "noise_schedule")
SOURCE = re.compile(r"(.*\S)\s+([0-9A-Fa-f]{8,64})")
REST = ("Title", "Software", "Generation time")


def is_novelai(comment: Any) -> bool:
    """Whether a comment is one of these."""
    return isinstance(comment, dict) and sum(name in comment for name in SIGNS) >= 2


def read_novelai(said: Mapping[str, Any]) -> GenerationParams | None:
    """What stands under ``Comment`` and beside it; the prompt may stand in either place."""
    comment = said.get("Comment")
    if not isinstance(comment, dict) or not (is_novelai(comment) or said.get("Software") == "NovelAI"):
        return None
    draft = GenerationBuilder("NovelAI")
    draft.set_field("prompt", said.get("Description"), "Description")
    for name, field in FIELDS.items():
        draft.set_field(field, comment.get(name), name)
    _put_model(draft, said.get("Source"))
    for name in REST:
        draft.add_other(name, said.get(name))
    for name, value in comment.items():
        if name not in FIELDS:
            draft.add_other(name, value)
    return draft.build()


def _put_model(draft: GenerationBuilder, source: Any) -> None:
    found = SOURCE.fullmatch(source[:300].strip()) if isinstance(source, str) else None
    name, said = (found[1], found[2]) if found else (source, None)
    draft.set_field("model", name, "Source")
    draft.add_resource("checkpoint", name, said)
