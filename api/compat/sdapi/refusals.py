"""Functions of AUTOMATIC1111 that a page for making pictures does not have: refused in words."""

from typing import NoReturn

from flask import Response

from api.compat.sdapi.surface import sdapi_blueprint
from api.http.request_bodies import read_body
from api.jobs.job_bodies import MAX_JSON_BYTES
from schemas.errors import NotOffered

ANY_BODY = {"content": {"application/json": {"schema": {"description": "Any JSON value."}}}}

EXTRAS = "Upscaling and restoring faces are not offered: Darkroom drives pages that make pictures from prompts."
INTERROGATION = "Describing pictures is not offered: Darkroom drives pages that make pictures from prompts."
TRAINING = "Training is not offered: Darkroom drives pages that make pictures from prompts."

blueprint = sdapi_blueprint("refusals")


@blueprint.route("/extra-single-image", methods=["POST"], endpoint="extra_single_image")
@blueprint.route("/extra-batch-images", methods=["POST"], endpoint="extra_batch_images")
@blueprint.doc(requestBody=ANY_BODY)
@blueprint.response(501, description="Not offered.")
def refuse_extras() -> Response:
    """Upscaling and restoring faces, which is not offered."""
    _refuse(EXTRAS)


@blueprint.route("/interrogate", methods=["POST"], endpoint="interrogate")
@blueprint.doc(requestBody=ANY_BODY)
@blueprint.response(501, description="Not offered.")
def refuse_interrogation() -> Response:
    """Words for a picture, which is not offered."""
    _refuse(INTERROGATION)


@blueprint.route("/create/embedding", methods=["POST"], endpoint="create_embedding")
@blueprint.route("/create/hypernetwork", methods=["POST"], endpoint="create_hypernetwork")
@blueprint.route("/train/embedding", methods=["POST"], endpoint="train_embedding")
@blueprint.route("/train/hypernetwork", methods=["POST"], endpoint="train_hypernetwork")
@blueprint.doc(requestBody=ANY_BODY)
@blueprint.response(501, description="Not offered.")
def refuse_training() -> Response:
    """Training, which is not offered."""
    _refuse(TRAINING)


def _refuse(message: str) -> NoReturn:
    # A client that is still sending its picture would not see the answer.
    read_body(MAX_JSON_BYTES)
    raise NotOffered(message)
