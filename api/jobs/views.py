"""The native API for jobs: submit, list, read, cancel, fetch results."""

from typing import Any

from flask import Response, jsonify, request
from werkzeug.exceptions import UnsupportedMediaType

from api.http.blueprint import Blueprint
from api.http.context import caller, own_job, stores
from api.http.route_policy import SUBMISSION, Access, RateLimit, RoutePolicy
from api.jobs.images import BINARY, original_image_response, pictures
from api.jobs.job_bodies import REQUEST_BODY, is_form, job_body
from api.jobs.long_poll import WAIT_PARAMETERS, read_job
from api.jobs.responses import CancelledJobs, FailureReportView
from api.jobs.serializers import json_with_etag, native_job
from api.jobs.submission import IDEMPOTENCY_KEY, SUBMISSION_ERRORS, accepted_headers, submit
from schemas.errors import Conflict, Gone, NotFound
from schemas.jobs.job import Job, JobPage, JobView, load_job_request
from schemas.jobs.lifecycle import JobState
from schemas.paging import Cursor, PageQuery

blueprint = Blueprint("jobs", __name__, access=Access.KEY, url_prefix="/api/v1/jobs", description="Jobs.")


@blueprint.before_request
def check_media_type() -> None:
    """Reject bodies of other types, which would be ignored."""
    if request.method == "POST" and request.content_length and not (request.is_json or is_form()):
        raise UnsupportedMediaType(
            "Send JSON, with the header 'Content-Type: application/json', or a form (multipart/form-data)."
        )


@blueprint.route("", methods=["POST"], policy=SUBMISSION)
@blueprint.doc(requestBody=REQUEST_BODY, parameters=[IDEMPOTENCY_KEY])
@blueprint.response(202, JobView)
@blueprint.sends(*SUBMISSION_ERRORS)
def create() -> Response:
    """Submit a job. The response means that it is accepted; its `status` says when it is done.

    Pictures for image inputs come as files of a form, or in JSON as a `data:` URL, `{"jobId": ID, "number": 1}` for a
    picture of one of your jobs, `{"jobId": ID, "input": NAME}` for that of one of its inputs, or `{"uploadId": ID}`.
    """
    with job_body() as fields:
        accepted = submit(caller(), load_job_request(fields))
    response = jsonify(native_job(stores(), accepted.job, accepted.estimate))
    response.status_code = 202
    response.headers.extend(accepted_headers(accepted))
    return response


@blueprint.route("", methods=["GET"])
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, JobPage)
def listing(query: dict[str, Any]) -> Response:
    """Your jobs that have not expired, newest first."""
    cursor = Cursor.decode(query["cursor"]) if "cursor" in query else None
    jobs, next_cursor = stores().jobs.list_page(caller().id, cursor, query["limit"])
    return jsonify(
        {
            "jobs": [native_job(stores(), job, estimate) for job, estimate in jobs],
            "nextCursor": next_cursor.encode() if next_cursor else None,
        }
    )


@blueprint.route("/<job_id>", policy=RoutePolicy(rate_limit=RateLimit.STATUS))
@blueprint.doc(parameters=WAIT_PARAMETERS)
@blueprint.response(200, JobView)
@blueprint.sends(304, Gone)
def read(job_id: str) -> Response:
    """One of your jobs. With `wait` and `since`, the response comes as soon as the job changes."""
    job, estimate = read_job(job_id, caller().id)
    return json_with_etag(native_job(stores(), job, estimate), job, estimate)


@blueprint.route("/cancel", methods=["POST"])
@blueprint.response(200, CancelledJobs)
def cancel_all() -> Response:
    """Cancel all your unfinished jobs."""
    return jsonify(stores().jobs.cancel_all(caller().id))


@blueprint.route("/<job_id>", methods=["DELETE"])
@blueprint.response(200, JobView, description="The job has ended; cancelling again changes nothing.")
@blueprint.alt_response(202, schema=JobView, description="The job is running and ends within a second.")
@blueprint.sends(Gone)
def delete(job_id: str) -> Response:
    """Cancel one of your jobs."""
    own_job(job_id)
    stores().jobs.cancel(job_id)
    job, estimate = stores().jobs.get_with_estimate(job_id)
    response = jsonify(native_job(stores(), job, estimate))
    response.status_code = 200 if job.state.is_final else 202
    return response


@blueprint.route("/<job_id>/result")
@pictures(blueprint, "The original bytes.")
@blueprint.alt_response(409, description="There is no picture (yet).")
def result(job_id: str) -> Response:
    """The finished picture, byte for byte; the first one if there are several."""
    return original_image_response(_completed_job(job_id))


@blueprint.route("/<job_id>/results/<int(min=1):number>", endpoint="result_of_number")
@pictures(blueprint, "The original bytes.")
@blueprint.alt_response(409, description="There is no picture (yet).")
def numbered_result(job_id: str, number: int) -> Response:
    """The finished picture with this number, counted from 1, byte for byte."""
    return original_image_response(_completed_job(job_id), number)


@blueprint.route("/<job_id>/failure")
@blueprint.response(200, FailureReportView)
@blueprint.sends(Gone)
def failure(job_id: str) -> Response:
    """The failure report of the job's last failed attempt, with secrets redacted."""
    report = stores().jobs.get_failure_report(own_job(job_id).id)
    if report is None:
        raise NotFound("No failure report of this job is stored.")
    return jsonify(report)


@blueprint.route("/<job_id>/trace")
@blueprint.response(200, BINARY, description="A zip for `playwright show-trace`.", content_type="application/zip")
@blueprint.sends(Gone)
def trace(job_id: str) -> Response:
    """The Playwright trace of the job's last failed attempt; first attempts are not recorded."""
    recorded = stores().results.get_trace(own_job(job_id).id)
    if recorded is None:
        raise NotFound("There is no trace: only failed retries are recorded, and none on sites with a login.")
    return Response(recorded, mimetype="application/zip")


def _completed_job(job_id: str) -> Job:
    job = own_job(job_id)
    if job.state is not JobState.COMPLETED:
        raise Conflict(job.error.message if job.error else f"The job is {job.state}: there is no picture yet.")
    return job
