"""The route that adds tokens to a collection: with a picture of a job, of the library, or of the request, or to upload.

A picture is examined and kept before its token is created, so a token with a picture exists whole or not at all.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, jsonify, request

from api.gallery.documents.responses import NewTokenView
from api.gallery.lookups import own_collection
from api.gallery.pictures import keep_file, keep_job_picture, keep_library_image
from api.gallery.serializers import token_view
from api.gallery.upload_urls import issue_url, require_capacity
from api.http import multipart
from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.request_bodies import read_body, require_json
from api.http.route_policy import Access, RoutePolicy
from api.jobs.job_bodies import is_form
from api.openapi.paths import REQUEST_ID
from schemas.accounts.caller import Scope
from schemas.errors import Gone, Invalid, ServiceError
from schemas.gallery.assets import Asset
from schemas.gallery.collections import Collection
from schemas.gallery.pictures import KeptPicture
from schemas.gallery.provenance import MadeImage
from schemas.gallery.requests.bodies import NewTokenBody, NewTokenForm, NewTokenUpload
from schemas.gallery.tokens import NewToken, Token
from schemas.jobs.generaitiv_requests import workload_id
from schemas.jobs.job import Job
from schemas.library.requests import load_body
from stores.gallery import provenance

UNTITLED = "Untitled"
MAX_NAME_FROM_PROMPT_CHARS = 80
# Form fields whose texts are JSON.
JSON_FIELDS = ("attributes",)
BODY = {
    "required": True,
    "content": {"multipart/form-data": {"schema": NewTokenUpload}, "application/json": {"schema": NewTokenBody}},
}

blueprint = Blueprint("gallery_new_tokens", __name__, access=Access.KEY, description="The gallery: new tokens.")


@blueprint.route("/<slug>/tokens", methods=["POST"], policy=RoutePolicy(scope=Scope.GALLERY, streams_body=True))
@blueprint.doc(requestBody=BODY, parameters=[REQUEST_ID])
@blueprint.response(
    201, NewTokenView, description="The token; if it has no picture, also `uploadUrl` for the PUT of one."
)
@blueprint.alt_response(409, description="The job has not been completed.")
@blueprint.alt_response(410, description="The job's pictures have expired.")
def add(slug: str) -> Response:
    """Add a token to a collection of yours: JSON with `jobId` or `imageId`, or a form with `file`.

    The exact bytes of a job's picture are kept permanently, with its provenance; without metadata if `promptPrivate`.
    """
    collection = own_collection(slug)
    if is_form():
        view = token_view(_from_upload(collection))
    else:
        read_body()
        require_json()
        view = _from_json(collection, load_body(NewTokenBody(), request.get_json()))
    response = jsonify(view)
    response.status_code = 201
    response.headers["Location"] = f"/api/v1/gallery/tokens/{view['tokenId']}"
    return response


def _from_upload(collection: Collection) -> Token:
    with multipart.receive_upload() as upload:
        # Everything is validated before the picture is examined, which takes longest.
        fields = load_body(NewTokenForm(), _parse_json_fields(upload.fields))
        kept = keep_file(upload.file)
    return _add(collection, {"name": UNTITLED, **fields}, kept)


def _parse_json_fields(fields: Mapping[str, str]) -> dict[str, Any]:
    parsed: dict[str, Any] = dict(fields)
    for name in JSON_FIELDS:
        if name in fields:
            try:
                parsed[name] = json.loads(fields[name])
            except (ValueError, RecursionError) as error:
                raise Invalid(problems=[f"{name}: is not JSON."]) from error
    return parsed


def _from_json(collection: Collection, fields: dict[str, Any]) -> dict[str, Any]:
    job_id, number, image_id = (fields.pop(name, None) for name in ("job_id", "number", "image_id"))
    if job_id is not None:
        return token_view(add_job_picture(collection, fields, job_id, number or 1))
    if number is not None:
        raise Invalid(problems=["number: counts the pictures of a job; give its jobId too."])
    if image_id is not None:
        return token_view(_add(collection, {"name": UNTITLED, **fields}, keep_library_image(image_id)))
    return _without_picture(collection, fields)


def _without_picture(collection: Collection, fields: dict[str, Any]) -> dict[str, Any]:
    tokens, caller_id = stores().gallery.tokens, caller().id
    new = _new_token({"name": UNTITLED, **fields})
    # A token that is deleted again would have sent its event.
    require_capacity(caller_id)
    token = tokens.create(caller_id, collection, tokens.reserve_id(caller_id), new)
    try:
        url = issue_url(caller_id, token.token_id)
    except ServiceError:
        tokens.delete(caller_id, token.token_id)
        raise
    return token_view(tokens.find(token.token_id)) | {"uploadUrl": url}


def add_job_picture(collection: Collection, fields: dict[str, Any], job_id: str, number: int) -> Token:
    """Keep a picture of a job of the caller in a collection of the caller; raises as ``keep_job_picture``."""
    is_private = fields.get("is_prompt_private", False)
    job, kept = keep_job_picture(job_id, number, is_prompt_private=is_private)
    data = stores().results.get_original(job.id, number)
    if data is None:
        raise Gone("The pictures of the job expired while one of them was examined.")
    record, inputs = provenance.record_result(stores(), job, _made_image(job, number, data), data)
    title = UNTITLED if is_private else _title(job.request.prompt)
    known = {"name": title, "model": _model(job), "workload_id": workload_id(job.id), "provenance": record}
    return _add(collection, known | fields, kept, inputs)


def _add(
    collection: Collection, fields: dict[str, Any], kept: KeptPicture, further_assets: Sequence[Asset] = ()
) -> Token:
    return stores().gallery.tokens.add_from_job(
        caller().id, collection, _new_token(fields), kept.media, [*kept.assets, *further_assets]
    )


def _new_token(fields: dict[str, Any]) -> NewToken:
    return NewToken(**fields | {"attributes": tuple(fields.get("attributes", ()))})


def _made_image(job: Job, number: int, data: bytes) -> MadeImage:
    result = job.results[number - 1]
    digest = hashlib.sha256(data).hexdigest()
    return MadeImage(number, digest, result.type, result.width, result.height, len(data), lossy=result.lossy)


def _title(prompt: str) -> str:
    words = " ".join(prompt.split())
    if len(words) <= MAX_NAME_FROM_PROMPT_CHARS:
        return words or UNTITLED
    return words[: MAX_NAME_FROM_PROMPT_CHARS - 1].rstrip() + "…"


def _model(job: Job) -> str:
    """Return the checkpoint that the job names, else its site."""
    named = (job.request.inputs.get(name) for name in ("checkpoint", "model"))
    return next((name for name in named if isinstance(name, str) and name), job.request.site)
