"""Compares the picture of a token with that of a new job with the same inputs, as JSON and as a page."""

import hashlib
from typing import Any
from urllib.parse import urlsplit

from flask import Response

from api.gallery.pages.entries import build_token
from api.gallery.pages.responses import init_page_errors, page_response
from api.http.blueprint import Blueprint
from api.http.context import caller, own_job, stores
from api.http.route_policy import Access
from schemas.errors import NotFound
from schemas.gallery.encodings import parse_token_id
from schemas.gallery.provenance import repeats
from schemas.gallery.tokens import Token
from schemas.gallery.urls import asset_url
from schemas.jobs.event_payloads import result_payloads
from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from stores.gallery import provenance

NO_PROVENANCE = "Nothing is known about how this token was made: its picture was uploaded."
RELOAD_S = 3
_WAITING = "The new job has not ended: there is nothing to compare yet."

blueprint = Blueprint("gallery_comparison", __name__, access=Access.KEY)
init_page_errors(blueprint)


@blueprint.route("/c/<slug>/<token_id>/made-again/<job_id>")
def show(slug: str, token_id: str, job_id: str) -> Response:
    """Both pictures side by side, and whether they are the same; reloads itself until the job is done."""
    token, record = find_record(token_id)
    if slug != token.collection.slug:
        raise NotFound("No page has this address.")
    comparison = build_comparison(token, record, own_job(job_id))
    again = comparison["rerun"]
    return page_response(
        "gallery/comparison.html",
        token=build_token(token, is_owner=token.owner == caller().id),
        comparison=comparison,
        again_path=urlsplit(again["url"]).path.lstrip("/") if again else "",
        reload_s=None if JobState(comparison["status"]).is_final else RELOAD_S,
    )


def comparison_path(token: Token, job_id: str) -> str:
    """Return the path of the page that compares a token with a job, without a slash before it."""
    return f"c/{token.collection.slug}/{token.token_id}/made-again/{job_id}"


def find_record(token_id: str) -> tuple[Token, dict[str, Any]]:
    """Return a token and its provenance; raises NotFound, also if its picture was not made by a job."""
    token = stores().gallery.tokens.find(parse_token_id(token_id))
    if not token.provenance or "jobId" not in token.provenance:
        raise NotFound(NO_PROVENANCE)
    return token, token.provenance


def site_view(record: dict[str, Any]) -> dict[str, Any]:
    """Return the present version of the site's recipe, and whether it is another one."""
    current = provenance.find_recipe(stores(), record["site"]["name"])
    version = current.version if current else None
    return {"currentRecipe": version, "changed": version != record["site"]["recipe"]}


def build_comparison(token: Token, record: dict[str, Any], job: Job) -> dict[str, Any]:
    """Return both pictures of a token and of a job that makes it again.

    ``sameInputs`` is None for callers who may not know the inputs of the token.
    """
    public_url, number = stores().settings.public_url, record["number"]
    data = stores().results.get_original(job.id, number) if job.state is JobState.COMPLETED else None
    made_again = hashlib.sha256(data).hexdigest() if data is not None else None
    results = result_payloads(job.results, job.id, public_url)
    original = record["image"]
    is_owner = token.owner == caller().id
    # It would confirm a guess of a private prompt.
    same_inputs = repeats(record, job.request) if is_owner or not token.is_prompt_private else None
    comparison = {
        "tokenId": token.token_id,
        "jobId": job.id,
        "status": job.state,
        "deterministic": bool(record["site"]["deterministic"]),
        "sameInputs": same_inputs,
        "recipeChanged": site_view(record)["changed"],
        "identical": None if made_again is None else made_again == original["sha256"],
        "original": {
            **{name: original[name] for name in ("sha256", "type", "width", "height", "sizeBytes")},
            "url": asset_url(public_url, token.media.asset) if token.media.asset else None,
        },
        "rerun": {**results[number - 1], "sha256": made_again} if made_again and number <= len(results) else None,
    }
    return comparison | {"verdict": _verdict(comparison, job)}


def _verdict(comparison: dict[str, Any], job: Job) -> str:
    """Return in a sentence whether both pictures are the same, and if not, why they may differ."""
    if job.state is not JobState.COMPLETED:
        return f"The new job failed: {job.error.message}" if job.error else _WAITING
    if comparison["identical"] is None:
        return "The new job has no picture with this number, or it has expired."
    if comparison["identical"]:
        return "Both pictures are the same, byte for byte."
    reasons = (
        (comparison["sameInputs"] is None, "The inputs of the first one are private, so they may differ as well."),
        (not comparison["sameInputs"], "The inputs of both jobs differ as well."),
        (not comparison["deterministic"], "This site makes different pictures from the same inputs."),
        (comparison["recipeChanged"], "The recipe of the site has changed since the first one was made."),
        (True, "The site is deterministic, so the program or its settings have changed."),
    )
    return f"The pictures differ. {next(sentence for applies, sentence in reasons if applies)}"
