"""Owns the native surface for jobs: submit, list, watch, cancel, fetch."""

from typing import Any

from flask import Response, jsonify, request
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate
from werkzeug.exceptions import UnsupportedMediaType

from api.auth import require_key
from api.context import caller, stores
from api.pictures import original_of
from api.submission import cancel, submit
from api.views import native_job, with_etag
from api.watching import WAIT_PARAMETERS, read_job
from schemas.errors import Conflict, NotFound
from schemas.jobs import Job, JobPage, JobRequest, JobView
from schemas.lifecycle import JobState
from schemas.paging import Cursor

blueprint = Blueprint("jobs", __name__, url_prefix="/api/v1/jobs", description="Jobs.")
blueprint.before_request(require_key)


class PageQuery(Schema):
    """Which page of a list."""

    cursor = fields.String()
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100))


@blueprint.before_request
def check_media_type() -> None:
    """Bodies are JSON."""
    if request.method == "POST" and not request.is_json:
        raise UnsupportedMediaType("Send JSON, with the header 'Content-Type: application/json'.")


@blueprint.route("", methods=["POST"])
@blueprint.arguments(JobRequest())
@blueprint.response(202, JobView)
def create(body: dict[str, Any]) -> Response:
    """Submit a job; it is accepted when this answers, and done when its status says so."""
    job, position = submit(
        stores(),
        caller(),
        prompt=body["prompt"],
        site=body.get("site"),
        lora=body.get("lora"),
        inputs=body.get("inputs", {}),
    )
    response = jsonify(_show(job, position))
    response.status_code = 202
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return response


@blueprint.route("", methods=["GET"])
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, JobPage)
def listing(query: dict[str, Any]) -> Response:
    """Your own jobs that are still kept, newest first."""
    cursor = Cursor.decode(query["cursor"]) if "cursor" in query else None
    jobs, following = stores().jobs.page(caller().id, cursor, query["limit"])
    return jsonify(
        {
            "jobs": [_show(job, position) for job, position in jobs],
            "nextCursor": following.encode() if following else None,
        }
    )


@blueprint.route("/<job_id>")
@blueprint.doc(parameters=WAIT_PARAMETERS)
@blueprint.response(200, JobView)
def read(job_id: str) -> Response:
    """A job of yours; `wait` and `since` answer as soon as it changes."""
    _own(job_id)
    job, position = read_job(job_id)
    return with_etag(_show(job, position), job, position)


@blueprint.route("/<job_id>", methods=["DELETE"])
@blueprint.response(200, JobView, description="It has ended, now or before: cancelling twice changes nothing.")
@blueprint.alt_response(202, schema=JobView, description="It runs; it ends within a second.")
def delete(job_id: str) -> Response:
    """Cancel a job of yours."""
    job = cancel(stores(), _own(job_id))
    response = jsonify(_show(job))
    response.status_code = 200 if job.state.final else 202
    return response


@blueprint.route("/<job_id>/result")
@blueprint.response(200, description="The original bytes.", content_type="image/*")
@blueprint.alt_response(409, description="There is no picture (yet).")
def result(job_id: str) -> Response:
    """The finished picture, byte for byte."""
    job = _own(job_id)
    if job.state is not JobState.COMPLETED:
        raise Conflict(job.error.message if job.error else f"The job is {job.state}: there is no picture yet.")
    return original_of(job)


@blueprint.route("/<job_id>/failure")
@blueprint.response(200, description="`url`, `screenshot`, `console`, `requests` and `dom` of the last failed attempt.")
def failure(job_id: str) -> Response:
    """What was kept of the job's last failed attempt, secrets redacted."""
    bundle = stores().jobs.failure(_own(job_id).id)
    if bundle is None:
        raise NotFound("No attempt of this job has left anything to look at.")
    return jsonify(bundle)


def _own(job_id: str) -> Job:
    job = stores().jobs.get(job_id)
    if job.owner != caller().id:
        raise NotFound("There is no job of that id.")
    return job


def _show(job: Job, position: int | None = None) -> dict[str, Any]:
    return native_job(job, position, stores().settings.public_url)
