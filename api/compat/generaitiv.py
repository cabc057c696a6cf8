"""The generation part of the generaitiv API, below ``/v1``, for its existing clients.

These clients ignore the HTTP status: they take a response with ``message`` for an error, so nothing else may have that
field.
"""

from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from flask import Response, g, jsonify, request
from marshmallow import ValidationError

from api.compat.generaitiv_responses import DryRun, GenerationCreated, GenerationView, TrainingView, UserInfo
from api.http.blueprint import Blueprint
from api.http.context import caller, own_job, stores
from api.http.error_responses import generaitiv_body
from api.http.rate_limits import count_anonymous
from api.http.request_bodies import read_body
from api.http.route_policy import SUBMISSION, Access, RoutePolicy
from api.jobs.job_bodies import MAX_JSON_BYTES
from api.jobs.submission import IDEMPOTENCY_KEY, SUBMISSION_ERRORS, add_replay_header, dry_run, submit
from api.library import loras
from schemas.accounts.caller import ANONYMOUS, Caller
from schemas.errors import Forbidden, Gone, Invalid, NotFound
from schemas.fields import flatten_errors
from schemas.gallery.tokens import Token
from schemas.gallery.urls import asset_url
from schemas.jobs.event_payloads import progress_payload, result_image_url
from schemas.jobs.generaitiv_requests import (
    PROMPT_TYPE,
    AnonymousGenerationRequest,
    GenerationRequest,
    parse_workload_id,
    split_model_slug,
    translate_inputs,
    workload_id,
)
from schemas.jobs.job import Job, JobRequest
from schemas.jobs.lifecycle import JobState
from schemas.sites.input_aliases import TranslatedInputs

TRUE_VALUES = ("1", "true", "yes")
GENERATION = {"anyOf": [GenerationCreated, DryRun]}
REQUEST_BODY = {"required": True, "content": {"application/json": {"schema": GenerationRequest}}}
ANONYMOUS_BODY = {"required": True, "content": {"application/json": {"schema": AnonymousGenerationRequest}}}
DRY_RUN = {
    "in": "query",
    "name": "dry_run",
    "schema": {"type": "string"},
    "description": "`1`: create nothing, and return the cost.",
    "example": "1",
}
TYPE = {
    "in": "query",
    "name": "type",
    "required": True,
    "schema": {"type": "string", "enum": [PROMPT_TYPE]},
    "description": "The kind of generation.",
}

blueprint = Blueprint(
    "generaitiv",
    __name__,
    access=Access.KEY,
    error_format=generaitiv_body,
    url_prefix="/v1",
    description="The generaitiv API: generations.",
)


@blueprint.route("/consumer/gen", methods=["POST"], policy=SUBMISSION)
@blueprint.doc(requestBody=REQUEST_BODY, parameters=[DRY_RUN, IDEMPOTENCY_KEY])
@blueprint.response(200, GENERATION, description="The generation, or with `dry_run` its cost.")
@blueprint.sends(*SUBMISSION_ERRORS)
def generate() -> Response:
    """Submit a generation; `?dry_run=1` returns its cost and position without creating it.

    An image input in `input`, such as `image` and `mask`, takes a `data:` URL, `job:ID/1` or `upload:ID`.
    """
    read_body(MAX_JSON_BYTES)
    return _generate(caller())


@blueprint.route("/workload/ai/new", methods=["POST"], policy=RoutePolicy(access=Access.CHECKED_BY_VIEW))
@blueprint.doc(security=[], requestBody=ANONYMOUS_BODY, parameters=[TYPE, DRY_RUN])
@blueprint.response(200, GENERATION, description="The generation, or with `dry_run` its cost.")
@blueprint.sends(Forbidden, *SUBMISSION_ERRORS)
def new_workload() -> Response:
    """Submit a generation without a key; off unless ALLOW_ANONYMOUS_WORKLOADS is set."""
    if not stores().settings.allow_anonymous_workloads:
        raise Forbidden("Generations without a key are disabled. Set ALLOW_ANONYMOUS_WORKLOADS=1 to allow them.")
    type_ = request.args.get("type", "")
    if type_ != PROMPT_TYPE:
        raise Invalid(problems=[f"type: must be {PROMPT_TYPE} (given: {type_[:60]!r})."])
    count_anonymous()
    read_body()
    g.caller = Caller(ANONYMOUS, ANONYMOUS, plan=None)
    return _generate(g.caller)


def _generate(submitter: Caller) -> Response:
    body, raw_inputs = _load_body()
    if body.get("webhook") and submitter.id == ANONYMOUS:
        raise Invalid(problems=["webhook: only for callers with a key; watch 'ws_url' instead."])
    job_request, translated = _job_request(body, raw_inputs)
    if request.args.get("dry_run", "").lower() in TRUE_VALUES:
        return jsonify({"dry_run": True, **dry_run(submitter, job_request), "warnings": translated.warnings})
    accepted = submit(submitter, job_request)
    public_id = workload_id(accepted.job.id)
    view: dict[str, Any] = {"id": public_id, "workload_id": public_id}
    if not job_request.webhook:
        view |= _watch_links(accepted.job.id)
    if translated.warnings:
        view["warnings"] = translated.warnings
    return add_replay_header(jsonify(view), accepted)


def _load_body() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the validated body, and the inputs as sent: the recipe decides which of them it accepts."""
    # Existing clients send the wrong content type.
    raw = request.get_json(force=True, silent=True)
    if not isinstance(raw, dict):
        raise Invalid(problems=["The body must be a JSON object with 'input'."])
    try:
        body: dict[str, Any] = GenerationRequest().load(raw)
    except ValidationError as error:
        raise Invalid(problems=list(flatten_errors(error.normalized_messages(), raw))) from error
    return body, raw["input"]


def _job_request(body: dict[str, Any], raw_inputs: dict[str, Any]) -> tuple[JobRequest, TranslatedInputs]:
    recipes = stores().recipes
    slug = body.get("model")
    site, model = split_model_slug(slug, [recipe.name for recipe in recipes.list_all()])
    recipe = recipes.get(site)
    translated = translate_inputs(recipe, raw_inputs, model)
    trained_lora = loras.lora_name_from_training_id(stores(), slug) if slug and site is None else None
    if slug and site is None and trained_lora is None:
        translated.warnings.append(f"model: there is no {slug!r} here; {recipe.name} is used instead.")
    prompt, lora = body["input"]["prompt"], body["input"].get("lora") or trained_lora
    if lora and recipe.loras is None:
        translated.warnings.append(f"lora: {recipe.name} takes no LoRA; it was ignored.")
        lora = None
    return JobRequest(recipe.name, prompt, lora, translated.inputs, webhook=body.get("webhook") or ""), translated


def _watch_links(job_id: str) -> dict[str, str]:
    token = stores().watch_tokens.issue(job_id)
    base = "ws" + stores().settings.public_url.removeprefix("http")
    return {"jwt": token, "ws_url": f"{base}/v1/ws?{urlencode({'id': workload_id(job_id), 'jwt': token})}"}


@blueprint.route("/workload/<workload>")
@blueprint.response(200, GenerationView)
@blueprint.sends(Gone)
def read_workload(workload: str) -> Response:
    """One of your generations. One that became a token is there as long as the token, after its own expiry."""
    job_id = parse_workload_id(workload)
    try:
        return jsonify(_workload_view(own_job(job_id)))
    except (NotFound, Gone):
        kept = stores().gallery.tokens.find_by_job(job_id, caller().id)
        if kept is None:
            raise
        return jsonify(_kept_workload_view(kept))


def _kept_workload_view(token: Token) -> dict[str, Any]:
    """Return a completed workload from what its token keeps."""
    record = token.provenance or {}
    return {
        "id": workload_id(record["jobId"]),
        "status": JobState.COMPLETED,
        "seq": record["seq"],
        "prompt": record["prompt"],
        "model": record["site"]["name"],
        "link": asset_url(stores().settings.public_url, str(token.media.asset)),
    }


def _workload_view(job: Job) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": workload_id(job.id),
        "status": job.state,
        "seq": job.seq,
        "prompt": job.request.prompt,
        "model": job.request.site,
    }
    if job.results:
        return view | {"link": result_image_url(stores().settings.public_url, job.id, job.results[0].type)}
    if job.error:
        # Not "message": that would mean that this request failed.
        return view | {"error": job.error.message, "error_code": job.error.code}
    if job.progress:
        view["progress"] = progress_payload(asdict(job.progress))
    return view | _watch_links(job.id)


@blueprint.route("/training/owned-by/me", endpoint="trainings_of_me")
@blueprint.route("/training/owned-by-me")
@blueprint.response(200, TrainingView(many=True))
def trainings() -> Response:
    """Your trained models: the LoRAs of the model library. Their `id` is accepted as the `model` of a generation."""
    return jsonify(loras.list_trainings(stores(), stores().wallet_addresses.get_or_create(caller().id)))


@blueprint.route("/consumer/user-info")
@blueprint.response(200, UserInfo)
def user_info() -> Response:
    """The wallet address of the key's owner."""
    return jsonify({"address": stores().wallet_addresses.get_or_create(caller().id)})
