"""The job record, the request that creates a job, and the schemas of both in the native API."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate

from schemas.errors import Invalid
from schemas.fields import (
    MAX_LORA_NAME_LENGTH,
    MAX_PROMPT_LENGTH,
    ResponseSchema,
    Text,
    WholeNumber,
    flatten_errors,
)
from schemas.http.webhook_url import WebhookUrlField
from schemas.jobs.lifecycle import JobState
from schemas.sites.recipe import SiteLimits

MIN_PRIORITY, MAX_PRIORITY = -10, 10


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A request for a job, from any of the APIs.

    As a client sends it, an empty ``site`` means the default site, ``lora`` may be a name of the model library, and
    ``inputs`` have unchecked names and values. As a job stores it, ``site`` is a recipe's name, ``lora`` is the site's
    own name, and ``inputs`` have the recipe's names (snake case) and types. ``priority`` orders the jobs of one caller,
    highest first. ``webhook`` is a URL that gets the final event; stored jobs are read without it.
    """

    site: str
    prompt: str
    lora: str | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    webhook: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress that a page shows: ``step`` of ``steps``, or only a percentage."""

    percentage: float
    step: int | None = None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """An image with its bytes; ``lossy`` if it had to be taken from a screenshot."""

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    lossy: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The description of a finished image, without its bytes."""

    type: str
    size_bytes: int
    width: int
    height: int
    lossy: bool


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed: a stable code, a message, a hint, and whether a retry may help."""

    code: str
    message: str
    hint: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are Unix milliseconds; ``seq`` is the number of the latest event.

    ``queued_at`` is the time from which the job may be claimed. ``attempt`` counts claims by workers. ``deliveries``
    counts the attempts that ended with the loss of the worker, plus the current one. ``retries`` counts the attempts
    that ended in an error and were followed by another. ``claim_token`` is the fencing token of the current attempt and
    must not leave the server.
    """

    id: str
    owner: str
    state: JobState
    request: JobRequest
    request_id: str
    start_time: int
    last_modified: int
    seq: int
    queued_at: int = 0
    attempt: int = 0
    claim_token: str = field(default="", repr=False)
    deliveries: int = 0
    retries: int = 0
    preview_version: int = 0
    progress: Progress | None = None
    error: JobError | None = None
    results: tuple[Result, ...] = ()
    started_at: int | None = None
    finished_at: int | None = None
    expires_at: int | None = None
    cancel_requested_at: int | None = None


@dataclass(frozen=True, slots=True)
class QueueEstimate:
    """Queue position and run-time figures of an unfinished job; empty for a job that has ended.

    ``position`` is 1 for the job that is claimed next and None for a running one; far from the head of a long queue it
    is estimated (``position_is_estimate``), and numbers up to 100 are exact. ``mean_run_ms`` is the mean run time
    of the site's jobs, ``running`` the number of its jobs that run and ``slots`` the number that could run.
    ``circuit_...`` are set while the site's circuit is open.
    """

    position: int | None = None
    mean_run_ms: int | None = None
    running: int = 0
    slots: int = 0
    circuit_error: str | None = None
    circuit_retry_at: int | None = None
    position_is_estimate: bool = False

    def eta_s(self, job: Job, limits: SiteLimits, now_ms: int) -> float | None:
        """Estimate the seconds until the job completes; None if there is no basis for an estimate."""
        if self.mean_run_ms is None or job.state.is_final or self.circuit_retry_at is not None:
            return None
        if job.state is JobState.QUEUED and self.position is None:
            return None
        if self.position is None:
            return max(0.0, self.mean_run_ms - (now_ms - (job.started_at or now_ms))) / 1000
        slots = min(self.slots, limits.concurrency or self.slots)
        if not slots:
            return None
        running = min(self.running, slots)
        waiting_ahead = max(0, self.position - (slots - running))
        # Running jobs end one after another, the first of them half a run time from now on average. If none runs,
        # all slots start together and end together.
        rounds = max(0.0, waiting_ahead - 0.5) / slots if running else math.ceil(waiting_ahead / slots)
        wait_ms = max(rounds * self.mean_run_ms, (self.position - 1) * limits.min_interval_s * 1000)
        return (wait_ms + self.mean_run_ms) / 1000


def priority_field() -> WholeNumber:
    """Return the field of a request's priority."""
    return WholeNumber(
        load_default=0,
        validate=validate.Range(MIN_PRIORITY, MAX_PRIORITY),
        metadata={"description": "Order among your own jobs; the highest is started first."},
    )


class JobRequestSchema(Schema):
    """The body of ``POST /api/v1/jobs``."""

    prompt = Text(
        required=True,
        validate=validate.Length(1, MAX_PROMPT_LENGTH),
        metadata={"description": "What to generate, in words.", "example": "a lighthouse at dusk, oil painting"},
    )
    site = Text(metadata={"description": "Name of a site; the default site if omitted.", "example": "studio"})
    lora = Text(
        allow_none=True,
        validate=validate.Length(1, MAX_LORA_NAME_LENGTH),
        metadata={"description": "Name of a LoRA (or style) of that site.", "example": "Ukiyo-e"},
    )
    inputs = fields.Dict(
        keys=fields.String(),
        metadata={
            "description": "Further inputs that the site declares; see GET /api/v1/sites/NAME. An image input takes"
            ' a `data:` URL of up to 8 MiB, {"uploadId": ID}, {"jobId": ID, "number": 1} for a result of a job or'
            ' {"jobId": ID, "input": NAME} for the picture of one of its inputs.',
            "example": {"seed": 7},
        },
    )
    priority = priority_field()
    webhook = WebhookUrlField(
        allow_none=True, metadata={"description": "URL that receives the final event of this job."}
    )

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> JobRequest:
        """Build the record; a null webhook is the same as none."""
        return JobRequest(**{"site": "", **data, "webhook": data.get("webhook") or ""})


# Made once: making a schema takes longer than using it.
_JOB_REQUEST_SCHEMA = JobRequestSchema()


def load_job_request(values: Mapping[str, Any]) -> JobRequest:
    """Return the request that the body of a submission makes; raises Invalid."""
    try:
        request: JobRequest = _JOB_REQUEST_SCHEMA.load(values)
    except ValidationError as error:
        raise Invalid(problems=list(flatten_errors(error.normalized_messages()))) from error
    return request


class UploadForm(Schema):
    """The form of an upload."""

    class Meta:
        """Other fields are ignored."""

        unknown = EXCLUDE

    file = fields.Raw(
        required=True,
        metadata={"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, GIF or AVIF, up to 50 MiB."},
    )


_ID = fields.String(metadata={"pattern": "^[0-9a-f]{32}$", "example": "9f86d081884c7d659a2feaa0c55ad015"})
_TIME = {"description": "Unix milliseconds.", "example": 1747493741218}


class UploadView(ResponseSchema):
    """An uploaded picture."""

    id = _ID
    expiresAt = fields.Integer(metadata=_TIME)
    type = fields.String(metadata={"description": "Its media type, by its bytes.", "example": "image/png"})
    width = fields.Integer()
    height = fields.Integer()
    sizeBytes = fields.Integer()
    sha256 = fields.String(metadata={"pattern": "^[0-9a-f]{64}$", "example": "9f86d081884c7d65" * 4})


class ProgressView(ResponseSchema):
    """The progress that the page shows."""

    percentage = fields.Float(metadata={"minimum": 0, "maximum": 100, "example": 35.0})
    step = fields.Integer(allow_none=True, metadata={"example": 7})
    steps = fields.Integer(allow_none=True, metadata={"example": 20})


class WaitView(ResponseSchema):
    """Why the job waits although a worker could take it."""

    reason = fields.String(
        metadata={"enum": ["circuit_open"], "description": "`circuit_open`: the site failed repeatedly."}
    )
    message = fields.String()
    retryAt = fields.Integer(metadata={"description": "When the site is tried again, Unix milliseconds."})


class ErrorView(ResponseSchema):
    """Why the job failed."""

    code = fields.String(metadata={"description": "A stable code; /docs lists all.", "example": "site_refused"})
    message = fields.String(metadata={"example": "The site refused this prompt."})
    hint = fields.String(metadata={"example": "The message is the site's own; change the prompt accordingly."})
    retryable = fields.Boolean()


class ResultView(ResponseSchema):
    """A finished picture."""

    url = fields.Url()
    type = fields.String(metadata={"description": "Media type of the original bytes.", "example": "image/png"})
    sizeBytes = fields.Integer(metadata={"example": 331776})
    width = fields.Integer(metadata={"example": 640})
    height = fields.Integer(metadata={"example": 480})
    lossy = fields.Boolean(metadata={"description": "True if it had to be taken from a screenshot."})
    posterUrl = fields.Url(
        metadata={"optional": True, "description": "For a video that is the first result: its poster, a JPEG."}
    )


class JobView(ResponseSchema):
    """A job in ``/api/v1``."""

    id = _ID
    status = fields.Enum(JobState, by_value=True)
    site = fields.String(metadata={"example": "studio"})
    prompt = fields.String(metadata={"example": "a lighthouse at dusk, oil painting"})
    lora = fields.String(allow_none=True)
    inputs = fields.Dict(metadata={"additionalProperties": True, "example": {"seed": 7}})
    position = fields.Integer(
        allow_none=True, metadata={"description": "1 is next; null once a worker has it, and in lists.", "example": 1}
    )
    positionIsEstimate = fields.Boolean(
        metadata={"description": "True if the position is an estimate; positions up to 100 are exact."}
    )
    etaSeconds = fields.Float(allow_none=True, metadata={"description": "Estimated seconds until it completes."})
    waitingFor = fields.Nested(WaitView, allow_none=True)
    priority = fields.Integer(metadata={"minimum": MIN_PRIORITY, "maximum": MAX_PRIORITY, "example": 0})
    progress = fields.Nested(ProgressView, allow_none=True)
    attempt = fields.Integer(metadata={"description": "How many workers have taken it.", "example": 1})
    seq = fields.Integer(metadata={"description": "Grows with every visible change."})
    startTime = fields.Integer(metadata={**_TIME, "description": "When it was accepted, Unix milliseconds."})
    lastModifiedDate = fields.Integer(metadata={**_TIME, "description": "When it last changed, Unix milliseconds."})
    finishedAt = fields.Integer(allow_none=True, metadata=_TIME)
    expiresAt = fields.Integer(allow_none=True, metadata=_TIME)
    cancelRequestedAt = fields.Integer(allow_none=True, metadata=_TIME)
    error = fields.Nested(ErrorView, allow_none=True)
    result = fields.Nested(ResultView, allow_none=True, metadata={"description": "The first of `results`."})
    results = fields.List(fields.Nested(ResultView))
    previewUrl = fields.Url(allow_none=True)
    statusUrl = fields.Url()


class JobPage(ResponseSchema):
    """A page of jobs, newest first."""

    jobs = fields.List(fields.Nested(JobView))
    nextCursor = fields.String(allow_none=True)
