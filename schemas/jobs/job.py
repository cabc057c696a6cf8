"""A job as everybody sees it: the frozen record, what a submission may contain, what an answer contains."""

import math
from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema, fields, validate

from schemas.fields import MAX_LORA_NAME_LENGTH, MAX_PROMPT_LENGTH, MAX_URL_LENGTH, Text, WholeNumber
from schemas.jobs.lifecycle import JobState
from schemas.sites.recipe import SiteLimits

MIN_WEIGHTS_PROMPT_LENGTH = 10
MIN_PRIORITY, MAX_PRIORITY = -10, 10
PRIORITY_FIELD = WholeNumber(
    load_default=0,
    validate=validate.Range(MIN_PRIORITY, MAX_PRIORITY),
    metadata={"description": "Before which of your own jobs it comes; the highest is taken first."},
)
ID_PATTERN = r"^[0-9a-f]{32}$"
IMAGE_FORMATS = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class Submission:
    """What a caller asks for, after validation.

    ``inputs`` has the recipe's names (snake case) and values of the types the recipe declares; ``priority`` orders
    the jobs of one caller, the highest first. ``webhook`` is told of its end; it is not read back.
    """

    site: str
    prompt: str
    lora: str | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    webhook: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the page says it is: ``step`` of ``steps``, or only a percentage."""

    percentage: float
    step: int | None = None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """A picture with what is known of its bytes; ``lossy`` if it had to be taken from the screen."""

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    lossy: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of a finished picture without its bytes."""

    type: str
    size_bytes: int
    width: int
    height: int
    lossy: bool


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed: a stable code, a sentence, what to do, whether trying again may help."""

    code: str
    message: str
    hint: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are Unix milliseconds; ``seq`` is the number of its newest event.

    ``queued_at`` is since when it may be claimed. ``attempt`` counts how often a worker has taken it, ``deliveries``
    those that ended with the loss of the worker and the present one, ``retries`` those that ended in an error and were
    tried again. ``claim`` is the token by which the attempt that holds it writes; it is nobody else's business.
    """

    id: str
    owner: str
    state: JobState
    request: Submission
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
    """What an unfinished job has before it; an empty one belongs to a job that has ended.

    ``position`` is 1 for the job that is claimed next and None for one that runs. ``run_ms`` is the site's mean run
    time, ``running`` and ``slots`` say how many jobs run and could run. ``circuit_...`` are set while the site's
    circuit is open.
    """

    position: int | None = None
    mean_run_ms: int | None = None
    running: int = 0
    slots: int = 0
    circuit_error: str | None = None
    circuit_retry_at: int | None = None

    def eta_s(self, job: Job, limits: SiteLimits, now_ms: int) -> float | None:
        """Seconds until the job has its picture, as far as one can tell: None while nobody knows."""
        if self.mean_run_ms is None or job.state.is_final or self.circuit_retry_at is not None:
            return None
        if self.position is None:
            return max(0.0, self.mean_run_ms - (now_ms - (job.started_at or now_ms))) / 1000
        slots = min(self.slots, limits.concurrency or self.slots)
        if not slots:
            return None
        running = min(self.running, slots)
        behind = max(0, self.position - (slots - running))
        # Jobs that run now end one after another, the first of them half a turn from now; jobs that begin now together.
        turns = max(0.0, behind - 0.5) / slots if running else math.ceil(behind / slots)
        wait_ms = max(turns * self.mean_run_ms, (self.position - 1) * limits.min_interval_s * 1000)
        return (wait_ms + self.mean_run_ms) / 1000


class JobRequestSchema(Schema):
    """The body of ``POST /api/v1/jobs``."""

    prompt = Text(
        required=True,
        validate=validate.Length(1, MAX_PROMPT_LENGTH),
        metadata={"description": "What to paint, in words.", "example": "a lighthouse at dusk, oil painting"},
    )
    site = Text(metadata={"description": "Name of a site; the default one when left out.", "example": "studio"})
    lora = Text(
        allow_none=True,
        validate=validate.Length(1, MAX_LORA_NAME_LENGTH),
        metadata={"description": "Name of a LoRA (or style) of that site.", "example": "Ukiyo-e"},
    )
    inputs = fields.Dict(
        keys=fields.String(),
        metadata={"description": "Further inputs that the site declares; see GET /api/v1/sites/NAME."},
    )
    priority = PRIORITY_FIELD
    webhook = Text(
        allow_none=True,
        validate=validate.Length(1, MAX_URL_LENGTH),
        metadata={"description": "An address that is told of this job's end."},
    )


class ProgressView(Schema):
    """How far the page says it is."""

    percentage = fields.Float()
    step = fields.Integer(allow_none=True)
    steps = fields.Integer(allow_none=True)


class WaitView(Schema):
    """Why no worker takes it although one could."""

    reason = fields.String(metadata={"description": "`circuit_open`: the site failed time after time."})
    message = fields.String()
    retryAt = fields.Integer(metadata={"description": "When the site is tried again, Unix milliseconds."})


class ErrorView(Schema):
    """Why it failed."""

    code = fields.String()
    message = fields.String()
    hint = fields.String()
    retryable = fields.Boolean()


class ResultView(Schema):
    """A finished picture."""

    url = fields.Url()
    type = fields.String(metadata={"description": "The original bytes' media type."})
    sizeBytes = fields.Integer()
    width = fields.Integer()
    height = fields.Integer()
    lossy = fields.Boolean(metadata={"description": "True if it could only be taken from the screen."})


class JobView(Schema):
    """A job, as ``/api/v1`` shows it."""

    id = fields.String()
    status = fields.Enum(JobState)
    site = fields.String()
    prompt = fields.String()
    lora = fields.String(allow_none=True)
    inputs = fields.Dict()
    position = fields.Integer(allow_none=True, metadata={"description": "1 is next; null once a worker has it."})
    etaSeconds = fields.Float(allow_none=True, metadata={"description": "Until its picture, as far as one can tell."})
    waitingFor = fields.Nested(WaitView, allow_none=True)
    priority = fields.Integer()
    progress = fields.Nested(ProgressView, allow_none=True)
    attempt = fields.Integer()
    seq = fields.Integer(metadata={"description": "Grows with every visible change."})
    startTime = fields.Integer(metadata={"description": "When it was accepted, Unix milliseconds."})
    lastModifiedDate = fields.Integer(metadata={"description": "When it last changed, Unix milliseconds."})
    finishedAt = fields.Integer(allow_none=True)
    expiresAt = fields.Integer(allow_none=True)
    cancelRequestedAt = fields.Integer(allow_none=True)
    error = fields.Nested(ErrorView, allow_none=True)
    result = fields.Nested(ResultView, allow_none=True, metadata={"description": "The first of `results`."})
    results = fields.List(fields.Nested(ResultView))
    previewUrl = fields.Url(allow_none=True)
    statusUrl = fields.Url()


class JobPage(Schema):
    """A page of jobs, newest first."""

    jobs = fields.List(fields.Nested(JobView))
    nextCursor = fields.String(allow_none=True)
