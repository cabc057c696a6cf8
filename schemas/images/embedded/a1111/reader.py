"""What AUTOMATIC1111, Forge and those who write as they do say of a picture. Pure.

Others: Civitai, SD.Next, savers of ComfyUI, Fooocus by choice.
"""

import re
from collections.abc import Mapping
from typing import Any

from schemas.images.embedded.a1111.infotext import Infotext, read_infotext
from schemas.images.embedded.a1111.resources import add_resources
from schemas.images.embedded.builder import GenerationBuilder
from schemas.images.embedded.samplers import split_sampler
from schemas.images.generation_params import GenerationParams

FIELDS: Mapping[str, str] = {
    "steps": "steps",
    "cfg scale": "cfg_scale",
    "seed": "seed",
    "denoising strength": "denoise",
    "clip skip": "clip_skip",
    "model": "model",
}
SIZE = re.compile(r"(\d{1,6})\s*[x\u00d7]\s*(\d{1,6})", re.ASCII)


def read_a1111(said: Mapping[str, Any]) -> GenerationParams | None:
    """What stands under ``parameters``, if it is text."""
    text = said.get("parameters")
    parts = read_infotext(text) if isinstance(text, str) else None
    return _generation(parts) if parts else None


def is_infotext(text: str) -> bool:
    """Whether a text that nothing announces is one of these: parameters, or a negative prompt on a line of its own."""
    parts = read_infotext(text)
    return bool(parts and (parts.pairs or parts.negative_prompt))


def _generation(parts: Infotext) -> GenerationParams | None:
    pairs = dict(parts.pairs)
    draft = GenerationBuilder(_tool(pairs))
    draft.set_field("prompt", parts.prompt, "Prompt")
    draft.set_field("negative_prompt", parts.negative_prompt, "Negative prompt")
    _put_size(draft, pairs)
    _put_sampler(draft, pairs)
    add_resources(draft, pairs)
    for name, field in FIELDS.items():
        if name in pairs:
            said_as, value = pairs.pop(name)
            draft.set_field(field, value, said_as)
    for said_as, value in pairs.values():
        draft.add_other(said_as, value)
    return draft.build()


def _put_size(draft: GenerationBuilder, pairs: dict[str, tuple[str, str]]) -> None:
    said_as, value = pairs.pop("size", ("Size", ""))
    found = SIZE.fullmatch(value)
    if found:
        draft.set_field("width", found[1], "Width")
        draft.set_field("height", found[2], "Height")
    else:
        draft.add_other(said_as, value)


def _put_sampler(draft: GenerationBuilder, pairs: dict[str, tuple[str, str]]) -> None:
    """One name for both is parted, unless the schedule is said to be another."""
    said_as, sampler = pairs.pop("sampler", ("Sampler", ""))
    _, schedule = pairs.pop("schedule type" if "schedule type" in pairs else "scheduler", ("", ""))
    plain, combined = split_sampler(sampler)
    if combined and schedule.lower() in ("", combined.lower()):
        sampler, schedule = plain, schedule or combined
    draft.set_field("sampler", sampler, said_as)
    draft.set_field("scheduler", schedule, "Schedule type")


def _tool(pairs: Mapping[str, tuple[str, str]]) -> str:
    version = pairs.get("version", ("", ""))[1].lower()
    if pairs.get("app", ("", ""))[1].lower().startswith("sd.next"):
        return "SD.Next"
    for sign, tool in (("comfyui", "ComfyUI"), ("fooocus", "Fooocus"), ("forge", "Forge"), ("neo", "Forge")):
        if version.startswith(sign):
            return tool
    if re.match(r"f\d", version):
        return "Forge"
    if "civitai resources" in pairs and not version:
        return "Civitai"
    return "ComfyUI" if "lora_0 model name" in pairs else "AUTOMATIC1111"
