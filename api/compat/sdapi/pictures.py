"""The pictures of ended jobs as this API sends them: PNG in base64, with the infotext that AUTOMATIC1111 embeds."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from api.http.context import stores
from api.jobs.completion import UpdateKind, cancel_jobs, follow_own_jobs
from ops.infra.version import VERSION
from schemas.errors import Cancelled, Gone, NotConvertible, ServiceError, Unavailable
from schemas.images import formats
from schemas.images.containers.png_text import add_png_text
from schemas.images.containers.text_chunks import read_text_chunks
from schemas.images.structure import read_structure
from schemas.jobs.job import Job, JobError, Result
from schemas.jobs.sdapi.generation_info import PictureInfo
from schemas.messages import CONVERT_IMAGE
from schemas.sites.input_aliases import find_input
from schemas.sites.recipe import Recipe

PARAMETERS = "parameters"
CONVERSION_TIMEOUT_S = 20.0
# For each picture that a request asks for. Clients of this program wait without a limit.
WAIT_S_PER_JOB = 600.0
# An answer is in memory several times, as bytes, as base64 and as JSON.
MAX_ANSWER_BYTES = 96 * 1024 * 1024
EXPIRED = "Picture {} of this job has expired; send the request again without its idempotency key to make new ones."
TOO_LARGE = (
    f"The pictures have more than {MAX_ANSWER_BYTES // 2**20} MiB together; ask for fewer at a time. "
    "GET /api/v1/jobs has these."
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, and what made it; a preview of an interrupted job has no infotext in it."""

    data: bytes = field(repr=False)
    info: PictureInfo

    def encode(self, recipe: Recipe) -> bytes:
        """Return the picture in base64, with its infotext if it is a PNG that has none."""
        data = self.data
        if formats.detect(data) is formats.PNG and not self.info.infotext:
            data = add_png_text(data, PARAMETERS, self.info.text(recipe, VERSION))
        return base64.b64encode(data)


@dataclass(slots=True)
class Collected:
    """The pictures of the jobs of a request by job, the jobs that failed, and the last previews of those that run."""

    pictures: dict[str, list[Picture]] = field(default_factory=dict)
    failed: dict[str, Job] = field(default_factory=dict)
    previews: dict[str, bytes] = field(default_factory=dict, repr=False)
    size_bytes: int = 0

    def add(self, job: Job, picture: Picture) -> None:
        """Add a picture of a job; raises NotConvertible if all are too large for one answer then."""
        self.size_bytes += len(picture.data)
        if self.size_bytes > MAX_ANSWER_BYTES:
            raise NotConvertible(TOO_LARGE)
        self.pictures.setdefault(job.id, []).append(picture)


def collect(found: Collected, jobs: Sequence[Job], recipe: Recipe, prompt: str, *, with_bytes: bool) -> None:
    """Wait for the end of jobs, and add their pictures; those of a job are read as soon as it has ended.

    A job that was cancelled has its last preview, as an interrupted program returns an unfinished picture. A picture
    that cannot be read now, or has expired, is the failure of its job.

    Raises:
        NotConvertible: the pictures are too large for one answer; jobs that have not ended are cancelled.
        WaitTimedOut, Unauthorized, Unavailable, Cancelled: as ``api.jobs.completion.follow_jobs``.
    """
    for update in follow_own_jobs(jobs, timeout_s=WAIT_S_PER_JOB * len(jobs)):
        job = update.job
        if job is None:
            continue
        if update.kind is UpdateKind.PREVIEW and (preview := stores().results.get_preview(job.id)):
            found.previews[job.id] = preview
        elif update.kind is UpdateKind.END:
            try:
                _add(found, job, recipe, prompt, with_bytes=with_bytes)
            except NotConvertible:
                cancel_jobs(stores(), jobs)
                raise


def _add(found: Collected, job: Job, recipe: Recipe, prompt: str, *, with_bytes: bool) -> None:
    preview = found.previews.pop(job.id, None)
    if job.error is None:
        for number, result in enumerate(job.results, 1):
            try:
                data = _read_png(job, number) if with_bytes else b""
            except (NotConvertible, Unavailable) as error:
                found.failed[job.id] = _with_error(job, error)
                return
            if data is None:
                found.failed[job.id] = _with_error(job, Gone(EXPIRED.format(number)))
            else:
                found.add(job, Picture(data, _describe_result(job, recipe, prompt, result, data)))
        return
    found.failed[job.id] = job
    if preview and job.error.code == Cancelled.code:
        structure = read_structure(preview)
        size = structure.width, structure.height
        found.add(job, Picture(preview, _describe(job, recipe, prompt, size, "")))


def _with_error(job: Job, error: ServiceError) -> Job:
    return replace(job, error=JobError(error.code, error.message, error.hint, error.retryable))


def _describe_result(job: Job, recipe: Recipe, prompt: str, result: Result, data: bytes) -> PictureInfo:
    infotext = read_text_chunks(data).by_keyword.get(PARAMETERS, "") if data else ""
    return _describe(job, recipe, prompt, (result.width, result.height), infotext)


def _read_png(job: Job, number: int) -> bytes | None:
    """Return a picture as PNG; one that is not converted (a video, or very large) as its poster or as it is."""
    results, result = stores().results, job.results[number - 1]
    form = formats.BY_MEDIA_TYPE[result.type]
    if form is formats.PNG:
        return results.get_original(job.id, number)
    if form.is_video or result.width * result.height > formats.MAX_PIXELS:
        poster = results.get_converted(job.id, "jpg") if number == 1 else None
        return poster or results.get_original(job.id, number)
    converted = results.get_converted(job.id, "png", number) or results.request_converted(
        job.id,
        "png",
        lambda: stores().queue.send(CONVERT_IMAGE, job.id, "png", str(number)),
        timeout_s=CONVERSION_TIMEOUT_S,
        number=number,
    )
    if converted is None and results.has_original(job.id):
        raise Unavailable(f"The conversion to PNG takes longer than expected; GET /api/v1/jobs/{job.id}/result has it.")
    return converted


def _describe(job: Job, recipe: Recipe, prompt: str, size: tuple[int, int], infotext: str) -> PictureInfo:
    inputs: Mapping[str, object] = job.request.inputs
    own_model = find_input(recipe, "model")
    negative = find_input(recipe, "negative_prompt")
    return PictureInfo(
        site=recipe.name,
        model=str(inputs[own_model]) if own_model and own_model in inputs else recipe.name,
        prompt=prompt,
        negative_prompt=str(inputs.get(negative, "")) if negative else "",
        inputs=job.request.inputs,
        width=size[0],
        height=size[1],
        infotext=infotext,
    )
