"""``/sdapi/v1/png-info``: the texts of a picture, read without decoding its pixels."""

import base64
import binascii
import re
from typing import Any

from flask import Response, jsonify

from api.compat.sdapi.surface import json_object, sdapi_blueprint
from api.http.route_policy import RoutePolicy
from schemas.accounts.caller import Scope
from schemas.errors import Invalid
from schemas.images import formats
from schemas.images.containers.text_chunks import read_text_chunks
from schemas.images.embedded.a1111.infotext import read_infotext
from schemas.jobs.sdapi.requests import SdapiPicture, load_body
from schemas.jobs.sdapi.translation import picture_url
from schemas.jobs.sdapi.views import SdapiPictureTexts

PARAMETERS = "parameters"
SIZE = re.compile(r"(\d{1,6})x(\d{1,6})", re.ASCII)
# EXIF has no keywords.
EXIF_KEY = "exif comment"
READ = RoutePolicy(scope=Scope.READ, streams_body=True)

blueprint = sdapi_blueprint("png_info")


@blueprint.route("/png-info", methods=["POST"], policy=READ)
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": SdapiPicture}}})
@blueprint.response(200, SdapiPictureTexts)
@blueprint.alt_response(422, description="It is no picture, or the body is not valid.")
def read_png_info() -> Response:
    """The parameters that programs have embedded in a picture."""
    texts = read_text_chunks(_decode(load_body(SdapiPicture(), json_object())["image"]))
    items = dict(texts.by_keyword)
    info = items.pop(PARAMETERS, "")
    if not info and texts.unkeyed:
        info = items[EXIF_KEY] = texts.unkeyed[0]
    return jsonify({"info": info, "items": items, "parameters": _parse(info) if info else {}})


def _decode(text: str) -> bytes:
    """Return the bytes of a picture in base64, or of a data: URL; raises Invalid."""
    url = picture_url(text.strip())
    try:
        data = base64.b64decode(url.partition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(problems=["image: Not a picture in base64."]) from error
    if formats.detect(data) is None:
        raise Invalid(problems=[f"image: Not a picture; {formats.ACCEPTED_TEXT}."])
    return data


def _parse(text: str) -> dict[str, Any]:
    """Return the parameters under AUTOMATIC1111's names; a size is two of them."""
    infotext = read_infotext(text)
    if infotext is None:
        return {}
    parameters: dict[str, Any] = {"Prompt": infotext.prompt, "Negative prompt": infotext.negative_prompt}
    for name, value in infotext.parameters.values():
        if size := SIZE.fullmatch(value):
            parameters |= {f"{name}-1": size[1], f"{name}-2": size[2]}
        else:
            parameters[name] = value
    return parameters
