"""The JSON that Fooocus writes under ``parameters`` or as a comment. Pure.

What it writes in AUTOMATIC1111's way is read as such.
"""

import re
from collections.abc import Mapping
from typing import Any

from schemas.images.embedded.builder import GenerationBuilder
from schemas.images.generation_params import GenerationParams

FIELDS: Mapping[str, str] = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "sampler": "sampler",
    "scheduler": "scheduler",
    "guidance_scale": "cfg_scale",
    "clip_skip": "clip_skip",
    "base_model": "model",
}
SIGNS = ("metadata_scheme", "base_model", "guidance_scale")
SIZE = re.compile(r"\D{0,3}(\d{1,6})\D{1,5}(\d{1,6})\D{0,3}", re.ASCII)
COMBINED = re.compile(r"lora_combined_\d+")
TAKEN = {*FIELDS, "base_model_hash", "resolution", "loras", "refiner_model", "vae"}


def is_fooocus(found: dict[str, Any]) -> bool:
    """Whether an object is one of these."""
    return sum(name in found for name in SIGNS) >= 2


def read_fooocus(said: Mapping[str, Any]) -> GenerationParams | None:
    """What stands under ``parameters``, if it is an object of Fooocus."""
    found = said.get("parameters")
    if not isinstance(found, dict) or not is_fooocus(found):
        return None
    draft = GenerationBuilder("Fooocus")
    for name, field in FIELDS.items():
        draft.set_field(field, found.get(name), name)
    size = SIZE.fullmatch(str(found.get("resolution"))[:100])
    if size:
        draft.set_field("width", size[1], "width")
        draft.set_field("height", size[2], "height")
    else:
        draft.add_other("resolution", found.get("resolution"))
    _add_models(draft, found)
    for name, value in found.items():
        if name not in TAKEN and not COMBINED.fullmatch(name):
            draft.add_other(name, value)
    return draft.build()


def _add_models(draft: GenerationBuilder, found: dict[str, Any]) -> None:
    draft.add_resource("checkpoint", found.get("base_model"), found.get("base_model_hash"))
    draft.add_resource("checkpoint", found.get("refiner_model"))
    vae = found.get("vae")
    if vae != "Default (model)":
        draft.add_resource("vae", vae)
    loras = found.get("loras")
    for one in loras if isinstance(loras, list) else ():
        if isinstance(one, list):
            name, weight, said = (*one, None, None, None)[:3]
            draft.add_resource("lora", name, said, weight)
    for name, value in found.items():
        if COMBINED.fullmatch(name) and isinstance(value, str):
            lora, _, weight = value.rpartition(":")
            draft.add_resource("lora", lora.strip(), weight=weight.strip())
