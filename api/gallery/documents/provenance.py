"""Routes for the provenance of tokens: what made them, making them again, and comparing both pictures."""

import hashlib
from typing import Any

from flask import Response, g, jsonify, request

from api.http.blueprint import Blueprint
from api.http.context import caller, optional_caller, own_job, stores
from api.http.route_policy import Access, RateLimit, RoutePolicy
from api.jobs.serializers import native_job
from api.jobs.submission import add_replay_header
from schemas.accounts.caller import Scope
from schemas.errors import Forbidden, NotFound
from schemas.gallery.encodings import parse_token_id
from schemas.gallery.provenance import KEPT_INPUTS, hide_private, repeats
from schemas.gallery.tokens import Token
from schemas.gallery.urls import asset_url
from schemas.jobs.event_payloads import result_payloads
from schemas.jobs.job import Job, JobView
from schemas.jobs.lifecycle import JobState
from stores.gallery import provenance

NO_PROVENANCE = "Nothing is known about how this token was made: its picture was uploaded."

blueprint = Blueprint(
    "gallery_provenance", __name__, access=Access.KEY, description="The gallery: where pictures come from."
)


@blueprint.route("/<token_id>/provenance", policy=RoutePolicy(reads_gallery=True))
@blueprint.response(200, description="The job, site, models, prompt, inputs, seed and times of the token's picture.")
def read(token_id: str) -> Response:
    """What made the picture of a token, which of its models the library has now, and whether it can be made again.

    Of a private prompt only its owner sees `prompt`, `inputs`, `seed` and `generation`; they are null for others.
    """
    token, record = _find(token_id)
    reader = optional_caller()
    is_owner = reader is not None and reader.id == token.owner
    view = hide_private(record, is_owner=is_owner, is_prompt_private=token.is_prompt_private)
    site, obstacles = _site_view(record), provenance.list_obstacles(stores(), record)
    return jsonify(
        view
        | {
            "tokenId": token.token_id,
            "site": {**record["site"], **site},
            "models": [_model_view(found) for found in provenance.find_models(stores(), record)],
            "inputPictures": _input_urls(record) if view["inputs"] is not None else {},
            "rerun": {"possible": not obstacles, "reasons": obstacles},
        }
    )


@blueprint.route(
    "/<token_id>/rerun", methods=["POST"], policy=RoutePolicy(Access.KEY, Scope.GENERATE, RateLimit.SUBMIT)
)
@blueprint.response(202, JobView)
@blueprint.alt_response(409, description="The site, a model or a picture is gone: see `details.reasons`.")
def rerun(token_id: str) -> Response:
    """Make a new job with the inputs of a token's job. `comparisonUrl` compares both pictures when it is done.

    It is your job, whosever token it is. Only the owner of a private prompt can do that.
    """
    token, record = _find(token_id)
    if token.is_prompt_private and token.owner != caller().id:
        raise Forbidden("The prompt of this token is private: only its owner can make it again.")
    key = request.headers.get("Idempotency-Key")
    accepted = provenance.rerun(stores(), caller(), record, request_id=g.request_id, idempotency_key=key)
    job = accepted.job
    links = {"comparisonUrl": _comparison_url(token, job.id), "deterministic": _is_deterministic(record)}
    response = jsonify(native_job(stores(), job, accepted.estimate) | links)
    response.status_code = 202
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return add_replay_header(response, accepted)


@blueprint.route("/<token_id>/rerun/<job_id>")
@blueprint.response(200, description="Both pictures, and whether they are the same.")
def compare(token_id: str, job_id: str) -> Response:
    """Compare the picture of a token with that of a job of yours, byte for byte.

    `identical` is null until the job is done. On a `deterministic` site the same inputs give the same bytes, unless the
    recipe or the program has changed meanwhile.
    """
    token, record = _find(token_id)
    return jsonify(comparison_view(token, record, own_job(job_id)))


def comparison_view(token: Token, record: dict[str, Any], job: Job) -> dict[str, Any]:
    """Return both pictures of a token and of a job that makes it again."""
    public_url, number = stores().settings.public_url, record["number"]
    data = stores().results.get_original(job.id, number) if job.state is JobState.COMPLETED else None
    made_again = hashlib.sha256(data).hexdigest() if data is not None else None
    results = result_payloads(job.results, job.id, public_url)
    original = record["image"]
    return {
        "tokenId": token.token_id,
        "jobId": job.id,
        "status": job.state,
        "deterministic": _is_deterministic(record),
        "sameInputs": repeats(record, job.request),
        "recipeChanged": _site_view(record)["changed"],
        "identical": None if made_again is None else made_again == original["sha256"],
        "original": {
            **{name: original[name] for name in ("sha256", "type", "width", "height", "sizeBytes")},
            "url": asset_url(public_url, token.media.asset) if token.media.asset else None,
        },
        "rerun": {**results[number - 1], "sha256": made_again} if made_again and number <= len(results) else None,
    }


def _find(token_id: str) -> tuple[Token, dict[str, Any]]:
    token = stores().gallery.tokens.find(parse_token_id(token_id))
    if not token.provenance or "jobId" not in token.provenance:
        raise NotFound(NO_PROVENANCE)
    return token, token.provenance


def _comparison_url(token: Token, job_id: str) -> str:
    return f"{stores().settings.public_url}/api/v1/gallery/tokens/{token.token_id}/rerun/{job_id}"


def _site_view(record: dict[str, Any]) -> dict[str, Any]:
    """Return the present version of the site's recipe, and whether it is another one."""
    current = provenance.find_recipe(stores(), record["site"]["name"])
    version = current.version if current else None
    return {"currentRecipe": version, "changed": version != record["site"]["recipe"]}


def _is_deterministic(record: dict[str, Any]) -> bool:
    return bool(record["site"]["deterministic"])


def _model_view(found: provenance.FoundModel) -> dict[str, Any]:
    return {**found.used.to_json(), "library": {"status": found.presence, "modelId": found.model_id}}


def _input_urls(record: dict[str, Any]) -> dict[str, str]:
    public_url = stores().settings.public_url
    return {name: asset_url(public_url, asset) for name, asset in record.get(KEPT_INPUTS, {}).items()}
