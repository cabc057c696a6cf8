"""The pictures at the root: previews while a job runs, the picture in any format once it is done."""

from flask import Response, request

from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.route_policy import Access, RateLimit, RoutePolicy
from schemas.errors import Gone, NotFound, ServiceError, Unavailable
from schemas.images import formats
from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from schemas.messages import CONVERT_IMAGE

CONVERSION_TIMEOUT_S = 5.0
PREVIEW_RETRY_S = 1

blueprint = Blueprint(
    "pictures",
    __name__,
    access=Access.ANONYMOUS,
    description="Pictures. They need no key: a job's id cannot be guessed.",
)


@blueprint.route(
    "/<job_id:job_id>.<any(jpg, png, webp):form>",
    policy=RoutePolicy(rate_limit=RateLimit.STATUS, is_logged=False),
)
@blueprint.doc(security=[{}])
@blueprint.response(
    200, description="The picture; as .jpg also the newest preview while the job runs.", content_type="image/*"
)
def picture(job_id: str, form: str) -> Response:
    """The picture in a format of choice."""
    job = stores().jobs.get(job_id)
    if job.state is JobState.COMPLETED:
        return _image_response(job, _image_in_format(job, form), formats.OUTPUT[form].media_type, form)
    if form == "jpg" and not job.state.is_final and (preview := stores().results.get_preview(job_id)):
        return Response(preview, mimetype="image/jpeg", headers={"Cache-Control": "no-store"})
    raise _no_image_error(job)


@blueprint.route("/<job_id:job_id>/<int(min=1):number>")
@blueprint.doc(security=[{}])
@blueprint.response(200, description="The original bytes of the job's picture of that number.", content_type="image/*")
def numbered_original(job_id: str, number: int) -> Response:
    """One of the pictures of a job that has several, from 1."""
    return original_image_response(stores().jobs.get(job_id), number)


@blueprint.route("/<job_id:job_id>")
@blueprint.doc(security=[{}])
@blueprint.response(200, description="The original bytes.", content_type="image/*")
def original(job_id: str) -> Response:
    """The picture as the site made it, byte for byte."""
    return original_image_response(stores().jobs.get(job_id))


def original_image_response(job: Job, number: int = 1) -> Response:
    """The answer with the original bytes of a job's picture; raises as ``_nothing_yet`` says."""
    if job.state is not JobState.COMPLETED:
        raise _no_image_error(job)
    if number > len(job.results):
        raise NotFound(f"The job has {len(job.results)} pictures; there is no number {number}.")
    about = job.results[number - 1]
    return _image_response(job, stores().results.get_original(job.id, number), about.type, f"original-{number}")


def _image_in_format(job: Job, form: str) -> bytes | None:
    results = stores().results
    if form != "jpg" and job.results[0].type == formats.OUTPUT[form].media_type:
        return results.get_original(job.id)
    if kept := results.get_converted(job.id, form):
        return kept
    stores().queue.send(CONVERT_IMAGE, job.id, form)
    made = results.wait_for_converted(job.id, form, CONVERSION_TIMEOUT_S)
    if made is None and results.get_original(job.id):
        raise Unavailable("The conversion takes longer than expected.", retry_after_s=PREVIEW_RETRY_S)
    return made


def _image_response(job: Job, data: bytes | None, media_type: str, form: str) -> Response:
    if data is None:
        raise Gone("Image expired; it is no longer kept.")
    response = Response(data, mimetype=media_type)
    left_s = max(0, (job.expires_at or 0) - stores().clock.now_ms()) // 1000
    response.headers["Cache-Control"] = f"private, max-age={left_s}, immutable"
    response.headers["Content-Disposition"] = "inline"
    response.set_etag(f"{job.id}-{form}")
    response.make_conditional(request)
    return response


def _no_image_error(job: Job) -> ServiceError:
    if job.error:
        return NotFound(f"There is no picture: {job.error.message}", code=job.error.code)
    return NotFound("There is no picture yet.", retry_after_s=PREVIEW_RETRY_S)
