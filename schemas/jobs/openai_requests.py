"""Requests of OpenAI's Images API, and their translation to a recipe's inputs.

Source: the types of the official packages for Python and JavaScript.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, validate

from schemas.errors import Invalid, NotFound
from schemas.fields import MAX_LORA_NAME_LENGTH, MAX_PROMPT_LENGTH, Text, WholeNumber, flatten_errors
from schemas.http.webhook_url import WebhookUrlField
from schemas.images.input_images import ImageSource, ImageSourceField
from schemas.jobs.job import MAX_PRIORITY, MIN_PRIORITY
from schemas.sites.input_aliases import ClientApi, ClientField, SentField, find_input, size_fields
from schemas.sites.recipe import Recipe

OPENAI = ClientApi(
    title="OpenAI",
    refuses_unknown=True,
    fields=(
        ClientField("prompt", ("prompt",)),
        ClientField("model", ("model", "site")),
        ClientField("n", ("count",)),
        ClientField("size", ("width", "height"), neutral=("auto",), sets_all=True),
        ClientField("quality", ("quality",), neutral=("auto", "standard")),
        ClientField("style", ("style",), neutral=("vivid",)),
        ClientField("background", ("background",), neutral=("auto", "opaque")),
        ClientField("image", ("image",)),
        ClientField("images", ("image",)),
        ClientField("mask", ("mask",)),
        ClientField("response_format", ("answer",)),
        ClientField("output_format", ("answer",)),
        ClientField("output_compression", ("answer",), neutral=(100, "100")),
        ClientField("stream", ("answer",)),
        ClientField("partial_images", ("answer",)),
        ClientField("user", ("ignored",)),
        ClientField("safety_identifier", ("ignored",)),
        ClientField("moderation", ("ignored",)),
        # Not OpenAI's own, but understood by servers that speak its API.
        ClientField("negative_prompt", ("negative_prompt",)),
        ClientField("seed", ("seed",)),
        ClientField("steps", ("steps",)),
        ClientField("num_inference_steps", ("steps",)),
        ClientField("guidance_scale", ("guidance",)),
        ClientField("cfg_scale", ("guidance",)),
        ClientField("sampler", ("sampler", "scheduler")),
        ClientField("strength", ("strength",)),
        ClientField("lora", ("lora",)),
        ClientField("lora_scale", ("lora_weight",)),
        ClientField("priority", ("priority",)),
        ClientField("webhook", ("webhook",)),
    ),
)
MODEL_SEPARATOR = ":"
MAX_MODEL_LENGTH = 400
MAX_PICTURES = 10
MAX_PARTIAL_IMAGES = 3
MAX_IMAGES = 8
URL, B64_JSON = "url", "b64_json"
# Extensions of the formats that a client may ask for.
OUTPUT_FORMATS: Mapping[str, str] = {"png": "png", "jpeg": "jpg", "webp": "webp"}
# Clients whose model cannot be configured send one of these; they mean the default site.
OPENAI_MODELS = re.compile(r"(?:dall-e|gpt-image|chatgpt-image)-[a-z0-9.-]{1,60}", re.ASCII)
IMAGE_FIELD = re.compile(r"image(?:\[([0-9]{1,3})\])?", re.ASCII)


class ImagesRequestSchema(Schema):
    """The body of a request for pictures. Further fields are inputs of the site that ``model`` names."""

    class Meta:
        """The site's recipe decides about other fields."""

        unknown = INCLUDE

    prompt = Text(
        required=True,
        validate=validate.Length(1, MAX_PROMPT_LENGTH),
        metadata={"description": "What to generate, in words.", "example": "a lighthouse at dusk, oil painting"},
    )
    model = Text(
        allow_none=True,
        validate=validate.Length(max=MAX_MODEL_LENGTH),
        metadata={
            "description": "A site, or `SITE:MODEL` for one of its models. Without it, or with the name of a model of"
            " OpenAI, the default site.",
            "example": "studio",
        },
    )
    n = WholeNumber(
        allow_none=True,
        validate=validate.Range(1, MAX_PICTURES),
        metadata={"description": "Number of pictures: all of them, or an error.", "example": 1},
    )
    response_format = fields.String(
        allow_none=True,
        validate=validate.OneOf([URL, B64_JSON]),
        metadata={"description": "What each picture has; without it, both.", "example": "b64_json"},
    )
    output_format = fields.String(
        allow_none=True,
        validate=validate.OneOf(list(OUTPUT_FORMATS)),
        metadata={"description": "The format of the pictures; without it the site's own.", "example": "png"},
    )
    stream = fields.Boolean(allow_none=True, metadata={"description": "Answer with server-sent events."})
    partial_images = WholeNumber(
        allow_none=True,
        validate=validate.Range(0, MAX_PARTIAL_IMAGES),
        metadata={"description": "How many previews a stream may have, for each picture."},
    )
    lora = Text(allow_none=True, validate=validate.Length(1, MAX_LORA_NAME_LENGTH))
    priority = WholeNumber(allow_none=True, validate=validate.Range(MIN_PRIORITY, MAX_PRIORITY))
    webhook = WebhookUrlField(allow_none=True)


_SCHEMA = ImagesRequestSchema()
REQUEST_FIELDS = tuple(_SCHEMA.fields)


@dataclass(frozen=True, slots=True)
class ImagesRequest:
    """A request for ``count`` pictures.

    An empty ``response_format`` means both, an empty ``output_format`` the site's own. ``values`` are the fields as
    they were sent, by their names.
    """

    prompt: str
    model: str = ""
    count: int = 1
    response_format: str = ""
    output_format: str = ""
    stream: bool = False
    partial_images: int = 0
    lora: str | None = None
    priority: int = 0
    webhook: str = ""
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def sent_fields(self, recipe: Recipe, model: str) -> list[SentField]:
        """Return the fields that set inputs; ``model`` is the part behind the site's name.

        Raises:
            Invalid: a size or a picture is malformed.
        """
        sent = [SentField("model", model)] if model else []
        for name, value in self.values.items():
            if name in REQUEST_FIELDS or ((known := OPENAI.find(name)) and "ignored" in known.targets):
                continue
            if name == "size" and name not in recipe.inputs and value not in ("auto", None):
                sent += size_fields(recipe, name, value)
            elif not IMAGE_FIELD.fullmatch(name) and name not in ("images", "mask"):
                sent.append(SentField(name, value))
        return sent + self._image_fields(recipe)

    def _image_fields(self, recipe: Recipe) -> list[SentField]:
        """Return the pictures: the first for the picture to begin with, others for further inputs in their order."""
        mask = find_input(recipe, "mask")
        first = find_input(recipe, "image")
        others = [name for name in recipe.image_inputs if name not in (mask, first)]
        places = ([first] if first else []) + others
        sent = []
        for number, (name, value) in enumerate(_images(self.values)):
            sent.append(SentField(name, value, places[number] if number < len(places) else ""))
        if self.values.get("mask") is not None:
            sent.append(SentField("mask", _mask(self.values["mask"]), mask or ""))
        return sent


def load_images_request(values: Mapping[str, Any], *, needs_image: bool = False) -> ImagesRequest:
    """Return the request in the fields of a body.

    Raises:
        Invalid: a field is missing or malformed, or there is no picture though one is needed.
    """
    try:
        loaded: dict[str, Any] = _SCHEMA.load(values)
    except ValidationError as error:
        raise Invalid(problems=list(flatten_errors(error.normalized_messages(), values))) from error
    images = _images(values)
    if needs_image and not images:
        raise Invalid(problems=["image: Missing data for required field."])
    if len(images) > MAX_IMAGES:
        raise Invalid(problems=[f"image: at most {MAX_IMAGES} pictures."])
    known = {name: loaded[name] for name in REQUEST_FIELDS if loaded.get(name) is not None}
    count = known.pop("n", 1)
    return ImagesRequest(**known, count=count, values=values)


def split_model(model: str, sites: Sequence[str]) -> tuple[str | None, str]:
    """Split ``SITE:MODEL`` into site and model; None means the default site.

    Raises:
        NotFound: no site has that name; ``details["model"]`` is the requested name.
    """
    site, _, rest = model.partition(MODEL_SEPARATOR)
    if site in sites:
        return site, rest
    if not model or OPENAI_MODELS.fullmatch(model):
        return None, ""
    message = f"The model {model[:100]!r} does not exist: it is a site, or SITE:MODEL. Sites: {', '.join(sites)}."
    raise NotFound(message, model=model[:100])


def _images(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the pictures of a request in their order, with the names of their fields."""
    named = [(name, value) for name, value in values.items() if IMAGE_FIELD.fullmatch(name) and value is not None]
    named.sort(key=lambda item: _image_number(item[0]))
    listed = values.get("images") or []
    if not isinstance(listed, list):
        raise Invalid(problems=["images: must be a list."])
    flat = [(name, each) for name, value in named for each in (value if isinstance(value, list) else [value])]
    return flat + [(f"images[{number}]", _reference(value)) for number, value in enumerate(listed)]


def _image_number(name: str) -> int:
    match = IMAGE_FIELD.fullmatch(name)
    return int(match[1] or 0) if match else 0


def _reference(value: Any) -> Any:
    """Return the picture of ``{"image_url": URL}``."""
    return value["image_url"] if isinstance(value, Mapping) and "image_url" in value else value


def _mask(value: Any) -> ImageSource:
    """Return a mask whose transparent parts are repainted."""
    try:
        source: ImageSource = ImageSourceField().deserialize(_reference(value))
    except ValidationError as error:
        raise Invalid(problems=[f"mask: {message}" for message in error.messages]) from error
    return replace(source, is_alpha_mask=True)
