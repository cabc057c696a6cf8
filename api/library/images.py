"""Routes for images of models: user images, which are uploaded or kept from a job, and previews beside model files."""

import re
from typing import Any

from flask import Response, jsonify, request

from api.http import multipart
from api.http.blueprint import Blueprint
from api.http.context import own_job, stores
from api.http.error_responses import library_body
from api.http.request_bodies import require_json
from api.http.route_policy import Access, RoutePolicy
from api.http.routing import JobIdConverter
from api.library.image_files import send_image, send_thumbnail
from api.library.models import parse_id
from api.library.resource_links import match_resources
from api.library.responses import ModelImage, ModelImageDetail, Success
from api.library.serializers import image_view, params_view
from api.openapi.paths import REQUEST_ID
from schemas.accounts.caller import Scope
from schemas.errors import Conflict, Forbidden, Gone, Invalid, NotFound, RangeNotSatisfiable
from schemas.images.inspected_image import StoredImage
from schemas.images.params_requests import merge_params, parse_json_field, parse_loras, sanitize_json
from schemas.jobs.job import Job
from schemas.library.model_views import ImageView
from schemas.library.requests import FromJob, ImageChange, ImageForm, ImageUpload, load_body, parse_nsfw_level
from stores.jobs.jobs import NO_SUCH_JOB

MAX_RECENT = 100
EDIT = RoutePolicy(scope=Scope.LIBRARY)
UPLOAD = RoutePolicy(scope=Scope.LIBRARY, streams_body=True)
BINARY = {"type": "string", "format": "binary"}
BODY = {
    "required": True,
    "content": {"multipart/form-data": {"schema": ImageUpload}, "application/json": {"schema": FromJob}},
}
# Generation parameters by the names of form fields and job inputs, with their JSON names.
PARAM_NAMES = {
    "negative_prompt": "negativePrompt",
    "seed": "seed",
    "steps": "steps",
    "cfg_scale": "cfgScale",
    "sampler": "sampler",
    "scheduler": "scheduler",
}

blueprint = Blueprint(
    "model_images",
    __name__,
    access=Access.KEY,
    error_format=library_body,
    description="Images of models.",
)
image_blueprint = Blueprint(
    "images", __name__, access=Access.KEY, error_format=library_body, description="Images of models."
)


@blueprint.route("", methods=["GET"], endpoint="listing")
@blueprint.response(200, ModelImage(many=True))
@blueprint.sends(Invalid)
def list_images(model_id: str) -> Response:
    """List the user images of a model, in their order."""
    images = stores().library.images.list_user_images(_existing_model(model_id))
    return jsonify([image_view(image) for image in images])


@blueprint.route("", methods=["POST"], policy=UPLOAD, endpoint="add")
@blueprint.doc(requestBody=BODY, parameters=[REQUEST_ID])
@blueprint.sends(Conflict, Gone)
@blueprint.response(201, ModelImageDetail, description="The image. A JSON body with `jobId` keeps an image of a job.")
def add_image(model_id: str) -> Response:
    """Add an image to a model: a form with `file`, or `{"jobId": …}`."""
    id_ = _existing_model(model_id)
    response = jsonify(_image_detail(_keep_job_image(id_) if request.is_json else _store_upload(id_)))
    response.status_code = 201
    return response


@blueprint.route("/<image_id>", methods=["GET"], endpoint="read")
@blueprint.response(200, ModelImageDetail)
@blueprint.sends(Invalid)
def get_image(model_id: str, image_id: str) -> Response:
    """Get an image of a model."""
    return jsonify(_image_detail(_image_of_model(model_id, image_id)))


@blueprint.route("/<image_id>", methods=["PATCH"], policy=EDIT, endpoint="change")
@blueprint.arguments(ImageChange)
@blueprint.response(200, ModelImageDetail, description="The changed image.")
def edit_image(body: dict[str, Any], model_id: str, image_id: str) -> Response:
    """Edit a user image."""
    require_json()
    image = _image_of_model(model_id, image_id)
    edited = stores().library.images.update(image.model_id, image.id, _changed_columns(image, body))
    return jsonify(_image_detail(edited))


@blueprint.route("/<image_id>", methods=["DELETE"], policy=EDIT, endpoint="delete")
@blueprint.response(200, Success)
def delete_image(model_id: str, image_id: str) -> Response:
    """Delete a user image permanently."""
    image = _image_of_model(model_id, image_id)
    deleted = stores().library.images.delete(image.model_id, image.id)
    for key in filter(None, (deleted.media_key, deleted.thumb_key)):
        stores().media.delete(key)
    return jsonify({"success": True})


@image_blueprint.route("/recent", methods=["GET"], endpoint="recent")
@image_blueprint.response(200, ModelImage(many=True))
def list_recent() -> Response:
    """List the newest user images of all models."""
    return jsonify([image_view(image) for image in stores().library.images.list_recent(MAX_RECENT)])


@image_blueprint.route("/<image_id>", methods=["GET"], endpoint="picture")
@image_blueprint.response(200, BINARY, description="The original bytes.", content_type="image/*")
@image_blueprint.alt_response(200, schema=BINARY, content_type="video/*", description="The original bytes.")
@image_blueprint.sends(206, 304, Forbidden, Invalid, RangeNotSatisfiable)
def get_original(image_id: str) -> Response:
    """Get the bytes of an image."""
    return send_image(stores().library.images.get(parse_id(image_id, "image")))


@image_blueprint.route("/<image_id>/thumb", methods=["GET"], endpoint="thumb")
@image_blueprint.response(200, BINARY, description="WebP, at most 400 pixels wide.", content_type="image/webp")
@image_blueprint.sends(304, Forbidden, Invalid)
def get_thumbnail(image_id: str) -> Response:
    """Get a thumbnail of an image."""
    return send_thumbnail(stores().library.images.get(parse_id(image_id, "image")))


def _existing_model(model_id: str) -> int:
    id_ = parse_id(model_id)
    if not stores().library.models.exists(id_):
        raise NotFound("Model not found")
    return id_


def _image_of_model(model_id: str, image_id: str) -> ImageView:
    image = stores().library.images.get(parse_id(image_id, "image"))
    if image.model_id != parse_id(model_id):
        raise NotFound("Image not found")
    return image


def _image_detail(image: ImageView) -> dict[str, Any]:
    return image_view(image) | {"uses": match_resources(params_view(image))}


def _store_upload(model_id: int) -> ImageView:
    """Add the image of the request's form. Fields of the form override the file's metadata, unless they are empty."""
    with multipart.receive_upload() as upload:
        fields = load_body(ImageForm(), upload.fields)
        # Everything is validated before the file is inspected, which takes longest.
        version_id = _require_version(model_id, fields.get("version_id"))
        from_form = _form_params(fields)
        level = parse_nsfw_level(fields.get("nsfw_level"))
        stored = multipart.inspect_upload(upload)
    params = sanitize_json(dict(stored.generation or {})) | from_form
    prompt = fields.get("prompt", params.get("prompt"))
    return _add_image(model_id, version_id, stored, {"prompt": prompt, "params": params, "nsfw_level": level})


def _form_params(fields: dict[str, Any]) -> dict[str, Any]:
    params = {json_name: fields[name] for name, json_name in PARAM_NAMES.items() if name in fields}
    loras = parse_loras(fields.get("loras"))
    workflow = parse_json_field("comfyWorkflow", fields.get("comfy_workflow"), dict)
    return params | ({"loras": loras} if loras else {}) | ({"comfyWorkflow": workflow} if workflow else {})


def _keep_job_image(model_id: int) -> ImageView:
    """Add an image of the caller's own job, named in the request's body."""
    body = load_body(FromJob(), request.get_json())
    job = own_job(_require_job_id(body["jobId"]))
    version_id, level = _require_version(model_id, body.get("versionId")), parse_nsfw_level(body.get("nsfwLevel"))
    return keep_job_image(model_id, job, number=body["number"], version_id=version_id, nsfw_level=level)


def keep_job_image(
    model_id: int, job: Job, *, number: int = 1, version_id: int | None = None, nsfw_level: int = 0
) -> ImageView:
    """Add an image of a job to a model; raises Conflict and Gone for jobs without it."""
    if not job.results:
        raise Conflict(f"The job is {job.state} and has no image.")
    data = stores().results.get_original(job.id, number) if 0 < number <= len(job.results) else None
    if data is None:
        raise Gone("The job has no image with this number, or the image has expired.")
    stored = multipart.inspect_bytes(data)
    values = {"nsfw_level": nsfw_level, "job_id": job.id}
    return _add_image(
        model_id, version_id, stored, values | {"prompt": job.request.prompt, "params": _job_params(job, stored)}
    )


def _require_job_id(text: str) -> str:
    if not re.fullmatch(JobIdConverter.regex, text):
        raise NotFound(NO_SUCH_JOB)
    return text


def _job_params(job: Job, stored: StoredImage) -> dict[str, Any]:
    """Return generation parameters: those that the image has embedded, overridden by the job's inputs."""
    inputs, lora = job.request.inputs, job.request.lora
    embedded: dict[str, Any] = sanitize_json(dict(stored.generation or {}))
    from_job = {json_name: inputs[name] for name, json_name in PARAM_NAMES.items() if name in inputs}
    loras = {"loras": [{"name": lora}]} if lora else {}
    return embedded | from_job | loras | {"site": job.request.site}


def _add_image(model_id: int, version_id: int | None, stored: StoredImage, values: dict[str, Any]) -> ImageView:
    columns = {
        "media_key": stored.key,
        "thumb_key": stored.thumb_key,
        "media_type": stored.type,
        "width": stored.width,
        "height": stored.height,
        "blurhash": stored.blurhash,
    }
    return stores().library.images.add(model_id, version_id, columns | values)


def _require_version(model_id: int, version_id: int | None) -> int | None:
    if version_id is not None and not stores().library.models.has_version(model_id, version_id):
        raise Invalid(problems=[f"versionId: the model has no version {version_id}."])
    return version_id


def _changed_columns(image: ImageView, body: dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if "prompt" in body:
        columns["prompt"] = body["prompt"]
    if "nsfwLevel" in body:
        columns["nsfw_level"] = parse_nsfw_level(body["nsfwLevel"])
    if "sortOrder" in body:
        columns["sort_order"] = body["sortOrder"]
    if "generationParams" in body:
        columns["params"] = merge_params(image.params, body["generationParams"])
    return columns
