"""Routes for the provenance of tokens: what made them, making them again, and comparing both pictures."""

from typing import Any

from flask import Response, g, jsonify, request

from api.gallery.documents.comparison import build_comparison, comparison_path, find_record, site_view
from api.gallery.documents.responses import ComparisonView, ProvenanceView, RerunJob
from api.http.blueprint import Blueprint
from api.http.context import caller, optional_caller, own_job, stores
from api.http.route_policy import Access, RateLimit, RoutePolicy
from api.jobs.serializers import native_job
from api.jobs.submission import IDEMPOTENCY_KEY, SUBMISSION_ERRORS, add_replay_header
from schemas.accounts.caller import Scope
from schemas.errors import Forbidden, Gone
from schemas.gallery.provenance import KEPT_INPUTS, hide_private
from schemas.gallery.tokens import Token
from schemas.gallery.urls import asset_url
from stores.gallery import provenance

blueprint = Blueprint(
    "gallery_provenance", __name__, access=Access.KEY, description="The gallery: where pictures come from."
)


@blueprint.route("/<token_id>/provenance", policy=RoutePolicy(reads_gallery=True))
@blueprint.response(200, ProvenanceView)
def read(token_id: str) -> Response:
    """What made the picture of a token, which of its models the library has now, and whether it can be made again.

    Only its owner sees `jobId`, and of a private prompt `prompt`, `inputs`, `seed` and `generation`; they are null for
    others.
    """
    token, record = find_record(token_id)
    reader = optional_caller()
    is_owner = reader is not None and reader.id == token.owner
    view = hide_private(record, is_owner=is_owner, is_prompt_private=token.is_prompt_private)
    models = provenance.find_models(stores(), record)
    obstacles = provenance.list_obstacles(stores(), record, models)
    return jsonify(
        view
        | {
            "tokenId": token.token_id,
            "site": {**record["site"], **site_view(record)},
            "models": [_model_view(found) for found in models],
            "inputPictures": _input_urls(record) if view["inputs"] is not None else {},
            "rerun": {"possible": not obstacles, "reasons": obstacles},
        }
    )


@blueprint.route(
    "/<token_id>/rerun", methods=["POST"], policy=RoutePolicy(Access.KEY, Scope.GENERATE, RateLimit.SUBMIT)
)
@blueprint.doc(parameters=[IDEMPOTENCY_KEY])
@blueprint.response(202, RerunJob)
@blueprint.alt_response(409, description="The site, a model or a picture is gone: see `details.reasons`.")
@blueprint.sends(*SUBMISSION_ERRORS)
def rerun(token_id: str) -> Response:
    """Make a new job with the inputs of a token's job.

    `comparisonUrl` and `comparisonPageUrl` lead to the comparison of both pictures, when the new one is done. It is
    your job, whosever token it is. Only the owner of a private prompt can do that.
    """
    token, record = find_record(token_id)
    if token.is_prompt_private and token.owner != caller().id:
        raise Forbidden("The prompt of this token is private: only its owner can make it again.")
    key = request.headers.get("Idempotency-Key")
    accepted = provenance.rerun(stores(), caller(), record, request_id=g.request_id, idempotency_key=key)
    job = accepted.job
    page = f"{stores().settings.public_url}/{comparison_path(token, job.id)}"
    links = {
        "comparisonUrl": _comparison_url(token, job.id),
        "comparisonPageUrl": page,
        "deterministic": bool(record["site"]["deterministic"]),
    }
    response = jsonify(native_job(stores(), job, accepted.estimate) | links)
    response.status_code = 202
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return add_replay_header(response, accepted)


@blueprint.route("/<token_id>/rerun/<job_id>")
@blueprint.response(200, ComparisonView)
@blueprint.sends(Gone)
def compare(token_id: str, job_id: str) -> Response:
    """Compare the picture of a token with that of a job of yours, byte for byte.

    `identical` is null until the job is done, and `sameInputs` is null where the prompt is another caller's and
    private. On a `deterministic` site the same inputs give the same bytes, unless the recipe or the program has
    changed meanwhile.
    """
    token, record = find_record(token_id)
    return jsonify(build_comparison(token, record, own_job(job_id)))


def _comparison_url(token: Token, job_id: str) -> str:
    return f"{stores().settings.public_url}/api/v1/gallery/tokens/{token.token_id}/rerun/{job_id}"


def _model_view(found: provenance.FoundModel) -> dict[str, Any]:
    return {**found.used.to_json(), "library": {"status": found.presence, "modelId": found.model_id}}


def _input_urls(record: dict[str, Any]) -> dict[str, str]:
    public_url = stores().settings.public_url
    return {name: asset_url(public_url, asset) for name, asset in record.get(KEPT_INPUTS, {}).items()}
