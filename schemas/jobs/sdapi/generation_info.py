"""The description of pictures in an answer: infotexts, and the JSON text ``info``, in AUTOMATIC1111's format."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from schemas.images.embedded.a1111.infotext import read_infotext
from schemas.images.embedded.a1111.writer import write_infotext
from schemas.jobs.sdapi.requests import DEFAULTS
from schemas.jobs.sdapi.sampler_names import AUTOMATIC
from schemas.sites.input_aliases import find_input
from schemas.sites.recipe import Recipe

# The names in an infotext that correspond to the inputs of a recipe.
INFOTEXT_TARGETS: Mapping[str, str] = {
    "Steps": "steps",
    "Sampler": "sampler",
    "Schedule type": "scheduler",
    "CFG scale": "guidance",
    "Seed": "seed",
}

# Of features that Darkroom does not have; clients expect the fields.
NOT_OFFERED: dict[str, Any] = {
    "subseed": -1,
    "subseed_strength": 0,
    "restore_faces": False,
    "face_restoration_model": None,
    "sd_model_hash": None,
    "sd_vae_name": None,
    "sd_vae_hash": None,
    "seed_resize_from_w": -1,
    "seed_resize_from_h": -1,
    "extra_generation_params": {},
    "index_of_first_image": 0,
    "styles": [],
    "clip_skip": 1,
    "is_using_inpainting_conditioning": False,
}


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """What made a picture. ``infotext`` is the picture's own, if the page has embedded one."""

    site: str
    model: str
    prompt: str
    negative_prompt: str
    inputs: Mapping[str, Any]
    width: int
    height: int
    infotext: str = field(default="", repr=False)

    def value(self, recipe: Recipe, target: str) -> Any:
        """Return the value of the input that the recipe has for a target."""
        name = find_input(recipe, target)
        return self.inputs.get(name) if name else None

    def seed(self, recipe: Recipe) -> int:
        """Return the seed; -1 if the site takes none and its picture names none."""
        own = read_infotext(self.infotext) if self.infotext else None
        text = own.parameters.get("seed", ("", ""))[1] if own else ""
        if text.isascii() and text.isdigit():
            return int(text)
        value = self.value(recipe, "seed")
        return -1 if value is None else int(value)

    def text(self, recipe: Recipe, version: str) -> str:
        """Return the infotext: the picture's own, or else one made from the job's request."""
        if self.infotext:
            return self.infotext
        parameters = {name: self.value(recipe, target) for name, target in INFOTEXT_TARGETS.items()}
        has_picture = any(name in self.inputs for name in recipe.image_inputs)
        parameters |= {
            "Size": f"{self.width}x{self.height}",
            "Model": self.model,
            "Denoising strength": self.value(recipe, "strength") if has_picture else None,
            "Version": f"Darkroom {version}",
        }
        return write_infotext(self.prompt, self.negative_prompt, parameters)


def build_info(
    recipe: Recipe,
    pictures: Sequence[PictureInfo],
    body: Mapping[str, Any],
    *,
    version: str,
    notes: Mapping[str, Any],
    now_ms: int,
) -> str:
    """Return ``info``; ``notes`` are what only Darkroom says, under the key ``darkroom``.

    Where there is no picture, it describes the request.
    """
    seeds = [picture.seed(recipe) for picture in pictures]
    first = pictures[0] if pictures else None
    prompt, negative = body["prompt"], body.get("negative_prompt", "")
    count = max(1, len(pictures))
    document = {
        "prompt": prompt,
        "all_prompts": [prompt] * count,
        "negative_prompt": negative,
        "all_negative_prompts": [negative] * count,
        "seed": seeds[0] if seeds else body.get("seed", -1),
        "all_seeds": seeds,
        "all_subseeds": [-1] * len(seeds),
        **_describe_settings(recipe, first, body),
        "batch_size": body.get("batch_size", 1),
        "infotexts": [picture.text(recipe, version) for picture in pictures],
        "job_timestamp": timestamp(now_ms),
        **NOT_OFFERED,
        "version": f"Darkroom {version}",
        "darkroom": notes,
    }
    return json.dumps(document)


def build_parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``parameters``: the request with AUTOMATIC1111's defaults, without pictures unless they are asked for."""
    hidden = () if body.get("include_init_images") else ("init_images", "mask")
    return {**DEFAULTS, **{name: None if name in hidden else value for name, value in body.items()}}


def timestamp(now_ms: int) -> str:
    """Return a time as ``job_timestamp``."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%d%H%M%S")


def _describe_settings(recipe: Recipe, first: PictureInfo | None, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known parameters of the first picture, and the request's for the rest."""
    width, height = (first.width, first.height) if first else (body.get("width"), body.get("height"))
    return {
        "width": width,
        "height": height,
        "sampler_name": (first and first.value(recipe, "sampler")) or AUTOMATIC,
        "cfg_scale": _first_value(recipe, first, "guidance", body, "cfg_scale"),
        "steps": _first_value(recipe, first, "steps", body, "steps"),
        "sd_model_name": first.model if first else recipe.name,
        "denoising_strength": (first and first.value(recipe, "strength")) or body.get("denoising_strength"),
    }


def _first_value(recipe: Recipe, first: PictureInfo | None, target: str, body: Mapping[str, Any], name: str) -> Any:
    value = first.value(recipe, target) if first else None
    return body.get(name, DEFAULTS[name]) if value is None else value
