"""The pictures of models: those that people give, those that jobs have made, those that lie beside the files.

The same views stand below ``/api/v1`` for keys and below ``/api`` for who is signed in, as ``api.library.models`` has
them.
"""

import re
from typing import Any

from flask import Response, jsonify, request

from api.http import multipart
from api.http.blueprint import Blueprint
from api.http.context import own_job, stores
from api.http.error_responses import library_body
from api.http.request_bodies import require_json
from api.http.route_policy import Access, RoutePolicy
from api.http.url_converters import JobIdConverter
from api.library.image_files import send_image, send_thumbnail
from api.library.models import parse_id
from api.library.resource_links import match_resources
from api.library.serializers import image_view, params_view
from schemas.accounts.caller import Scope
from schemas.errors import Conflict, Gone, Invalid, NotFound
from schemas.images.inspected_image import StoredImage
from schemas.images.params_requests import merge_params, parse_json_field, parse_loras, sanitize_json
from schemas.jobs.job import Job
from schemas.library.model_views import ImageView
from schemas.library.requests import FromJob, ImageChange, ImageForm, ImageUpload, load_body, parse_nsfw_level

MAX_RECENT = 100
EDIT = RoutePolicy(scope=Scope.LIBRARY)
BODY = {"content": {"multipart/form-data": {"schema": ImageUpload}, "application/json": {"schema": FromJob}}}
FORM_PARAMS = {
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
    access=Access.KEY_OR_SESSION,
    error_format=library_body,
    description="Pictures of models.",
)
image_blueprint = Blueprint(
    "images", __name__, access=Access.KEY_OR_SESSION, error_format=library_body, description="Pictures of models."
)


@blueprint.route("", methods=["GET"])
@blueprint.response(200, description="The pictures that people have given to the model.")
def listing(ident: str) -> Response:
    """The pictures of a model that were given, in their order."""
    model_id = _model(ident)
    return jsonify([image_view(one) for one in stores().library.images.list_user_images(model_id)])


@blueprint.route("", methods=["POST"], policy=RoutePolicy(scope=Scope.LIBRARY, streams_body=True))
@blueprint.doc(requestBody=BODY)
@blueprint.response(201, description="The picture. A body of JSON with `jobId` keeps the picture of a job.")
def add(ident: str) -> Response:
    """Give a picture to a model: a form with `file`, or `{"jobId": …}`."""
    image = _from_job(_model(ident)) if request.is_json else _uploaded(_model(ident))
    response = jsonify(_whole(image))
    response.status_code = 201
    return response


@blueprint.route("/<image>", methods=["GET"])
@blueprint.response(200, description="The picture, and under `uses` the models that it names: here or lacking.")
def read(ident: str, image: str) -> Response:
    """A picture of a model."""
    return jsonify(_whole(_of_model(ident, image)))


@blueprint.route("/<image>", methods=["PATCH"], policy=EDIT)
@blueprint.arguments(ImageChange)
@blueprint.response(200, description="The picture as it is now.")
def change(body: dict[str, Any], ident: str, image: str) -> Response:
    """Write something else about a picture that was given."""
    require_json()
    known = _of_model(ident, image)
    pictures = stores().library.images
    return jsonify(_whole(pictures.update(known.model_id, known.id, _changes(known, body))))


@blueprint.route("/<image>", methods=["DELETE"], policy=EDIT)
@blueprint.response(200, description='`{"success": true}`')
def delete(ident: str, image: str) -> Response:
    """Take a picture that was given away, for good."""
    known = _of_model(ident, image)
    gone = stores().library.images.delete(known.model_id, known.id)
    for key in filter(None, (gone.media_key, gone.thumb_key)):
        stores().media.delete(key)
    return jsonify({"success": True})


@image_blueprint.route("/recent", methods=["GET"])
@image_blueprint.response(200, description="The pictures that were given last.")
def recent() -> Response:
    """What was given last, to any model."""
    return jsonify([image_view(one) for one in stores().library.images.list_recent(MAX_RECENT)])


@image_blueprint.route("/<image>", methods=["GET"])
@image_blueprint.response(200, description="The bytes as they were given.", content_type="image/*")
def picture(image: str) -> Response:
    """A picture of a model."""
    return send_image(stores().library.images.get(parse_id(image, "image")))


@image_blueprint.route("/<image>/thumb", methods=["GET"])
@image_blueprint.response(200, description="WebP, 400 pixels wide at the most.", content_type="image/webp")
def thumb(image: str) -> Response:
    """A small picture of it."""
    return send_thumbnail(stores().library.images.get(parse_id(image, "image")))


def _model(ident: str) -> int:
    model_id = parse_id(ident)
    if not stores().library.models.exists(model_id):
        raise NotFound("Model not found")
    return model_id


def _of_model(ident: str, image: str) -> ImageView:
    known = stores().library.images.get(parse_id(image, "image"))
    if known.model_id != parse_id(ident):
        raise NotFound("Image not found")
    return known


def _whole(image: ImageView) -> dict[str, Any]:
    return image_view(image) | {"uses": match_resources(params_view(image))}


def _uploaded(model_id: int) -> ImageView:
    with multipart.receive_upload() as upload:
        said = load_body(ImageForm(), upload.fields)
        version_id = _version(model_id, said.get("version_id"))
        given = _said_in_form(said)
        level = parse_nsfw_level(said.get("nsfw_level"))
        found = multipart.inspect_upload(upload)
    params = sanitize_json(dict(found.generation or {})) | given
    prompt = said.get("prompt", params.get("prompt"))
    return _keep(model_id, version_id, found, {"prompt": prompt, "params": params, "nsfw_level": level})


def _said_in_form(said: dict[str, Any]) -> dict[str, Any]:
    """What the sender says of the picture's making, which wins over what the file says."""
    given = {wire: said[name] for name, wire in FORM_PARAMS.items() if name in said}
    loras = parse_loras(said.get("loras"))
    workflow = parse_json_field("comfyWorkflow", said.get("comfy_workflow"), dict)
    return given | ({"loras": loras} if loras else {}) | ({"comfyWorkflow": workflow} if workflow else {})


def _from_job(model_id: int) -> ImageView:
    body = load_body(FromJob(), request.get_json())
    job = own_job(_job_id(body["jobId"]))
    if not job.results:
        raise Conflict(f"The job is {job.state}: it has no picture to keep.")
    data = stores().results.get_original(job.id, body["number"]) if body["number"] <= len(job.results) else None
    if data is None:
        raise Gone("The job has no picture of that number (any more).")
    version_id, level = _version(model_id, body.get("versionId")), parse_nsfw_level(body.get("nsfwLevel"))
    found = multipart.inspect_bytes(data)
    values = {"prompt": job.request.prompt, "params": _params_of(job, found), "nsfw_level": level, "job_id": job.id}
    return _keep(model_id, version_id, found, values)


def _job_id(text: str) -> str:
    if not re.fullmatch(JobIdConverter.regex, text):
        raise NotFound("There is no job of that id.")
    return text


def _params_of(job: Job, found: StoredImage) -> dict[str, Any]:
    """How a job's picture was made: what was asked for, and what the picture itself says."""
    inputs, lora = job.request.inputs, job.request.lora
    known = {wire: inputs[name] for name, wire in FORM_PARAMS.items() if name in inputs}
    loras = {"loras": [{"name": lora}]} if lora else {}
    said: dict[str, Any] = sanitize_json(dict(found.generation or {}))
    return said | known | loras | {"site": job.request.site}


def _keep(model_id: int, version_id: int | None, found: StoredImage, values: dict[str, Any]) -> ImageView:
    about = {
        "media_key": found.key,
        "thumb_key": found.thumb_key,
        "media_type": found.type,
        "width": found.width,
        "height": found.height,
        "blurhash": found.blurhash,
    }
    return stores().library.images.add(model_id, version_id, about | values)


def _version(model_id: int, version_id: int | None) -> int | None:
    if version_id is not None and not stores().library.models.has_version(model_id, version_id):
        raise Invalid(problems=[f"versionId: the model has no version {version_id}."])
    return version_id


def _changes(known: ImageView, body: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "prompt" in body:
        values["prompt"] = body["prompt"]
    if "nsfwLevel" in body:
        values["nsfw_level"] = parse_nsfw_level(body["nsfwLevel"])
    if "sortOrder" in body:
        values["sort_order"] = body["sortOrder"]
    if "generationParams" in body:
        values["params"] = merge_params(known.params, body["generationParams"])
    return values
