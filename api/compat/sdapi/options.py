"""``/sdapi/v1/options``: the settings of the program, of which each caller has its own few.

Honoured are the model, the VAE and the layers of CLIP. Clients send back all options that they have read, so others
are accepted without effect, and keep the values that they have here.
"""

from collections.abc import Mapping
from typing import Any

from flask import Response, jsonify

from api.compat.sdapi.model_choice import find_model
from api.compat.sdapi.surface import json_object, sdapi_blueprint
from api.http.context import caller, stores
from schemas.errors import Invalid
from schemas.fields import CONTROL_CHARACTERS, is_valid_unicode
from schemas.jobs.sdapi.client_options import (
    CHANGES,
    FIXED_OPTIONS,
    HONOURED,
    MAX_CLIP_SKIP,
    MAX_VALUE_LENGTH,
    SdapiOptions,
)
from schemas.jobs.sdapi.sampler_names import AUTOMATIC, is_unspecified
from schemas.jobs.sdapi.translation import OPTION_CLIP_SKIP, OPTION_MODEL, OPTION_VAE
from schemas.jobs.sdapi.views import NULL

blueprint = sdapi_blueprint("options")


@blueprint.route("/options")
@blueprint.response(200, SdapiOptions, description="The caller's options, by AUTOMATIC1111's names.")
def read_options() -> Response:
    """Your options; `sd_model_checkpoint` is the site, or `SITE:MODEL`."""
    options = shown_options()
    return jsonify(
        {
            OPTION_MODEL: find_model(options.get(OPTION_MODEL, "")).title,
            OPTION_VAE: options.get(OPTION_VAE, AUTOMATIC),
            OPTION_CLIP_SKIP: int(options.get(OPTION_CLIP_SKIP, 1)),
            **FIXED_OPTIONS,
        }
    )


@blueprint.route("/options", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": CHANGES}}})
@blueprint.response(200, NULL, description="`null`.")
@blueprint.alt_response(422, description="There is no such model, or a value is not valid.")
def change_options() -> Response:
    """Set options for your later requests; options that Darkroom does not know are accepted without effect."""
    change(json_object())
    return jsonify(None)


def kept_options() -> dict[str, str]:
    """Return the caller's own options as they were set; the model may no longer be there."""
    return stores().client_options.read(caller().id)


def shown_options() -> dict[str, str]:
    """Return the caller's own options; a model that is no longer there is left out.

    Pictures are made with ``kept_options``: those of another model would not be the requested ones.
    """
    options = kept_options()
    try:
        find_model(options.get(OPTION_MODEL, ""))
    except Invalid:
        del options[OPTION_MODEL]
    return options


def change(values: Mapping[str, Any]) -> None:
    """Keep those of the values that are honoured.

    Raises:
        Invalid: there is no such model, or a value has the wrong type.
    """
    changes = {name: parse_option(name, values[name]) for name in HONOURED if name in values}
    if changes:
        stores().client_options.change(caller().id, changes)


def parse_option(name: str, value: Any) -> str | None:
    """Return an option as it is kept; None if it is the default. Raises Invalid."""
    if name == OPTION_CLIP_SKIP:
        if type(value) not in (int, float) or not 1 <= value <= MAX_CLIP_SKIP or value != int(value):
            raise Invalid(problems=[f"{name}: must be a whole number from 1 to {MAX_CLIP_SKIP}."])
        return None if value == 1 else str(int(value))
    if value is None:
        return None
    is_text = isinstance(value, str) and is_valid_unicode(value) and not CONTROL_CHARACTERS.search(value)
    if not is_text or len(value) > MAX_VALUE_LENGTH:
        raise Invalid(problems=[f"{name}: must be a text of up to {MAX_VALUE_LENGTH} characters."])
    if name == OPTION_MODEL:
        choice = find_model(value.strip())
        return choice.title
    return None if is_unspecified(value) else value.strip()
