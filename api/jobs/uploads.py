"""Uploads: pictures that are sent once and used as inputs of several jobs."""

from typing import Any

from flask import Response, jsonify

from api.http import multipart
from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.route_policy import SUBMISSION, Access
from api.jobs.responses import Deleted
from schemas.jobs.job import UploadForm, UploadView
from stores.jobs.input_images import Upload

blueprint = Blueprint(
    "uploads",
    __name__,
    access=Access.KEY,
    url_prefix="/api/v1/uploads",
    description="Pictures for the image inputs of jobs.",
)


@blueprint.route("", methods=["POST"], policy=SUBMISSION)
@blueprint.doc(requestBody={"required": True, "content": {"multipart/form-data": {"schema": UploadForm}}})
@blueprint.response(201, UploadView, description='The upload; jobs take it as `{"uploadId": ID}`.')
def add() -> Response:
    """Upload a picture, in the field `file` of a form; it is kept for an hour."""
    with multipart.receive_upload() as received:
        upload = stores().input_images.upload(caller().id, received.file)
    response = jsonify(_view(upload))
    response.status_code = 201
    response.headers["Location"] = f"/api/v1/uploads/{upload.id}"
    return response


@blueprint.route("/<job_id:upload_id>")
@blueprint.response(200, UploadView)
def read(upload_id: str) -> Response:
    """One of your uploads."""
    return jsonify(_view(stores().input_images.get_upload(caller().id, upload_id)))


@blueprint.route("/<job_id:upload_id>", methods=["DELETE"])
@blueprint.response(200, Deleted, description="It is gone; jobs that use the picture keep it.")
def delete(upload_id: str) -> Response:
    """Delete one of your uploads."""
    stores().input_images.delete_upload(caller().id, upload_id)
    return jsonify({"deleted": True})


def _view(upload: Upload) -> dict[str, Any]:
    return {"id": upload.id, "expiresAt": upload.expires_at, **upload.image.to_json()}
