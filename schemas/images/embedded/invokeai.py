"""The three ways in which InvokeAI has written its metadata: a command line, and two kinds of JSON. Pure.

Pictures with two of them are common: the newer is believed.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.images.embedded.builder import GenerationBuilder
from schemas.images.generation_params import GenerationParams

TOOL = "InvokeAI"
BRACKETS = re.compile(r"\[([^\[\]]*)\]")
FLAG = re.compile(r"--?([A-Za-z_]\w*)")
LINE: Mapping[str, str] = {
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
MANY = ("loras", "vae", "model", "scheduler", "clip_skip", "positive_prompt", "negative_prompt")


def read_invokeai_metadata(said: Mapping[str, Any]) -> GenerationParams | None:
    """``invokeai_metadata``, since version 3."""
    found = said.get("invokeai_metadata")
    if not isinstance(found, dict):
        return None
    draft = GenerationBuilder(TOOL)
    draft.set_field("prompt", found.get("positive_prompt"), "positive_prompt")
    draft.set_field("negative_prompt", found.get("negative_prompt"), "negative_prompt")
    _put_fields(draft, found, FIELDS)
    sampler = found.get("scheduler")
    draft.set_field("sampler", sampler, "scheduler")
    skipped = found.get("clip_skip")
    # How many layers are left out, where others count the layer at which they end.
    draft.set_field("clip_skip", skipped + 1 if type(skipped) is int else skipped, "clip_skip")
    _put_models(draft, found)
    _keep_rest(draft, found, {*FIELDS, *MANY})
    return draft.build()


def read_sd_metadata(said: Mapping[str, Any]) -> GenerationParams | None:
    """``sd-metadata``, of version 2."""
    found = said.get("sd-metadata")
    if not isinstance(found, dict):
        return None
    image = found.get("image")
    image = image if isinstance(image, dict) else {}
    draft = GenerationBuilder(TOOL)
    _put_prompt(draft, " ".join(_prompts(image.get("prompt"))))
    _put_fields(draft, image, {**FIELDS, "sampler": "sampler"})
    draft.set_field("model", found.get("model_weights"), "model_weights")
    draft.add_resource("checkpoint", found.get("model_weights"), found.get("model_hash"))
    _keep_rest(draft, image, {*FIELDS, "sampler", "prompt"})
    _keep_rest(draft, found, {"image", "model_weights", "model_hash"})
    return draft.build()


def read_dream(said: Mapping[str, Any]) -> GenerationParams | None:
    """``Dream``: the command line of version 1, the prompt in quotation marks before its flags."""
    line = said.get("Dream")
    if not isinstance(line, str):
        return None
    prompt, _, flags = line.strip().removeprefix('"').rpartition('"')
    if not line.strip().startswith('"'):
        prompt, _, flags = line.partition(" -")
        flags = "-" + flags
    draft = GenerationBuilder(TOOL)
    _put_prompt(draft, prompt)
    for flag, value in _flags(flags[:10_000]):
        if flag in LINE:
            draft.set_field(LINE[flag], value, flag)
        else:
            draft.add_other(flag, value)
    return draft.build()


def _flags(text: str) -> Iterator[tuple[str, str]]:
    """Each flag and the words up to the next one."""
    flag, words = "", []
    for word in [*text.replace("=", " ").split(), "-end"]:
        found = FLAG.fullmatch(word)
        if not found:
            words.append(word)
            continue
        if flag:
            yield flag, " ".join(words)
        flag, words = found[1], []


def _put_prompt(draft: GenerationBuilder, text: str) -> None:
    """What stands in square brackets is the negative prompt."""
    draft.set_field("negative_prompt", ", ".join(part.strip(" ,") for part in BRACKETS.findall(text)), "negative")
    draft.set_field("prompt", " ".join(BRACKETS.sub("", text).split()).strip(" ,"), "prompt")


def _prompts(found: Any) -> Iterator[str]:
    for one in found if isinstance(found, list) else [found]:
        text = one.get("prompt") if isinstance(one, dict) else one
        if isinstance(text, str):
            yield text


def _put_fields(draft: GenerationBuilder, found: dict[str, Any], names: Mapping[str, str]) -> None:
    for name, field in names.items():
        draft.set_field(field, found.get(name), name)


def _put_models(draft: GenerationBuilder, found: dict[str, Any]) -> None:
    name, said = _model(found.get("model"))
    draft.set_field("model", name, "model")
    draft.add_resource("checkpoint", name, said)
    draft.add_resource("vae", *_model(found.get("vae")))
    loras = found.get("loras")
    for one in loras if isinstance(loras, list) else ():
        if isinstance(one, dict):
            draft.add_resource("lora", *_model(one.get("model", one.get("lora"))), weight=one.get("weight"))


def _model(found: Any) -> tuple[Any, Any]:
    """Name and hash, as version 3 and the later ones have them."""
    if not isinstance(found, dict):
        return found, None
    return found.get("name", found.get("model_name")), found.get("hash")


def _keep_rest(draft: GenerationBuilder, found: dict[str, Any], taken: set[str]) -> None:
    for name, value in found.items():
        if name not in taken:
            draft.add_other(name, value)
