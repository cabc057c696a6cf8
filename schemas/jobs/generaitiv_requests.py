"""Submissions of the generaitiv API: its ids, the body of a generation, and its translation to a recipe's inputs.

Source: the public documentation of that API.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, validate

from schemas.errors import Invalid, NotFound
from schemas.fields import MAX_LORA_NAME_LENGTH, MAX_PROMPT_LENGTH, Text, to_snake_case
from schemas.http.webhook_url import WebhookUrlField
from schemas.sites.recipe import Recipe

WORKLOAD_ID_PREFIX = "0x"
WORKLOAD_ID_PATTERN = re.compile(r"(?:0x)?([0-9a-f]{32})", re.ASCII)
PROMPT_TYPE = "IMAGE_GENERATION_PROMPT"
COMMON_INPUTS = ("prompt", "lora")
MAX_MODEL_SLUG_LENGTH = 200
# Names that recipes use for an input of this API, in order of preference.
INPUT_ALIASES: Mapping[str, tuple[str, ...]] = {
    "num_inference_steps": ("steps",),
    "guidance_scale": ("cfg_scale", "guidance", "cfg"),
    "scheduler": ("sampler", "sampler_name"),
    "lora_scale": ("lora_weight",),
    "num_outputs": ("batch_size", "image_number", "count"),
    "model": ("checkpoint", "model"),
    "image": ("init", "init_image"),
    "init_image": ("init", "image"),
    "mask": ("mask_image",),
}


def workload_id(job_id: str) -> str:
    """Return the id of a job in this API."""
    return WORKLOAD_ID_PREFIX + job_id


def parse_workload_id(workload: str) -> str:
    """Return the job id of a workload id, with or without ``0x``, in either case.

    Raises:
        NotFound: it is malformed.
    """
    match = WORKLOAD_ID_PATTERN.fullmatch(workload.lower())
    if match is None:
        raise NotFound("There is no workload with that id.")
    return match[1]


class GenerationInput(Schema):
    """The ``input`` of a generation; further fields are inputs of the site."""

    class Meta:
        """The recipe decides about other fields."""

        unknown = EXCLUDE

    prompt = Text(required=True, validate=validate.Length(1, MAX_PROMPT_LENGTH))
    lora = Text(allow_none=True, validate=validate.Length(1, MAX_LORA_NAME_LENGTH))


class GenerationRequest(Schema):
    """The body of a generation."""

    class Meta:
        """Existing clients send fields that have no meaning here."""

        unknown = EXCLUDE

    input = fields.Nested(GenerationInput, required=True)
    model = Text(allow_none=True, validate=validate.Length(max=MAX_MODEL_SLUG_LENGTH))
    webhook = WebhookUrlField(allow_none=True)


@dataclass(frozen=True, slots=True)
class TranslatedInputs:
    """The inputs that a recipe accepts, and a warning for each one that was dropped."""

    inputs: dict[str, Any]
    warnings: list[str]


def translate_inputs(recipe: Recipe, raw_inputs: Mapping[str, Any], model: str = "") -> TranslatedInputs:
    """Rename inputs to the recipe's names and drop what the recipe does not accept, except pictures: Invalid.

    ``model`` is the part of the model slug behind the site's name.
    """
    requested = [(name, value) for name, value in raw_inputs.items() if name not in COMMON_INPUTS]
    if model:
        requested.append(("model", model))
    inputs: dict[str, Any] = {}
    warnings: list[str] = []
    for name, value in requested:
        known = next((candidate for candidate in _candidate_names(name) if candidate in recipe.inputs), None)
        if known is None:
            warnings.append(f"{name}: {recipe.name} has no such input; it was dropped.")
            continue
        try:
            inputs[known] = recipe.validate_inputs({known: value}).get(known)
        except Invalid as error:
            if recipe.inputs[known].type == "image":
                # A picture without the one that it is to begin with is not what was asked for.
                raise
            warnings.extend(f"{problem} It was dropped." for problem in error.problems)
    return TranslatedInputs({name: value for name, value in inputs.items() if value is not None}, warnings)


def _candidate_names(name: str) -> Iterator[str]:
    plain = to_snake_case(name)
    yield plain
    yield from INPUT_ALIASES.get(plain, ())


def split_model_slug(model: str | None, sites: Sequence[str]) -> tuple[str | None, str]:
    """Split a slug such as ``automatic1111/dreamshaper`` into site and model; None if it does not begin with a site."""
    site, _, rest = (model or "").partition("/")
    return (site, rest) if site in sites else (None, "")
