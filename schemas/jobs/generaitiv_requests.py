"""The words of the generaitiv API: its ids, the body of a generation, and what of it a recipe understands. Pure.

Source: the public documentation of that API.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, validate

from schemas.errors import Invalid, NotFound
from schemas.fields import MAX_LORA_NAME_LENGTH, MAX_PROMPT_LENGTH, Text, to_snake_case
from schemas.sites.recipe import Recipe

WORKLOAD_ID_PREFIX = "0x"
WORKLOAD_ID_PATTERN = re.compile(r"(?:0x)?([0-9a-f]{32})", re.ASCII)
PROMPT_TYPE = "IMAGE_GENERATION_PROMPT"
COMMON_INPUTS = ("prompt", "lora")
MAX_MODEL_SLUG_LENGTH = 200
# What an input is called elsewhere; the first that a recipe has is taken.
INPUT_ALIASES: Mapping[str, tuple[str, ...]] = {
    "num_inference_steps": ("steps",),
    "guidance_scale": ("cfg_scale", "guidance", "cfg"),
    "scheduler": ("sampler", "sampler_name"),
    "lora_scale": ("lora_weight",),
    "num_outputs": ("batch_size", "image_number", "count"),
}
MODEL_INPUT_ALIASES = ("checkpoint", "model")


def workload_id(job_id: str) -> str:
    """A job's id as clients of this API know it."""
    return WORKLOAD_ID_PREFIX + job_id


def parse_workload_id(workload: str) -> str:
    """The job of an id, with or without ``0x``, in either case.

    Raises:
        NotFound: it is no id at all.
    """
    found = WORKLOAD_ID_PATTERN.fullmatch(workload.lower())
    if found is None:
        raise NotFound("There is no workload of that id.")
    return found[1]


class GenerationInput(Schema):
    """``input`` of a generation; whatever else it has is for the site."""

    class Meta:
        """Recipes decide."""

        unknown = EXCLUDE

    prompt = Text(required=True, validate=validate.Length(1, MAX_PROMPT_LENGTH))
    lora = Text(allow_none=True, validate=validate.Length(1, MAX_LORA_NAME_LENGTH))


class GenerationRequest(Schema):
    """The body of a generation."""

    class Meta:
        """Clients send more than anybody reads."""

        unknown = EXCLUDE

    input = fields.Nested(GenerationInput, required=True)
    model = Text(allow_none=True, validate=validate.Length(max=MAX_MODEL_SLUG_LENGTH))
    webhook = Text(allow_none=True, validate=validate.Length(max=2048))


@dataclass(frozen=True, slots=True)
class TranslatedInputs:
    """What of a generation a recipe takes, and a sentence for each thing that it does not."""

    inputs: dict[str, Any]
    warnings: list[str]


def translate_inputs(recipe: Recipe, raw_inputs: Mapping[str, Any], model: str = "") -> TranslatedInputs:
    """Each input under the recipe's name for it, where it fits; ``model`` is the part of the slug behind the site's."""
    wanted = [(name, value) for name, value in raw_inputs.items() if name not in COMMON_INPUTS]
    if model:
        wanted.append(("model", model))
    inputs: dict[str, Any] = {}
    warnings: list[str] = []
    for name, value in wanted:
        known = next((one for one in _names_of(name) if one in recipe.inputs), None)
        if known is None:
            warnings.append(f"{name}: {recipe.name} has no such input; it was left out.")
            continue
        try:
            inputs[known] = recipe.validate_inputs({known: value}).get(known)
        except Invalid as error:
            warnings.extend(f"{problem} It was left out." for problem in error.problems)
    return TranslatedInputs({name: value for name, value in inputs.items() if value is not None}, warnings)


def _names_of(name: str) -> Iterator[str]:
    plain = to_snake_case(name)
    yield plain
    yield from MODEL_INPUT_ALIASES if plain == "model" else INPUT_ALIASES.get(plain, ())


def split_model_slug(model: str | None, sites: Sequence[str]) -> tuple[str | None, str]:
    """The site of a model's slug and the model there, as in ``automatic1111/dreamshaper``; None if it names no site."""
    site, _, rest = (model or "").partition("/")
    return (site, rest) if site in sites else (None, "")
