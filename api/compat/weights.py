"""The Weights API: the routes at the root, for its existing clients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Response, jsonify, request
from werkzeug.exceptions import MethodNotAllowed

from api.compat.weights_responses import LoraView, WeightsQuota, WeightsStatus, WeightsSubmission
from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.error_responses import weights_status_body
from api.http.request_bodies import read_body
from api.http.route_policy import SUBMISSION, Access, RateLimit, RoutePolicy
from api.jobs.job_bodies import MAX_JSON_BYTES, form_fields, is_form, json_body
from api.jobs.long_poll import WAIT_PARAMETERS, read_job
from api.jobs.serializers import json_with_etag, weights_status
from api.jobs.submission import IDEMPOTENCY_KEY, SUBMISSION_ERRORS, add_replay_header, submit
from api.openapi.paths import HEX_ID
from api.sites.site_queries import search_loras
from schemas.errors import Forbidden, Invalid
from schemas.fields import CONTROL_CHARACTERS, MAX_LORA_NAME_LENGTH, MAX_PROMPT_LENGTH, PLAIN_TEXT, VISIBLE_TEXT
from schemas.jobs.job import MAX_PRIORITY, MIN_PRIORITY
from schemas.jobs.weights_requests import ABSENT_PATTERN, MIN_WEIGHTS_PROMPT_LENGTH, is_absent, load_weights_request

STATUS = RoutePolicy(rate_limit=RateLimit.STATUS, is_logged=False, error_format=weights_status_body)

ABSENT = {"type": "string", "pattern": ABSENT_PATTERN, "description": "No value."}
PROMPT = {
    "type": "string",
    "minLength": MIN_WEIGHTS_PROMPT_LENGTH,
    "maxLength": MAX_PROMPT_LENGTH,
    "pattern": PLAIN_TEXT,
    "example": "a lighthouse at dusk, oil painting",
}
SITE = {
    "in": "query",
    "name": "site",
    "schema": {"type": "string", "pattern": PLAIN_TEXT},
    "description": "The name of a site; the default site if absent.",
    "example": "studio",
}
QUERY_PARAMETERS: list[dict[str, Any]] = [
    {"in": "query", "name": "prompt", "required": True, "schema": PROMPT, "description": "What to generate, in words."},
    {
        "in": "query",
        "name": "loraName",
        "schema": {"type": "string", "maxLength": MAX_LORA_NAME_LENGTH, "pattern": PLAIN_TEXT},
        "description": "The name of a LoRA (or style) of the site.",
    },
    SITE,
    {
        "in": "query",
        "name": "priority",
        "schema": {"anyOf": [{"type": "integer", "minimum": MIN_PRIORITY, "maximum": MAX_PRIORITY}, ABSENT]},
        "description": "Order among your own jobs; the highest is started first.",
    },
]


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return (
        {"anyOf": [*schema["anyOf"], {"type": "null"}]}
        if "anyOf" in schema
        else {**schema, "type": [schema["type"], "null"]}
    )


FIELDS = {
    "type": "object",
    "properties": {
        "prompt": PROMPT,
        **{each["name"]: _or_null(each["schema"]) for each in QUERY_PARAMETERS[1:]},
    },
    "required": ["prompt"],
    "additionalProperties": {"description": "An input of the site, by its name."},
}
REQUEST_BODY = {
    "required": True,
    "content": {
        media_type: {"schema": FIELDS}
        for media_type in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
    },
}
IMAGE_ID = {
    "in": "path",
    "name": "image_id",
    "schema": HEX_ID,
    "description": "The `imageId`.",
    "example": "9f86d081884c7d65" * 2,
}

blueprint = Blueprint("weights", __name__, access=Access.KEY, description="The Weights API, for its existing clients.")


@blueprint.route("/generateImage", methods=["GET"], policy=SUBMISSION, endpoint="generate_image_by_query")
@blueprint.doc(parameters=[*QUERY_PARAMETERS, IDEMPOTENCY_KEY])
@blueprint.response(200, WeightsSubmission)
@blueprint.sends(*SUBMISSION_ERRORS)
def generate_image_by_query() -> Response:
    """Submit a prompt as a query; further parameters are inputs that the site declares."""
    return _submit()


@blueprint.route("/generateImage", methods=["POST"], policy=SUBMISSION)
@blueprint.doc(requestBody=REQUEST_BODY, parameters=[IDEMPOTENCY_KEY])
@blueprint.response(200, WeightsSubmission)
@blueprint.sends(*SUBMISSION_ERRORS)
def generate_image() -> Response:
    """Submit a prompt as JSON or a form; further fields are inputs that the site declares.

    An image input takes a file of a form, a `data:` URL, `job:ID/1` for a picture of one of your jobs, or `upload:ID`.
    """
    return _submit()


def _submit() -> Response:
    with _request_fields() as fields:
        accepted = submit(caller(), load_weights_request(fields))
    job, url = accepted.job, stores().settings.public_url
    answer = {
        "success": True,
        "imageId": job.id,
        "imageUrl": f"{url}/{job.id}.jpg",
        "statusUrl": f"{url}/status/{job.id}",
    }
    return add_replay_header(jsonify(answer | {"position": accepted.estimate.position}), accepted)


@blueprint.route("/status/<image_id>", policy=STATUS, parameters=[IMAGE_ID])
@blueprint.doc(parameters=WAIT_PARAMETERS)
@blueprint.response(200, WeightsStatus)
@blueprint.sends(304)
@blueprint.alt_response(404, description="There is no such job, or it belongs to another caller.")
@blueprint.alt_response(410, description="The picture has expired.")
def status(image_id: str) -> Response:
    """The status of a job. With `wait` and `since`, the response comes as soon as the job changes."""
    job, estimate = read_job(image_id, caller().id)
    return json_with_etag(weights_status(stores(), job, estimate), job, estimate)


@blueprint.route("/search-loras", endpoint="search_loras")
@blueprint.doc(
    parameters=[
        {
            "in": "query",
            "name": "query",
            "required": True,
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_LORA_NAME_LENGTH,
                "pattern": VISIBLE_TEXT,
            },
            "description": "Words of its name, tags or description.",
            "example": "ukiyo",
        },
        SITE,
    ]
)
@blueprint.response(200, LoraView(many=True))
@blueprint.sends(Forbidden)
def search_loras_view() -> Response:
    """Search the LoRAs of the site and of the model library."""
    _require_utf8_query()
    query = request.args.get("query", "").strip()
    if not query:
        raise Invalid(problems=["Query parameter is required."])
    if len(query) > MAX_LORA_NAME_LENGTH or CONTROL_CHARACTERS.search(query):
        raise Invalid(
            problems=[f"Query parameter: at most {MAX_LORA_NAME_LENGTH} characters, none of them control characters."]
        )
    site = request.args.get("site")
    loras, is_complete = search_loras(stores().recipes.get(None if is_absent(site) else site), query)
    response = jsonify(loras)
    if not is_complete:
        response.headers["X-Darkroom-Partial"] = "site"
    return response


@blueprint.route("/quota")
@blueprint.response(200, WeightsQuota)
def quota() -> Response:
    """Usage and limits of this key, short enough for a chat message; `/api/v1/quota` shows more."""
    return jsonify(stores().quotas.summarize(caller()))


@contextmanager
def _request_fields() -> Iterator[dict[str, Any]]:
    """Yield the fields of a submission: the query, overridden by a form or JSON body.

    Files live as long as the block.
    """
    if request.method == "HEAD":
        # Flask routes HEAD to GET views, but HEAD must not submit a job.
        raise MethodNotAllowed(["GET", "POST"])
    _require_utf8_query()
    if request.method == "GET":
        yield request.args.to_dict()
    elif is_form():
        with form_fields() as fields:
            yield request.args.to_dict() | fields
    elif request.is_json:
        yield request.args.to_dict() | json_body()
    else:
        read_body(MAX_JSON_BYTES)
        yield request.args.to_dict() | request.form.to_dict()


def _require_utf8_query() -> None:
    """Reject a query that is not UTF-8; Werkzeug would silently replace parts of the prompt."""
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError as error:
        raise Invalid(problems=["The query is not valid UTF-8."]) from error
