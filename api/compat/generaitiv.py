"""The generation part of the generaitiv API, for its existing clients: what they call under ``/v1``.

None of them looks at the status of an answer: an error has a ``message``, and nothing else has one.
"""

from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from flask import Response, g, jsonify, request
from marshmallow import ValidationError

from api.http.blueprint import Blueprint
from api.http.context import caller, own_job, stores
from api.http.error_responses import generaitiv_body
from api.http.rate_limits import count_anonymous
from api.http.route_policy import SUBMISSION, Access, RoutePolicy
from api.jobs.submission import add_replay_header, dry_run, submit
from api.library import loras
from schemas.accounts.caller import ANONYMOUS, Caller
from schemas.errors import Forbidden, Invalid
from schemas.fields import flatten_errors
from schemas.jobs.event_payloads import progress_payload, result_image_url
from schemas.jobs.generaitiv_requests import (
    PROMPT_TYPE,
    GenerationRequest,
    TranslatedInputs,
    parse_workload_id,
    split_model_slug,
    translate_inputs,
    workload_id,
)
from schemas.jobs.job import Job, JobRequest

TRUE_VALUES = ("1", "true", "yes")

blueprint = Blueprint(
    "generaitiv",
    __name__,
    access=Access.KEY,
    error_format=generaitiv_body,
    url_prefix="/v1",
    description="The generaitiv API: generations.",
)


@blueprint.route("/consumer/gen", methods=["POST"], policy=SUBMISSION)
@blueprint.response(200, description="`id` and, unless there is a `webhook`, `jwt` and `ws_url` for watching.")
def generate() -> Response:
    """Submit a generation; `?dry_run=1` says what would become of it and makes nothing."""
    return _generate(caller())


@blueprint.route("/workload/ai/new", methods=["POST"], policy=RoutePolicy(access=Access.CHECKED_BY_VIEW))
@blueprint.doc(security=[{}])
@blueprint.response(200, description="`id` and `jwt`.")
def new_workload() -> Response:
    """Submit a generation without a key; off unless ALLOW_ANONYMOUS_WORKLOADS is set."""
    if not stores().settings.allow_anonymous_workloads:
        raise Forbidden("Generations without a key are off here. Set ALLOW_ANONYMOUS_WORKLOADS=1 to allow them.")
    kind = request.args.get("type", "")
    if kind != PROMPT_TYPE:
        raise Invalid(problems=[f"type: must be {PROMPT_TYPE} (given: {kind[:60]!r})."])
    count_anonymous()
    g.caller = Caller(ANONYMOUS, ANONYMOUS, plan=None)
    return _generate(g.caller)


def _generate(submitter: Caller) -> Response:
    body = _body()
    if body.get("webhook") and submitter.id == ANONYMOUS:
        raise Invalid(problems=["webhook: only for callers with a key; watch 'ws_url' instead."])
    job_request, translated = _job_request(body)
    if request.args.get("dry_run", "").lower() in TRUE_VALUES:
        return jsonify({"dry_run": True, **dry_run(submitter, job_request), "warnings": translated.warnings})
    accepted = submit(submitter, job_request)
    ident = workload_id(accepted.job.id)
    answer: dict[str, Any] = {"id": ident, "workload_id": ident}
    if not job_request.webhook:
        answer |= _watch_links(accepted.job.id)
    if translated.warnings:
        answer["warnings"] = translated.warnings
    return add_replay_header(jsonify(answer), accepted)


def _body() -> dict[str, Any]:
    raw = request.get_json(force=True, silent=True)
    if not isinstance(raw, dict):
        raise Invalid(problems=["The body must be a JSON object with 'input'."])
    try:
        checked: dict[str, Any] = GenerationRequest().load(raw)
    except ValidationError as error:
        raise Invalid(problems=list(flatten_errors(error.normalized_messages(), raw))) from error
    return checked | {"given": raw["input"]}


def _job_request(body: dict[str, Any]) -> tuple[JobRequest, TranslatedInputs]:
    recipes = stores().recipes
    slug = body.get("model")
    site, model = split_model_slug(slug, [recipe.name for recipe in recipes.list_all()])
    recipe = recipes.get(site)
    translated = translate_inputs(recipe, body["given"], model)
    trained = loras.lora_name_from_training_id(stores(), slug) if slug and site is None else None
    if slug and site is None and trained is None:
        translated.warnings.append(f"model: there is no {slug!r} here; {recipe.name} was taken.")
    prompt, lora = body["input"]["prompt"], body["input"].get("lora") or trained
    if lora and recipe.loras is None:
        translated.warnings.append(f"lora: {recipe.name} takes no LoRA; it was left out.")
        lora = None
    return JobRequest(recipe.name, prompt, lora, translated.inputs, webhook=body.get("webhook") or ""), translated


def _watch_links(job_id: str) -> dict[str, str]:
    token = stores().watch_tokens.issue(job_id)
    base = "ws" + stores().settings.public_url.removeprefix("http")
    return {"jwt": token, "ws_url": f"{base}/v1/ws?{urlencode({'id': workload_id(job_id), 'jwt': token})}"}


@blueprint.route("/workload/<ident>")
@blueprint.response(200, description="`status`, `link` once it is done, and a new `jwt` until then.")
def read_workload(ident: str) -> Response:
    """A generation of yours."""
    return jsonify(_workload_view(own_job(parse_workload_id(ident))))


def _workload_view(job: Job) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": workload_id(job.id),
        "status": job.state,
        "seq": job.seq,
        "prompt": job.request.prompt,
        "model": job.request.site,
    }
    if job.results:
        return shown | {"link": result_image_url(stores().settings.public_url, job.id, job.results[0].type)}
    if job.error:
        # Not "message", for that would say that this request failed.
        return shown | {"error": job.error.message, "error_code": job.error.code}
    if job.progress:
        shown["progress"] = progress_payload(asdict(job.progress))
    return shown | _watch_links(job.id)


@blueprint.route("/training/owned-by/me")
@blueprint.route("/training/owned-by-me")
@blueprint.response(200, description="A list of `id`, `name`, `description`, `status`, `owner`, `source_model_slug`.")
def trainings() -> Response:
    """Your trained models: the LoRAs of the model library. An `id` is also a `model` of a generation."""
    return jsonify(loras.list_trainings(stores(), stores().wallet_addresses.get_or_create(caller().id)))


@blueprint.route("/consumer/user-info")
@blueprint.response(200, description="`address` of the key.")
def user_info() -> Response:
    """Whose key this is."""
    return jsonify({"address": stores().wallet_addresses.get_or_create(caller().id)})
