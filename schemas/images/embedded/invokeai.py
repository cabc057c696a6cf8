"""Reads InvokeAI's metadata: the command line of version 1 and the JSON of version 2 and of version 3 and later.

Images often carry two of them; the newer takes precedence.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.images.embedded.builder import GenerationBuilder
from schemas.images.generation_params import GenerationParams

TOOL = "InvokeAI"
NEGATIVE_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
FLAG = re.compile(r"--?([A-Za-z_]\w*)")
MAX_FLAGS_CHARS = 10_000
# Flags of version 1's command line.
DREAM_FIELDS: Mapping[str, str] = {
    "s": "steps",
    "steps": "steps",
    "S": "seed",
    "seed": "seed",
    "W": "width",
    "width": "width",
    "H": "height",
    "height": "height",
    "C": "cfg_scale",
    "cfg_scale": "cfg_scale",
    "A": "sampler",
    "sampler": "sampler",
    "f": "denoise",
    "strength": "denoise",
}
FIELDS: Mapping[str, str] = {
    "seed": "seed",
    "steps": "steps",
    "cfg_scale": "cfg_scale",
    "width": "width",
    "height": "height",
    "strength": "denoise",
}
SD_METADATA_FIELDS: Mapping[str, str] = {**FIELDS, "sampler": "sampler"}
METADATA_KEYS = {
    *FIELDS,
    *("loras", "vae", "model", "scheduler", "clip_skip", "positive_prompt", "negative_prompt"),
}


def read_invokeai_metadata(texts: Mapping[str, Any]) -> GenerationParams | None:
    """Read ``invokeai_metadata``, of version 3 and later."""
    document = texts.get("invokeai_metadata")
    if not isinstance(document, dict):
        return None
    builder = GenerationBuilder(TOOL)
    builder.set_field("prompt", document.get("positive_prompt"), "positive_prompt")
    builder.set_field("negative_prompt", document.get("negative_prompt"), "negative_prompt")
    _set_fields(builder, document, FIELDS)
    builder.set_field("sampler", document.get("scheduler"), "scheduler")
    # InvokeAI counts the skipped layers, other programs the layer at which CLIP stops.
    skipped = document.get("clip_skip")
    builder.set_field("clip_skip", skipped + 1 if type(skipped) is int else skipped, "clip_skip")
    _add_resources(builder, document)
    _add_others(builder, document, METADATA_KEYS)
    return builder.build()


def read_sd_metadata(texts: Mapping[str, Any]) -> GenerationParams | None:
    """Read ``sd-metadata``, of version 2."""
    document = texts.get("sd-metadata")
    if not isinstance(document, dict):
        return None
    image = document.get("image")
    image = image if isinstance(image, dict) else {}
    builder = GenerationBuilder(TOOL)
    _set_prompts(builder, " ".join(_prompt_texts(image.get("prompt"))))
    _set_fields(builder, image, SD_METADATA_FIELDS)
    builder.set_field("model", document.get("model_weights"), "model_weights")
    builder.add_resource("checkpoint", document.get("model_weights"), document.get("model_hash"))
    _add_others(builder, image, {*SD_METADATA_FIELDS, "prompt"})
    _add_others(builder, document, {"image", "model_weights", "model_hash"})
    return builder.build()


def read_dream(texts: Mapping[str, Any]) -> GenerationParams | None:
    """Read ``Dream``, the command line of version 1: the prompt, in most cases quoted, and flags."""
    line = texts.get("Dream")
    if not isinstance(line, str):
        return None
    prompt, _, flags = line.strip().removeprefix('"').rpartition('"')
    if not line.strip().startswith('"'):
        prompt, _, flags = line.partition(" -")
        flags = "-" + flags
    builder = GenerationBuilder(TOOL)
    _set_prompts(builder, prompt)
    for flag, value in _split_flags(flags[:MAX_FLAGS_CHARS]):
        if flag in DREAM_FIELDS:
            builder.set_field(DREAM_FIELDS[flag], value, flag)
        else:
            builder.add_other(flag, value)
    return builder.build()


def _split_flags(text: str) -> Iterator[tuple[str, str]]:
    """Yield each flag with the words up to the next flag."""
    flag, words = "", []
    for word in [*text.replace("=", " ").split(), "-end"]:
        match = FLAG.fullmatch(word)
        if not match:
            words.append(word)
            continue
        if flag:
            yield flag, " ".join(words)
        flag, words = match[1], []


def _set_prompts(builder: GenerationBuilder, text: str) -> None:
    """Set both prompts: text in square brackets is the negative one."""
    negative = ", ".join(part.strip(" ,") for part in NEGATIVE_BRACKETS.findall(text))
    builder.set_field("negative_prompt", negative, "negative")
    builder.set_field("prompt", " ".join(NEGATIVE_BRACKETS.sub("", text).split()).strip(" ,"), "prompt")


def _prompt_texts(prompts: Any) -> Iterator[str]:
    for prompt in prompts if isinstance(prompts, list) else [prompts]:
        text = prompt.get("prompt") if isinstance(prompt, dict) else prompt
        if isinstance(text, str):
            yield text


def _set_fields(builder: GenerationBuilder, document: dict[str, Any], fields: Mapping[str, str]) -> None:
    for key, field in fields.items():
        builder.set_field(field, document.get(key), key)


def _add_resources(builder: GenerationBuilder, document: dict[str, Any]) -> None:
    name, hash_ = _name_and_hash(document.get("model"))
    builder.set_field("model", name, "model")
    builder.add_resource("checkpoint", name, hash_)
    builder.add_resource("vae", *_name_and_hash(document.get("vae")))
    loras = document.get("loras")
    for lora in loras if isinstance(loras, list) else ():
        if isinstance(lora, dict):
            model = lora.get("model", lora.get("lora"))
            builder.add_resource("lora", *_name_and_hash(model), weight=lora.get("weight"))


def _name_and_hash(model: Any) -> tuple[Any, Any]:
    """Return a model's name and hash; version 3 calls the name ``model_name``."""
    if not isinstance(model, dict):
        return model, None
    return model.get("name", model.get("model_name")), model.get("hash")


def _add_others(builder: GenerationBuilder, document: dict[str, Any], read_keys: set[str]) -> None:
    for key, value in document.items():
        if key not in read_keys:
            builder.add_other(key, value)
