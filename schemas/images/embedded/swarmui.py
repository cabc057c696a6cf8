"""Reads the JSON that SwarmUI writes under ``parameters`` or as a comment.

It has three parts: parameters, extra data, and models with their hashes.
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
READ_KEYS = {*FIELDS, "loras", "loraweights", "clipstopatlayer"}
RESOURCE_KINDS: Mapping[str, str] = {
    "model": "checkpoint",
    "refinermodel": "checkpoint",
    "loras": "lora",
    "vae": "vae",
}


def read_swarmui(texts: Mapping[str, Any]) -> GenerationParams | None:
    """Read the object under ``parameters``."""
    document = texts.get("parameters")
    params = document.get(PARAMS_KEY) if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(params, dict):
        return None
    builder = GenerationBuilder("SwarmUI")
    for key, field in FIELDS.items():
        builder.set_field(field, params.get(key), key)
    # Layers are counted from the end: -2 is a clip skip of 2.
    layer = params.get("clipstopatlayer")
    builder.set_field("clip_skip", abs(layer) if type(layer) is int else layer, "clipstopatlayer")
    _add_resources(builder, params, document.get("sui_models"))
    extra = document.get("sui_extra_data")
    for key, value in (params | (extra if isinstance(extra, dict) else {})).items():
        if key not in READ_KEYS:
            builder.add_other(key, value)
    return builder.build()


def _add_resources(builder: GenerationBuilder, params: dict[str, Any], models: Any) -> None:
    builder.add_resource("checkpoint", params.get("model"))
    weights = _as_list(params.get("loraweights"))
    for index, name in enumerate(_as_list(params.get("loras"))):
        builder.add_resource("lora", name, weight=weights[index] if index < len(weights) else None)
    for model in models if isinstance(models, list) else ():
        if isinstance(model, dict):
            kind = RESOURCE_KINDS.get(str(model.get("param")), "other")
            builder.add_resource(kind, model.get("name"), model.get("hash"))


def _as_list(value: Any) -> list[Any]:
    """Return a list; older versions wrote it as text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value if isinstance(value, list) else []
