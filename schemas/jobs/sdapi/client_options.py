"""The options of a caller: those with an effect, and others that clients expect."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from schemas.fields import PLAIN_TEXT, ResponseSchema
from schemas.jobs.sdapi.translation import OPTION_CLIP_SKIP, OPTION_MODEL, OPTION_VAE

MAX_VALUE_LENGTH = 400
MAX_CLIP_SKIP = 12
HONOURED = (OPTION_MODEL, OPTION_VAE, OPTION_CLIP_SKIP)
# Further options that clients expect, with values that describe Darkroom's behaviour.
FIXED_OPTIONS: Mapping[str, Any] = {
    "sd_checkpoint_hash": "",
    "samples_format": "png",
    "samples_save": False,
    "grid_save": False,
    "return_grid": False,
    "save_txt": False,
    "enable_pnginfo": True,
    "face_restoration": False,
    "face_restoration_model": None,
    "img2img_color_correction": False,
    "img2img_fix_steps": False,
    "eta_noise_seed_delta": 0,
    "live_previews_enable": True,
    "live_previews_image_format": "jpeg",
    "show_progress_every_n_steps": 1,
    "sd_lora": "None",
}
_CHANGE = {"type": ["string", "null"], "maxLength": MAX_VALUE_LENGTH, "pattern": PLAIN_TEXT}
CHANGES = {
    "type": "object",
    "properties": {
        OPTION_MODEL: {**_CHANGE, "description": "A site, or `SITE:MODEL`; null for the default site."},
        OPTION_VAE: {**_CHANGE, "description": "`Automatic` or null is the site's own choice."},
        OPTION_CLIP_SKIP: {"type": "integer", "minimum": 1, "maximum": MAX_CLIP_SKIP},
    },
    "additionalProperties": {"description": "Any other option, without effect."},
    "example": {OPTION_MODEL: "studio", OPTION_CLIP_SKIP: 1},
}


def _fixed_field(value: Any) -> fields.Field[Any]:
    """Return the field of an option that always has the same value."""
    match value:
        case bool():
            return fields.Boolean(metadata={"enum": [value]})
        case int():
            return fields.Integer(metadata={"enum": [value]})
        case str():
            return fields.String(metadata={"enum": [value]})
    return fields.Raw(metadata={"type": "null"})


SdapiOptions: type[Schema] = ResponseSchema.from_dict(
    {
        OPTION_MODEL: fields.String(metadata={"description": "The site, or `SITE:MODEL`.", "example": "studio"}),
        OPTION_VAE: fields.String(
            metadata={"description": "`Automatic` is the site's own choice.", "example": "Automatic"}
        ),
        OPTION_CLIP_SKIP: fields.Integer(metadata={"minimum": 1, "maximum": MAX_CLIP_SKIP, "example": 1}),
        **{name: _fixed_field(value) for name, value in FIXED_OPTIONS.items()},
    },
    name="SdapiOptions",
)
