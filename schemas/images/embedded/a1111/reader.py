"""Reads AUTOMATIC1111's infotext, which Forge, Civitai, SD.Next, ComfyUI savers and Fooocus write too."""

import re
from collections.abc import Mapping
from typing import Any

from schemas.images.embedded.a1111.infotext import Infotext, read_infotext
from schemas.images.embedded.a1111.resources import Parameters, add_resources
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
# How the value of "Version" begins.
TOOL_BY_VERSION: Mapping[str, str] = {"comfyui": "ComfyUI", "fooocus": "Fooocus", "forge": "Forge", "neo": "Forge"}
FORGE_VERSION = re.compile(r"f\d")


def read_a1111(texts: Mapping[str, Any]) -> GenerationParams | None:
    """Read the text under ``parameters``."""
    text = texts.get("parameters")
    infotext = read_infotext(text) if isinstance(text, str) else None
    return _build_params(infotext) if infotext else None


def is_infotext(text: str) -> bool:
    """Whether an unlabelled text is an infotext: it has parameters, or a line that begins the negative prompt."""
    infotext = read_infotext(text)
    return bool(infotext and (infotext.parameters or infotext.negative_prompt))


def _build_params(infotext: Infotext) -> GenerationParams | None:
    parameters = dict(infotext.parameters)
    builder = GenerationBuilder(_detect_tool(parameters))
    builder.set_field("prompt", infotext.prompt, "Prompt")
    builder.set_field("negative_prompt", infotext.negative_prompt, "Negative prompt")
    _set_size(builder, parameters)
    _set_sampler(builder, parameters)
    add_resources(builder, parameters)
    for key, field in FIELDS.items():
        if key in parameters:
            source_name, value = parameters.pop(key)
            builder.set_field(field, value, source_name)
    for source_name, value in parameters.values():
        builder.add_other(source_name, value)
    return builder.build()


def _set_size(builder: GenerationBuilder, parameters: Parameters) -> None:
    source_name, value = parameters.pop("size", ("Size", ""))
    size = SIZE.fullmatch(value)
    if size:
        builder.set_field("width", size[1], "Width")
        builder.set_field("height", size[2], "Height")
    else:
        builder.add_other(source_name, value)


def _set_sampler(builder: GenerationBuilder, parameters: Parameters) -> None:
    """Set sampler and scheduler; a combined name is split unless another schedule is given."""
    source_name, sampler = parameters.pop("sampler", ("Sampler", ""))
    _, schedule = parameters.pop("schedule type" if "schedule type" in parameters else "scheduler", ("", ""))
    plain_sampler, combined_schedule = split_sampler(sampler)
    if combined_schedule and schedule.lower() in ("", combined_schedule.lower()):
        sampler, schedule = plain_sampler, schedule or combined_schedule
    builder.set_field("sampler", sampler, source_name)
    builder.set_field("scheduler", schedule, "Schedule type")


def _detect_tool(parameters: Mapping[str, tuple[str, str]]) -> str:
    version = parameters.get("version", ("", ""))[1].lower()
    if parameters.get("app", ("", ""))[1].lower().startswith("sd.next"):
        return "SD.Next"
    for beginning, tool in TOOL_BY_VERSION.items():
        if version.startswith(beginning):
            return tool
    if FORGE_VERSION.match(version):
        return "Forge"
    if "civitai resources" in parameters and not version:
        return "Civitai"
    return "ComfyUI" if "lora_0 model name" in parameters else "AUTOMATIC1111"
