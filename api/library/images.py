"""The pictures of models: those that people give, those that jobs have made, those that lie beside the files.

The same views stand below ``/api/v1`` for keys and below ``/api`` for who is signed in, as ``api.library.models`` has
them.
"""

import re
from typing import Any

from flask import Response, jsonify, request
from flask_smorest import Blueprint

from api.http import multipart
from api.http.auth import needs, require_key, require_session_or_key
from api.http.context import own_job, stores
from api.http.request_bodies import reads_own_body, require_json
from api.http.url_converters import JobIdConverter
from api.library.image_files import picture_response, thumb_response
from api.library.models import read_id
from api.library.resource_links import uses_of
from api.library.serializers import image_view, params_view
from schemas.accounts.caller import Scope
from schemas.errors import Conflict, Gone, Invalid, NotFound
from schemas.images.inspected_image import Examined
from schemas.images.params_requests import changed, harmless, read_json, read_loras
from schemas.jobs.job import Job
from schemas.library.model_views import ShownImage
from schemas.library.requests import FromJob, ImageChange, ImageForm, ImageUpload, load, read_level

MOST_RECENT = 100
BODY = {"content": {"multipart/form-data": {"schema": ImageUpload}, "application/json": {"schema": FromJob}}}
FORM_PARAMS = {
    "negative_prompt": "negativePrompt",
    "seed": "seed",
    "steps": "steps",
    "cfg_scale": "cfgScale",
    "sampler": "sampler",
    "scheduler": "scheduler",
}


def _surface(name: str, prefix: str, guard: Any) -> Blueprint:
    blueprint = Blueprint(name, name, url_prefix=f"{prefix}/models/<ident>/images", description="Pictures of models.")
    blueprint.before_request(guard)

    @blueprint.route("", methods=["GET"])
    @blueprint.response(200, description="The pictures that people have given to the model.")
    def listing(ident: str) -> Response:
        """The pictures of a model that were given, in their order."""
        model_id = _model(ident)
        return jsonify([image_view(one) for one in stores().library.pictures.given(model_id)])

    @blueprint.route("", methods=["POST"])
    @blueprint.doc(requestBody=BODY)
    @blueprint.response(201, description="The picture. A body of JSON with `jobId` keeps the picture of a job.")
    @needs(Scope.LIBRARY)
    @reads_own_body
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

    @blueprint.route("/<image>", methods=["PATCH"])
    @blueprint.arguments(ImageChange)
    @blueprint.response(200, description="The picture as it is now.")
    @needs(Scope.LIBRARY)
    def change(body: dict[str, Any], ident: str, image: str) -> Response:
        """Write something else about a picture that was given."""
        require_json()
        known = _of_model(ident, image)
        pictures = stores().library.pictures
        return jsonify(_whole(pictures.change(known.model_id, known.id, _changes(known, body))))

    @blueprint.route("/<image>", methods=["DELETE"])
    @blueprint.response(200, description='`{"success": true}`')
    @needs(Scope.LIBRARY)
    def delete(ident: str, image: str) -> Response:
        """Take a picture that was given away, for good."""
        known = _of_model(ident, image)
        gone = stores().library.pictures.remove(known.model_id, known.id)
        for key in filter(None, (gone.media_key, gone.thumb_key)):
            stores().media.delete(key)
        return jsonify({"success": True})

    return blueprint


def _served(name: str, prefix: str, guard: Any) -> Blueprint:
    blueprint = Blueprint(name, name, url_prefix=f"{prefix}/images", description="Pictures of models.")
    blueprint.before_request(guard)

    @blueprint.route("/recent", methods=["GET"])
    @blueprint.response(200, description="The pictures that were given last.")
    def recent() -> Response:
        """What was given last, to any model."""
        return jsonify([image_view(one) for one in stores().library.pictures.recent(MOST_RECENT)])

    @blueprint.route("/<image>", methods=["GET"])
    @blueprint.response(200, description="The bytes as they were given.", content_type="image/*")
    def picture(image: str) -> Response:
        """A picture of a model."""
        return picture_response(stores().library.pictures.get(read_id(image, "image")))

    @blueprint.route("/<image>/thumb", methods=["GET"])
    @blueprint.response(200, description="WebP, 400 pixels wide at the most.", content_type="image/webp")
    def thumb(image: str) -> Response:
        """A small picture of it."""
        return thumb_response(stores().library.pictures.get(read_id(image, "image")))

    return blueprint


def _model(ident: str) -> int:
    model_id = read_id(ident)
    if not stores().library.shelf.exists(model_id):
        raise NotFound("Model not found")
    return model_id


def _of_model(ident: str, image: str) -> ShownImage:
    known = stores().library.pictures.get(read_id(image, "image"))
    if known.model_id != read_id(ident):
        raise NotFound("Image not found")
    return known


def _whole(image: ShownImage) -> dict[str, Any]:
    return image_view(image) | {"uses": uses_of(params_view(image))}


def _uploaded(model_id: int) -> ShownImage:
    with multipart.receive() as upload:
        said = load(ImageForm(), upload.fields)
        version_id = _version(model_id, said.get("version_id"))
        given = _said_in_form(said)
        level = read_level(said.get("nsfw_level"))
        found = multipart.examine(upload)
    params = harmless(dict(found.generation or {})) | given
    prompt = said.get("prompt", params.get("prompt"))
    return _keep(model_id, version_id, found, {"prompt": prompt, "params": params, "nsfw_level": level})


def _said_in_form(said: dict[str, Any]) -> dict[str, Any]:
    """What the sender says of the picture's making, which wins over what the file says."""
    given = {wire: said[name] for name, wire in FORM_PARAMS.items() if name in said}
    loras = read_loras(said.get("loras"))
    workflow = read_json("comfyWorkflow", said.get("comfy_workflow"), dict)
    return given | ({"loras": loras} if loras else {}) | ({"comfyWorkflow": workflow} if workflow else {})


def _from_job(model_id: int) -> ShownImage:
    body = load(FromJob(), request.get_json())
    job = own_job(_job_id(body["jobId"]))
    if not job.results:
        raise Conflict(f"The job is {job.state}: it has no picture to keep.")
    data = stores().results.original(job.id, body["number"]) if body["number"] <= len(job.results) else None
    if data is None:
        raise Gone("The job has no picture of that number (any more).")
    version_id, level = _version(model_id, body.get("versionId")), read_level(body.get("nsfwLevel"))
    found = multipart.examine_bytes(data)
    values = {"prompt": job.submission.prompt, "params": _params_of(job, found), "nsfw_level": level, "job_id": job.id}
    return _keep(model_id, version_id, found, values)


def _job_id(text: str) -> str:
    if not re.fullmatch(JobIdConverter.regex, text):
        raise NotFound("There is no job of that id.")
    return text


def _params_of(job: Job, found: Examined) -> dict[str, Any]:
    """How a job's picture was made: what was asked for, and what the picture itself says."""
    inputs, lora = job.submission.inputs, job.submission.lora
    known = {wire: inputs[name] for name, wire in FORM_PARAMS.items() if name in inputs}
    loras = {"loras": [{"name": lora}]} if lora else {}
    said: dict[str, Any] = harmless(dict(found.generation or {}))
    return said | known | loras | {"site": job.submission.site}


def _keep(model_id: int, version_id: int | None, found: Examined, values: dict[str, Any]) -> ShownImage:
    about = {
        "media_key": found.key,
        "thumb_key": found.thumb_key,
        "media_type": found.type,
        "width": found.width,
        "height": found.height,
        "blurhash": found.blurhash,
    }
    return stores().library.pictures.add(model_id, version_id, about | values)


def _version(model_id: int, version_id: int | None) -> int | None:
    if version_id is not None and not stores().library.shelf.has_version(model_id, version_id):
        raise Invalid(problems=[f"versionId: the model has no version {version_id}."])
    return version_id


def _changes(known: ShownImage, body: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "prompt" in body:
        values["prompt"] = body["prompt"]
    if "nsfwLevel" in body:
        values["nsfw_level"] = read_level(body["nsfwLevel"])
    if "sortOrder" in body:
        values["sort_order"] = body["sortOrder"]
    if "generationParams" in body:
        values["params"] = changed(known.params, body["generationParams"])
    return values


blueprints = (
    _surface("model_images", "/api/v1", require_key),
    _surface("model_images_of_session", "/api", require_session_or_key),
    _served("images", "/api/v1", require_key),
    _served("images_of_session", "/api", require_session_or_key),
)
