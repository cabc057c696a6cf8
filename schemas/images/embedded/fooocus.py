"""Reads the JSON that Fooocus writes under ``parameters`` or as a comment.

Fooocus can also write AUTOMATIC1111's infotext, which ``a1111.reader`` reads.
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
READ_KEYS = {*FIELDS, "base_model_hash", "resolution", "loras", "refiner_model", "vae"}
IDENTIFYING_KEYS = ("metadata_scheme", "base_model", "guidance_scale")
RESOLUTION = re.compile(r"\D{0,3}(\d{1,6})\D{1,5}(\d{1,6})\D{0,3}", re.ASCII)
COMBINED_LORA = re.compile(r"lora_combined_\d+")
DEFAULT_VAE = "Default (model)"


def is_fooocus(document: dict[str, Any]) -> bool:
    """Whether an object looks like Fooocus's."""
    return sum(key in document for key in IDENTIFYING_KEYS) >= 2


def read_fooocus(texts: Mapping[str, Any]) -> GenerationParams | None:
    """Read the object under ``parameters``."""
    document = texts.get("parameters")
    if not isinstance(document, dict) or not is_fooocus(document):
        return None
    builder = GenerationBuilder("Fooocus")
    for key, field in FIELDS.items():
        builder.set_field(field, document.get(key), key)
    resolution = RESOLUTION.fullmatch(str(document.get("resolution"))[:100])
    if resolution:
        builder.set_field("width", resolution[1], "width")
        builder.set_field("height", resolution[2], "height")
    else:
        builder.add_other("resolution", document.get("resolution"))
    _add_resources(builder, document)
    for key, value in document.items():
        if key not in READ_KEYS and not COMBINED_LORA.fullmatch(key):
            builder.add_other(key, value)
    return builder.build()


def _add_resources(builder: GenerationBuilder, document: dict[str, Any]) -> None:
    builder.add_resource("checkpoint", document.get("base_model"), document.get("base_model_hash"))
    builder.add_resource("checkpoint", document.get("refiner_model"))
    vae = document.get("vae")
    if vae != DEFAULT_VAE:
        builder.add_resource("vae", vae)
    loras = document.get("loras")
    for lora in loras if isinstance(loras, list) else ():
        if isinstance(lora, list):
            name, weight, hash_ = (*lora, None, None, None)[:3]
            builder.add_resource("lora", name, hash_, weight)
    # Older versions: "lora_combined_1": "name : weight".
    for key, value in document.items():
        if COMBINED_LORA.fullmatch(key) and isinstance(value, str):
            name, _, weight = value.rpartition(":")
            builder.add_resource("lora", name.strip(), weight=weight.strip())
