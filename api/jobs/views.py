"""The native surface for jobs: submit, list, watch, cancel, fetch."""

from typing import Any

from flask import Response, jsonify, request
from marshmallow import Schema, fields, validate
from werkzeug.exceptions import UnsupportedMediaType

from api.http.blueprint import Blueprint
from api.http.context import caller, own_job, stores
from api.http.route_policy import SUBMISSION, Access, RateLimit, RoutePolicy
from api.jobs.images import original_image_response
from api.jobs.long_poll import WAIT_PARAMETERS, read_job
from api.jobs.serializers import json_with_etag, native_job
from api.jobs.submission import add_replay_header, submit
from schemas.errors import Conflict, NotFound
from schemas.jobs.job import Job, JobPage, JobRequest, JobRequestSchema, JobView
from schemas.jobs.lifecycle import JobState
from schemas.paging import Cursor

blueprint = Blueprint("jobs", __name__, access=Access.KEY, url_prefix="/api/v1/jobs", description="Jobs.")


class PageQuery(Schema):
    """Which page of a list."""

    cursor = fields.String()
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100))


@blueprint.before_request
def check_media_type() -> None:
    """Bodies are JSON."""
    if request.method == "POST" and request.content_length and not request.is_json:
        raise UnsupportedMediaType("Send JSON, with the header 'Content-Type: application/json'.")


@blueprint.route("", methods=["POST"], policy=SUBMISSION)
@blueprint.arguments(JobRequestSchema())
@blueprint.response(202, JobView)
def create(job_request: JobRequest) -> Response:
    """Submit a job; it is accepted when this answers, and done when its status says so."""
    accepted = submit(caller(), job_request)
    response = jsonify(native_job(stores(), accepted.job, accepted.estimate))
    response.status_code = 202
    response.headers["Location"] = f"/api/v1/jobs/{accepted.job.id}"
    return add_replay_header(response, accepted)


@blueprint.route("", methods=["GET"])
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, JobPage)
def listing(query: dict[str, Any]) -> Response:
    """Your own jobs that are still kept, newest first."""
    cursor = Cursor.decode(query["cursor"]) if "cursor" in query else None
    jobs, following = stores().jobs.list_page(caller().id, cursor, query["limit"])
    return jsonify(
        {
            "jobs": [native_job(stores(), job, outlook) for job, outlook in jobs],
            "nextCursor": following.encode() if following else None,
        }
    )


@blueprint.route("/<job_id>", policy=RoutePolicy(rate_limit=RateLimit.STATUS))
@blueprint.doc(parameters=WAIT_PARAMETERS)
@blueprint.response(200, JobView)
def read(job_id: str) -> Response:
    """A job of yours; `wait` and `since` answer as soon as it changes."""
    job, outlook = read_job(job_id, caller().id)
    return json_with_etag(native_job(stores(), job, outlook), job, outlook)


@blueprint.route("/cancel", methods=["POST"])
@blueprint.response(200, description="`cancelled`: those that waited. `requested`: those that run; they end soon.")
def cancel_all() -> Response:
    """Cancel all your unfinished jobs."""
    return jsonify(stores().jobs.cancel_all(caller().id))


@blueprint.route("/<job_id>", methods=["DELETE"])
@blueprint.response(200, JobView, description="It has ended, now or before: cancelling twice changes nothing.")
@blueprint.alt_response(202, schema=JobView, description="It runs; it ends within a second.")
def delete(job_id: str) -> Response:
    """Cancel a job of yours."""
    own_job(job_id)
    stores().jobs.cancel(job_id)
    job, outlook = stores().jobs.get_with_estimate(job_id)
    response = jsonify(native_job(stores(), job, outlook))
    response.status_code = 200 if job.state.is_final else 202
    return response


@blueprint.route("/<job_id>/result")
@blueprint.response(200, description="The original bytes.", content_type="image/*")
@blueprint.alt_response(409, description="There is no picture (yet).")
def result(job_id: str) -> Response:
    """The finished picture, byte for byte; the first one where there are several."""
    return original_image_response(_completed_job(job_id))


@blueprint.route("/<job_id>/results/<int(min=1):number>")
@blueprint.response(200, description="The original bytes.", content_type="image/*")
@blueprint.alt_response(409, description="There is no picture (yet).")
def numbered_result(job_id: str, number: int) -> Response:
    """The finished picture of that number, from 1, byte for byte."""
    return original_image_response(_completed_job(job_id), number)


@blueprint.route("/<job_id>/failure")
@blueprint.response(200, description="`url`, `screenshot`, `console`, `requests` and `dom` of the last failed attempt.")
def failure(job_id: str) -> Response:
    """What was kept of the job's last failed attempt, secrets redacted."""
    bundle = stores().jobs.get_failure_report(own_job(job_id).id)
    if bundle is None:
        raise NotFound("No attempt of this job has left anything to look at.")
    return jsonify(bundle)


@blueprint.route("/<job_id>/trace")
@blueprint.response(200, description="A zip for `playwright show-trace`.", content_type="application/zip")
def trace(job_id: str) -> Response:
    """What Playwright recorded of the job's last failed attempt; a first attempt is not recorded."""
    recorded = stores().results.get_trace(own_job(job_id).id)
    if recorded is None:
        raise NotFound("No attempt of this job was recorded: only further ones that failed are, and none with a login.")
    return Response(recorded, mimetype="application/zip")


def _completed_job(job_id: str) -> Job:
    job = own_job(job_id)
    if job.state is not JobState.COMPLETED:
        raise Conflict(job.error.message if job.error else f"The job is {job.state}: there is no picture yet.")
    return job
