"""The JSON that SwarmUI writes under ``parameters`` or as a comment. Pure.

Three objects: parameters, what else there is, models with their hashes.
"""

from collections.abc import Mapping
from typing import Any

from schemas.images.embedded.builder import GenerationBuilder
from schemas.images.generation_params import GenerationParams

FIELDS: Mapping[str, str] = {
    "prompt": "prompt",
    "negativeprompt": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "cfgscale": "cfg_scale",
    "sampler": "sampler",
    "scheduler": "scheduler",
    "width": "width",
    "height": "height",
    "initimagecreativity": "denoise",
    "model": "model",
}
PARAMS_KEY = "sui_image_params"
TAKEN = {*FIELDS, "loras", "loraweights", "clipstopatlayer"}
KINDS: Mapping[str, str] = {"model": "checkpoint", "refinermodel": "checkpoint", "loras": "lora", "vae": "vae"}


def read_swarmui(said: Mapping[str, Any]) -> GenerationParams | None:
    """What stands under ``parameters``, if it is an object of SwarmUI."""
    whole = said.get("parameters")
    found = whole.get(PARAMS_KEY) if isinstance(whole, dict) else None
    if not isinstance(whole, dict) or not isinstance(found, dict):
        return None
    draft = GenerationBuilder("SwarmUI")
    for name, field in FIELDS.items():
        draft.set_field(field, found.get(name), name)
    layer = found.get("clipstopatlayer")
    draft.set_field("clip_skip", abs(layer) if type(layer) is int else layer, "clipstopatlayer")
    _add_models(draft, found, whole.get("sui_models"))
    extra = whole.get("sui_extra_data")
    for name, value in (found | (extra if isinstance(extra, dict) else {})).items():
        if name not in TAKEN:
            draft.add_other(name, value)
    return draft.build()


def _add_models(draft: GenerationBuilder, found: dict[str, Any], models: Any) -> None:
    draft.add_resource("checkpoint", found.get("model"))
    weights = _listed(found.get("loraweights"))
    for place, name in enumerate(_listed(found.get("loras"))):
        draft.add_resource("lora", name, weight=weights[place] if place < len(weights) else None)
    for one in models if isinstance(models, list) else ():
        if isinstance(one, dict):
            draft.add_resource(KINDS.get(str(one.get("param")), "other"), one.get("name"), one.get("hash"))


def _listed(value: Any) -> list[Any]:
    """A list, which older versions wrote as one text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value if isinstance(value, list) else []
