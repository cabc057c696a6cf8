"""Schemas of the answers, for the description of the API; nothing is dumped through them."""

from typing import Any

from marshmallow import fields

from schemas.fields import ResponseSchema

EMPTY_OBJECT = {"type": "object", "maxProperties": 0}
EMPTY_LIST = {"type": "array", "maxItems": 0, "items": {}, "example": []}
NULL = {"type": "null"}
MISTAKE = {
    "type": "object",
    "properties": {
        "loc": {"type": "array", "items": {"type": ["string", "integer"]}, "description": "The path to the field."},
        "msg": {"type": "string"},
        "type": {"type": "string", "enum": ["type_error", "value_error", "value_error.missing"]},
    },
    "required": ["loc", "msg", "type"],
}


def _text(description: str = "", *, can_be_null: bool = False, **metadata: Any) -> fields.String:
    return fields.String(
        allow_none=can_be_null,
        metadata={"description": description, **metadata} if description else metadata,
    )


def _null() -> fields.Raw:
    return fields.Raw(metadata={"type": "null"})


class SdapiPictures(ResponseSchema):
    """The pictures of a request."""

    images = fields.List(fields.String(), metadata={"description": "PNG in base64."})
    parameters = fields.Dict(metadata={"description": "The request with the program's defaults."})
    info = _text("A JSON text with seeds, infotexts and sizes.", example='{"seed": 7}')


class SdapiState(ResponseSchema):
    """The state of the program."""

    skipped = fields.Boolean()
    interrupted = fields.Boolean()
    stopping_generation = fields.Boolean()
    job = _text("Empty if there is nothing to do.")
    job_count = fields.Integer(metadata={"description": "Jobs of the request; 0 without one."})
    job_timestamp = _text("When it began.", example="20250517145541")
    job_no = fields.Integer(metadata={"description": "How many of them have ended."})
    sampling_step = fields.Integer()
    sampling_steps = fields.Integer()


class SdapiProgress(ResponseSchema):
    """The progress of a request."""

    progress = fields.Float(metadata={"minimum": 0, "maximum": 1})
    eta_relative = fields.Float(metadata={"description": "Estimated seconds until it ends."})
    state = fields.Nested(SdapiState)
    current_image = _text("The newest preview, a JPEG in base64.", can_be_null=True)
    textinfo = _text("The place in the queue.", can_be_null=True)


class SdapiModel(ResponseSchema):
    """A site, or one of its models."""

    title = _text("A value of the option `sd_model_checkpoint`.", example="studio")
    model_name = _text(example="studio")
    hash = _null()
    sha256 = _null()
    filename = _text(example="studio")
    config = _null()


class SdapiSampler(ResponseSchema):
    """A sampler."""

    name = _text(example="Euler a")
    aliases = fields.List(fields.String())
    options = fields.Dict()


class SdapiScheduler(ResponseSchema):
    """A scheduler."""

    name = _text(example="karras")
    label = _text(example="Karras")
    aliases = _null()
    default_rho = fields.Float()
    need_inner_model = fields.Boolean()


class SdapiVae(ResponseSchema):
    """A VAE."""

    model_name = _text()
    filename = _text()


class SdapiLora(ResponseSchema):
    """A LoRA of the site or of the model library."""

    name = _text("For `<lora:NAME:WEIGHT>`.", example="Oil Impasto")
    alias = _text()
    path = _text()
    metadata = fields.Dict()


class SdapiUpscaler(ResponseSchema):
    """An upscaler."""

    name = _text(example="None")
    model_name = _null()
    model_path = _null()
    model_url = _null()
    scale = fields.Float()


class SdapiEmbeddings(ResponseSchema):
    """The embeddings."""

    loaded = fields.Dict()
    skipped = fields.Dict()


class SdapiScripts(ResponseSchema):
    """The scripts."""

    txt2img = fields.List(fields.String())
    img2img = fields.List(fields.String())


class SdapiFlags(ResponseSchema):
    """How the program was started."""

    api = fields.Boolean()
    nowebui = fields.Boolean()
    listen = fields.Boolean()
    api_auth = _null()
    darkroom = _text("The version of Darkroom.")


class SdapiRam(ResponseSchema):
    """Memory in bytes."""

    free = fields.Integer()
    used = fields.Integer()
    total = fields.Integer()


class SdapiMemory(ResponseSchema):
    """The memory of the machine; the graphics card belongs to the page."""

    ram = fields.Nested(SdapiRam)
    cuda = fields.Dict()


class SdapiPictureTexts(ResponseSchema):
    """The texts of a picture."""

    info = _text("The infotext; empty if there is none.")
    items = fields.Dict(metadata={"description": "Further texts by their keywords."})
    parameters = fields.Dict(metadata={"description": "The infotext's parameters by their names."})


class SdapiAppId(ResponseSchema):
    """The number of this version."""

    app_id = fields.Integer()


class SdapiQueue(ResponseSchema):
    """The caller's queue, in Gradio's form."""

    msg = _text(example="estimation")
    rank = _null()
    queue_size = fields.Integer(metadata={"description": "Your unfinished jobs."})
    avg_event_process_time = _null()
    avg_event_concurrent_process_time = _null()
    rank_eta = _null()
    queue_eta = fields.Integer()


class SdapiError(ResponseSchema):
    """An error: the program's four fields, or FastAPI's list of mistakes in ``detail`` alone."""

    error = fields.String(
        metadata={"optional": True, "description": "The class of the error.", "example": "HTTPException"}
    )
    detail = fields.Raw(
        metadata={
            "anyOf": [{"type": "string"}, {"type": "array", "items": MISTAKE}],
            "description": "The words, or for a request that is not valid a list of its mistakes.",
            "example": [{"loc": ["body", "steps"], "msg": "Not a valid integer.", "type": "type_error"}],
        },
    )
    body = fields.String(metadata={"optional": True, "description": "Always empty."})
    errors = fields.String(metadata={"optional": True, "description": "The words again."})
