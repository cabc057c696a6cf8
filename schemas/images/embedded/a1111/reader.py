"""What AUTOMATIC1111, Forge and those who write as they do say of a picture. Pure.

Others: Civitai, SD.Next, savers of ComfyUI, Fooocus by choice.
"""

import re
from collections.abc import Mapping
from typing import Any

from schemas.images.embedded.a1111.infotext import Infotext, read_infotext
from schemas.images.embedded.a1111.resources import add_models
from schemas.images.embedded.builder import Draft
from schemas.images.embedded.samplers import split_sampler
from schemas.images.generation_params import Generation

FIELDS: Mapping[str, str] = {
    "steps": "steps",
    "cfg scale": "cfg_scale",
    "seed": "seed",
    "denoising strength": "denoise",
    "clip skip": "clip_skip",
    "model": "model",
}
SIZE = re.compile(r"(\d{1,6})\s*[x\u00d7]\s*(\d{1,6})", re.ASCII)


def read_a1111(said: Mapping[str, Any]) -> Generation | None:
    """What stands under ``parameters``, if it is text."""
    text = said.get("parameters")
    parts = read_infotext(text) if isinstance(text, str) else None
    return _generation(parts) if parts else None


def is_infotext(text: str) -> bool:
    """Whether a text that nothing announces is one of these: parameters, or a negative prompt on a line of its own."""
    parts = read_infotext(text)
    return bool(parts and (parts.pairs or parts.negative_prompt))


def _generation(parts: Infotext) -> Generation | None:
    pairs = dict(parts.pairs)
    draft = Draft(_tool(pairs))
    draft.put("prompt", parts.prompt, "Prompt")
    draft.put("negative_prompt", parts.negative_prompt, "Negative prompt")
    _put_size(draft, pairs)
    _put_sampler(draft, pairs)
    add_models(draft, pairs)
    for name, field in FIELDS.items():
        if name in pairs:
            said_as, value = pairs.pop(name)
            draft.put(field, value, said_as)
    for said_as, value in pairs.values():
        draft.keep(said_as, value)
    return draft.finish()


def _put_size(draft: Draft, pairs: dict[str, tuple[str, str]]) -> None:
    said_as, value = pairs.pop("size", ("Size", ""))
    found = SIZE.fullmatch(value)
    if found:
        draft.put("width", found[1], "Width")
        draft.put("height", found[2], "Height")
    else:
        draft.keep(said_as, value)


def _put_sampler(draft: Draft, pairs: dict[str, tuple[str, str]]) -> None:
    """One name for both is parted, unless the schedule is said to be another."""
    said_as, sampler = pairs.pop("sampler", ("Sampler", ""))
    _, schedule = pairs.pop("schedule type" if "schedule type" in pairs else "scheduler", ("", ""))
    plain, combined = split_sampler(sampler)
    if combined and schedule.lower() in ("", combined.lower()):
        sampler, schedule = plain, schedule or combined
    draft.put("sampler", sampler, said_as)
    draft.put("scheduler", schedule, "Schedule type")


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
