"""The bodies of ``/sdapi/v1/txt2img``, ``img2img`` and the other POST routes.

Fields, types and defaults are those of AUTOMATIC1111 1.10. Its clients send all fields always, also such as have no
meaning here, and fields of other programs, so unknown ones are ignored.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from schemas.fields import MAX_PROMPT_LENGTH, BoundedList, Text, WholeNumber
from schemas.jobs.sdapi.validation_errors import BodyInvalid, error_details

MAX_JOBS_PER_REQUEST = 16
# Of one value and of a name in a request.
MAX_NAME_LENGTH = 300
MAX_BASE64_LENGTH = 24 * 1024 * 1024
# Of lists without effect.
MAX_IGNORED_ITEMS = 1000
# AUTOMATIC1111's defaults for absent fields, for the field "parameters" of answers.
DEFAULTS: Mapping[str, Any] = {
    "prompt": "",
    "negative_prompt": "",
    "styles": None,
    "seed": -1,
    "subseed": -1,
    "subseed_strength": 0,
    "seed_resize_from_h": -1,
    "seed_resize_from_w": -1,
    "sampler_name": None,
    "scheduler": None,
    "batch_size": 1,
    "n_iter": 1,
    "steps": 50,
    "cfg_scale": 7.0,
    "width": 512,
    "height": 512,
    "restore_faces": None,
    "tiling": None,
    "do_not_save_samples": False,
    "do_not_save_grid": False,
    "denoising_strength": None,
    "override_settings": None,
    "override_settings_restore_afterwards": True,
    "enable_hr": False,
    "sampler_index": "Euler",
    "script_name": None,
    "script_args": [],
    "send_images": True,
    "save_images": False,
    "alwayson_scripts": {},
    "force_task_id": None,
    "infotext": None,
}


class LenientSchema(Schema):
    """A schema that ignores unknown fields."""

    class Meta:
        """Clients send fields that have no meaning here."""

        unknown = EXCLUDE


def _text(description: str = "", max_length: int = MAX_NAME_LENGTH) -> Text:
    return Text(allow_none=True, validate=validate.Length(max=max_length), metadata={"description": description})


def _number(description: str = "") -> fields.Float:
    return fields.Float(allow_none=True, metadata={"description": description})


def _whole(description: str = "", minimum: int | None = None, maximum: int | None = None) -> WholeNumber:
    checks = [] if minimum is None and maximum is None else [validate.Range(minimum, maximum)]
    return WholeNumber(allow_none=True, validate=checks, metadata={"description": description})


def _flag(description: str = "") -> fields.Boolean:
    return fields.Boolean(allow_none=True, metadata={"description": description})


class SdapiGeneration(LenientSchema):
    """What ``txt2img`` and ``img2img`` have in common."""

    prompt = Text(
        required=True,
        validate=validate.Length(1, MAX_PROMPT_LENGTH),
        metadata={"description": "The prompt; `<lora:NAME:WEIGHT>` calls a LoRA.", "example": "a lighthouse at dusk"},
    )
    negative_prompt = _text("What to leave out.", MAX_PROMPT_LENGTH)
    seed = _whole("-1 draws a random number; each further picture gets the next number.")
    steps = _whole("Number of steps.")
    cfg_scale = _number("Guidance scale.")
    width = _whole("In pixels.")
    height = _whole("In pixels.")
    denoising_strength = _number("How far the result may be from the picture.")
    sampler_name = _text("One of `/sdapi/v1/samplers`; a name that the site does not offer is ignored.")
    sampler_index = _text("The older name of `sampler_name`.")
    scheduler = _text("One of `/sdapi/v1/schedulers`; a name that the site does not offer is ignored.")
    batch_size = _whole("Pictures at a time.", 1, MAX_JOBS_PER_REQUEST)
    n_iter = _whole("How many times; each picture is a job.", 1, MAX_JOBS_PER_REQUEST)
    clip_skip = _whole("As `override_settings.CLIP_stop_at_last_layers`.")
    styles = BoundedList(_text(), allow_none=True, validate=validate.Length(max=MAX_IGNORED_ITEMS))
    restore_faces = _flag()
    tiling = _flag()
    enable_hr = _flag()
    script_name = _text("No scripts are installed, so only an empty name is accepted.")
    alwayson_scripts = fields.Dict(keys=fields.String(), allow_none=True)
    override_settings = fields.Dict(
        keys=fields.String(),
        allow_none=True,
        metadata={"description": "Options for this request only, such as `sd_model_checkpoint`."},
    )
    override_settings_restore_afterwards = _flag("`false` keeps `override_settings` for later requests.")
    send_images = _flag("`false`: the answer has no pictures.")
    save_images = _flag()
    force_task_id = _text()


class SdapiTextToImage(SdapiGeneration):
    """The body of ``txt2img``."""


class SdapiImageToImage(SdapiGeneration):
    """The body of ``img2img``."""

    init_images = BoundedList(
        fields.String(validate=validate.Length(1, MAX_BASE64_LENGTH)),
        allow_none=True,
        validate=validate.Length(max=MAX_JOBS_PER_REQUEST),
        metadata={"description": "Pictures in base64, or as `data:` URLs."},
    )
    mask = fields.String(
        allow_none=True,
        validate=validate.Length(max=MAX_BASE64_LENGTH),
        metadata={"description": "White where the picture is repainted."},
    )
    inpainting_mask_invert = _whole("1 repaints where the mask is black; a site must have an input for it.", 0, 1)
    mask_blur = _whole()
    inpainting_fill = _whole()
    inpaint_full_res = fields.Raw(allow_none=True)
    inpaint_full_res_padding = _whole()
    resize_mode = _whole()
    include_init_images = _flag("Repeat the pictures in `parameters`.")


class SdapiPicture(LenientSchema):
    """The body of ``png-info``."""

    image = fields.String(
        required=True,
        validate=validate.Length(max=MAX_BASE64_LENGTH),
        metadata={"description": "A picture in base64, or as a `data:` URL."},
    )


def load_body(schema: Schema, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the validated fields; fields that are null count as absent.

    Raises:
        BodyInvalid: a field has another type, or is out of bounds.
    """
    try:
        loaded: dict[str, Any] = schema.load(body)
    except ValidationError as error:
        raise BodyInvalid(error_details(error.normalized_messages())) from error
    return {name: value for name, value in loaded.items() if value is not None}
