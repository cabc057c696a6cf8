"""Submissions of the generaitiv API: its ids, the body of a generation, and its translation to a recipe's inputs.

Source: the public documentation of that API.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, validate

from schemas.errors import NotFound
from schemas.fields import MAX_LORA_NAME_LENGTH, MAX_PROMPT_LENGTH, Text
from schemas.http.webhook_url import WebhookUrlField
from schemas.sites.input_aliases import ClientApi, ClientField, SentField, TranslatedInputs, translate
from schemas.sites.recipe import Recipe

WORKLOAD_ID_PREFIX = "0x"
WORKLOAD_ID_PATTERN = re.compile(r"(?:0x)?([0-9a-f]{32})", re.ASCII)
PROMPT_TYPE = "IMAGE_GENERATION_PROMPT"
MAX_MODEL_SLUG_LENGTH = 200
COMMON_INPUTS = ("prompt", "lora")
GENERAITIV = ClientApi(
    title="generaitiv",
    fields=(
        ClientField("prompt", ("prompt",)),
        ClientField("model", ("model", "site")),
        ClientField("lora", ("lora",)),
        ClientField("lora_scale", ("lora_weight",)),
        ClientField("negative_prompt", ("negative_prompt",)),
        ClientField("seed", ("seed",)),
        ClientField("width", ("width",)),
        ClientField("height", ("height",)),
        ClientField("num_inference_steps", ("steps",)),
        ClientField("guidance_scale", ("guidance",)),
        ClientField("scheduler", ("scheduler", "sampler")),
        ClientField("num_outputs", ("count",)),
        ClientField("image", ("image",)),
        ClientField("init_image", ("image",)),
        ClientField("mask", ("mask",)),
        ClientField("prompt_strength", ("strength",)),
        ClientField("webhook", ("webhook",)),
    ),
)


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

    prompt = Text(
        required=True,
        validate=validate.Length(1, MAX_PROMPT_LENGTH),
        metadata={"description": "What to generate, in words.", "example": "a lighthouse at dusk, oil painting"},
    )
    lora = Text(allow_none=True, validate=validate.Length(1, MAX_LORA_NAME_LENGTH))


class GenerationRequest(Schema):
    """The body of a generation."""

    class Meta:
        """Existing clients send fields that have no meaning here."""

        unknown = EXCLUDE

    input = fields.Nested(GenerationInput, required=True)
    model = Text(
        allow_none=True,
        validate=validate.Length(max=MAX_MODEL_SLUG_LENGTH),
        metadata={"description": "A site, a site and a checkpoint, or a training.", "example": "studio"},
    )
    webhook = WebhookUrlField(
        allow_none=True,
        allow_empty=True,
        metadata={"description": "URL that receives the final event; empty for none."},
    )


class AnonymousGenerationRequest(GenerationRequest):
    """The body of a generation without a key, for the API description only."""

    class Meta(GenerationRequest.Meta):
        """A webhook needs a key."""

        exclude = ("webhook",)


def translate_inputs(recipe: Recipe, raw_inputs: Mapping[str, Any], model: str = "") -> TranslatedInputs:
    """Rename inputs to the recipe's names and drop what the recipe does not accept, except pictures: Invalid.

    ``model`` is the part of the model slug behind the site's name.
    """
    sent = [SentField(name, value) for name, value in raw_inputs.items() if name not in COMMON_INPUTS]
    if model:
        sent.append(SentField("model", model))
    return translate(GENERAITIV, recipe, sent)


def split_model_slug(model: str | None, sites: Sequence[str]) -> tuple[str | None, str]:
    """Split a slug such as ``automatic1111/dreamshaper`` into site and model; None if it does not begin with a site."""
    site, _, rest = (model or "").partition("/")
    return (site, rest) if site in sites else (None, "")
