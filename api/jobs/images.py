"""Images at the root: previews while a job runs, the result in any format once it is done."""

from collections.abc import Callable
from typing import Any

from flask import Response, request

from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.route_policy import Access, RateLimit, RoutePolicy
from schemas.errors import Gone, NotConvertible, NotFound, RangeNotSatisfiable, ServiceError, Unavailable
from schemas.images import formats
from schemas.images.formats import ImageFormat
from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from schemas.messages import CONVERT_IMAGE
from stores import Stores

CONVERSION_TIMEOUT_S = 5.0
RETRY_AFTER_S = 1
BINARY = {"type": "string", "format": "binary"}

blueprint = Blueprint(
    "pictures",
    __name__,
    access=Access.ANONYMOUS,
    description="Pictures. They need no key: the ids of jobs cannot be guessed.",
)


def pictures(routes: Blueprint, description: str) -> Callable[[Any], Any]:
    """Return a decorator that describes a view that sends a picture or a video of a job, whole or in part."""

    def describe(view: Any) -> Any:
        for media_type in ("image/*", "video/*"):
            view = routes.response(200, BINARY, description=description, content_type=media_type)(view)
        return routes.sends(206, 304, Gone, RangeNotSatisfiable)(view)

    return describe


@blueprint.route(
    f"/<job_id:job_id>.<any({', '.join(formats.BY_EXTENSION)}):extension>",
    policy=RoutePolicy(rate_limit=RateLimit.STATUS, is_logged=False),
)
@blueprint.doc(security=[{}])
@pictures(blueprint, "The picture; as .jpg also the latest preview while the job runs.")
@blueprint.alt_response(409, description="A video, or a picture of more than 64,000,000 pixels, is not converted.")
def picture(job_id: str, extension: str) -> Response:
    """The picture of a job, converted to JPEG, PNG or WebP if necessary; other extensions only for originals.

    The JPEG of a video, or of a picture of more than 64,000,000 pixels, is a poster of at most 2048 pixels.
    """
    job = stores().jobs.get(job_id)
    if job.state is JobState.COMPLETED:
        return _image_response(
            job, image_in_format(stores(), job, extension), formats.BY_EXTENSION[extension], extension
        )
    if extension == "jpg" and not job.state.is_final and (preview := stores().results.get_preview(job_id)):
        return Response(preview, mimetype="image/jpeg", headers={"Cache-Control": "no-store"})
    raise _no_image_error(job)


@blueprint.route("/<job_id:job_id>/<int(min=1):number>", endpoint="one_of_several")
@blueprint.doc(security=[{}])
@pictures(blueprint, "The original bytes of the picture with this number.")
def numbered_original(job_id: str, number: int) -> Response:
    """One of several pictures of a job, counted from 1, as the site made it."""
    return original_image_response(stores().jobs.get(job_id), number)


@blueprint.route("/<job_id:job_id>")
@blueprint.doc(security=[{}])
@pictures(blueprint, "The original bytes.")
def original(job_id: str) -> Response:
    """The picture of a job as the site made it, byte for byte."""
    return original_image_response(stores().jobs.get(job_id))


def original_image_response(job: Job, number: int = 1) -> Response:
    """Return the response with the original bytes of one of a job's images.

    Raises:
        NotFound: the job has no such image, or none yet.
        Gone: it has expired.
    """
    if job.state is not JobState.COMPLETED:
        raise _no_image_error(job)
    if number > len(job.results):
        raise NotFound(f"There is no picture number {number}: the job has {len(job.results)}.")
    form = formats.BY_MEDIA_TYPE[job.results[number - 1].type]
    return _image_response(job, stores().results.get_original(job.id, number), form, f"original-{number}")


def image_in_format(stores: Stores, job: Job, extension: str) -> bytes | None:
    """Return a completed job's first image in a format; None if it has expired.

    Raises:
        NotFound, NotConvertible: it is not converted to that format.
        Unavailable: the conversion takes longer than expected.
    """
    results, first = stores.results, job.results[0]
    if extension != "jpg" and first.type == formats.BY_EXTENSION[extension].media_type:
        return results.get_original(job.id)
    if extension not in formats.OUTPUT:
        raise NotFound(f"The picture is {first.type}; it is not converted to .{extension}.")
    if converted := results.get_converted(job.id, extension):
        return converted
    is_small = first.width * first.height <= formats.MAX_PIXELS
    if extension != "jpg" and (formats.BY_MEDIA_TYPE[first.type].is_video or not is_small):
        limit = f"pictures of up to {formats.MAX_PIXELS:,} pixels are converted"
        raise NotConvertible(f"The result is {first.type} with {first.width}x{first.height} pixels; {limit}.")
    converted = results.request_converted(
        job.id,
        extension,
        lambda: stores.queue.send(CONVERT_IMAGE, job.id, extension),
        timeout_s=CONVERSION_TIMEOUT_S,
    )
    if converted is None and results.get_original(job.id):
        raise Unavailable("The conversion takes longer than expected.", retry_after_s=RETRY_AFTER_S)
    return converted


def _image_response(job: Job, data: bytes | None, form: ImageFormat, variant: str) -> Response:
    if data is None:
        raise Gone("Image expired; it is no longer kept.")
    response = Response(data, mimetype=form.media_type)
    left_s = max(0, (job.expires_at or 0) - stores().clock.now_ms()) // 1000
    response.headers["Cache-Control"] = f"private, max-age={left_s}, immutable"
    response.headers["Content-Disposition"] = f'inline; filename="{job.id}.{form.extension}"'
    response.set_etag(f"{job.id}-{variant}")
    # Browsers play videos by ranges, and some do not play one from a server without them.
    response.make_conditional(request, accept_ranges=True, complete_length=len(data))
    return response


def _no_image_error(job: Job) -> ServiceError:
    if job.error:
        return NotFound(f"There is no picture: {job.error.message}", code=job.error.code)
    return NotFound("There is no picture yet.", retry_after_s=RETRY_AFTER_S)
