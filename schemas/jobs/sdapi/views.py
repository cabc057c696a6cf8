"""Schemas of the answers, for the description of the API; nothing is dumped through them."""

from typing import Any

from marshmallow import Schema, fields

from schemas.jobs.sdapi.translation import OPTION_CLIP_SKIP, OPTION_MODEL, OPTION_VAE

EMPTY_OBJECT = {"type": "object", "maxProperties": 0}
EMPTY_LIST = {"type": "array", "maxItems": 0, "items": {}}
NULL = {"type": "null"}


def _text(description: str = "", *, can_be_null: bool = False, **metadata: Any) -> fields.String:
    return fields.String(
        required=True,
        allow_none=can_be_null,
        metadata={"description": description, **metadata} if description else metadata,
    )


def _null() -> fields.Raw:
    return fields.Raw(required=True, allow_none=True, metadata={"type": "null"})


class GenerationView(Schema):
    """The pictures of a request."""

    images = fields.List(fields.String(), required=True, metadata={"description": "PNG in base64."})
    parameters = fields.Dict(required=True, metadata={"description": "The request with the program's defaults."})
    info = _text("A JSON text with seeds, infotexts and sizes.", example='{"seed": 7}')


class StateView(Schema):
    """What the program does."""

    skipped = fields.Boolean(required=True)
    interrupted = fields.Boolean(required=True)
    stopping_generation = fields.Boolean(required=True)
    job = _text("Empty if there is nothing to do.")
    job_count = fields.Integer(required=True, metadata={"description": "Jobs of the request; 0 without one."})
    job_timestamp = _text("When it began.", example="20250517145541")
    job_no = fields.Integer(required=True, metadata={"description": "How many of them have ended."})
    sampling_step = fields.Integer(required=True)
    sampling_steps = fields.Integer(required=True)


class ProgressView(Schema):
    """The progress of a request."""

    progress = fields.Float(required=True, metadata={"minimum": 0, "maximum": 1})
    eta_relative = fields.Float(required=True, metadata={"description": "Estimated seconds until it ends."})
    state = fields.Nested(StateView, required=True)
    current_image = _text("The newest preview, a JPEG in base64.", can_be_null=True)
    textinfo = _text("The place in the queue.", can_be_null=True)


OptionsView = Schema.from_dict(
    {
        OPTION_MODEL: _text("The site, or `SITE:MODEL`.", example="studio"),
        OPTION_VAE: _text("`Automatic` is the site's own choice.", example="Automatic"),
        OPTION_CLIP_SKIP: fields.Integer(required=True, metadata={"example": 1}),
    },
    name="OptionsView",
)


class ModelItem(Schema):
    """A site, or one of its models."""

    title = _text("A value of the option `sd_model_checkpoint`.", example="studio")
    model_name = _text(example="studio")
    hash = _null()
    sha256 = _null()
    filename = _text(example="studio")
    config = _null()


class SamplerItem(Schema):
    """A sampler."""

    name = _text(example="Euler a")
    aliases = fields.List(fields.String(), required=True)
    options = fields.Dict(required=True)


class SchedulerItem(Schema):
    """A scheduler."""

    name = _text(example="karras")
    label = _text(example="Karras")
    aliases = _null()
    default_rho = fields.Float(required=True)
    need_inner_model = fields.Boolean(required=True)


class VaeItem(Schema):
    """A VAE."""

    model_name = _text()
    filename = _text()


class LoraItem(Schema):
    """A LoRA of the site or of the model library."""

    name = _text("For `<lora:NAME:WEIGHT>`.", example="Oil Impasto")
    alias = _text()
    path = _text()
    metadata = fields.Dict(required=True)


class UpscalerItem(Schema):
    """An upscaler."""

    name = _text(example="None")
    model_name = _null()
    model_path = _null()
    model_url = _null()
    scale = fields.Float(required=True)


class EmbeddingsView(Schema):
    """The embeddings."""

    loaded = fields.Dict(required=True)
    skipped = fields.Dict(required=True)


class ScriptsView(Schema):
    """The scripts."""

    txt2img = fields.List(fields.String(), required=True)
    img2img = fields.List(fields.String(), required=True)


class FlagsView(Schema):
    """How the program was started."""

    api = fields.Boolean(required=True)
    nowebui = fields.Boolean(required=True)
    listen = fields.Boolean(required=True)
    api_auth = _null()
    darkroom = _text("The version of Darkroom.")


class RamView(Schema):
    """Memory in bytes."""

    free = fields.Integer(required=True)
    used = fields.Integer(required=True)
    total = fields.Integer(required=True)


class MemoryView(Schema):
    """The memory of the machine; the graphics card belongs to the page."""

    ram = fields.Nested(RamView, required=True)
    cuda = fields.Dict(required=True)


class PictureInfoView(Schema):
    """The texts of a picture."""

    info = _text("The infotext; empty if there is none.")
    items = fields.Dict(required=True, metadata={"description": "Further texts by their keywords."})
    parameters = fields.Dict(required=True, metadata={"description": "The infotext's parameters by their names."})


class AppIdView(Schema):
    """The number of this version."""

    app_id = fields.Integer(required=True)


class QueueView(Schema):
    """The caller's queue, in Gradio's form."""

    msg = _text(example="estimation")
    rank = _null()
    queue_size = fields.Integer(required=True, metadata={"description": "Your unfinished jobs."})
    avg_event_process_time = _null()
    avg_event_concurrent_process_time = _null()
    rank_eta = _null()
    queue_eta = fields.Integer(required=True)


class ErrorBody(Schema):
    """An error: AUTOMATIC1111's four fields, or FastAPI's list of mistakes in ``detail`` alone."""

    error = fields.String(metadata={"description": "The class of the error."})
    detail = fields.Raw(
        required=True,
        metadata={
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}],
            "description": "The words, or with 422 a list of mistakes with `loc`, `msg` and `type`.",
        },
    )
    body = fields.String()
    errors = fields.String()
