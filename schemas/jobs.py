"""Owns a job as everybody sees it: the frozen record, what a submission may contain, what an answer contains.

Made by ``stores.jobs`` from its hash; shown by every surface of the API.
"""

from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema, fields, validate

from schemas.fields import LONGEST_LORA_NAME, LONGEST_PROMPT, Text
from schemas.lifecycle import JobState

SHORTEST_WEIGHTS_PROMPT = 10
ID_PATTERN = r"^[0-9a-f]{32}$"
PICTURE_FORMATS = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class Submission:
    """What a caller asks for, after validation.

    ``inputs`` has the recipe's names (snake case) and values of the types the recipe declares.
    """

    site: str
    prompt: str
    lora: str | None = None
    inputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the page says it is: ``step`` of ``steps``, or only a percentage."""

    percentage: float
    step: int | None = None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with what is known of its bytes; ``lossy`` if it had to be taken from the screen."""

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    lossy: bool = False


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

    ``attempt`` counts how often a worker has taken it, ``deliveries`` those since the last orderly retry.
    """

    id: str
    owner: str
    state: JobState
    submission: Submission
    request_id: str
    start_time: int
    last_modified: int
    seq: int
    attempt: int = 0
    deliveries: int = 0
    preview_version: int = 0
    progress: Progress | None = None
    error: JobError | None = None
    result_type: str | None = None
    result_size: int | None = None
    width: int | None = None
    height: int | None = None
    lossy: bool = False
    finished_at: int | None = None
    expires_at: int | None = None
    cancel_requested_at: int | None = None


class JobRequest(Schema):
    """The body of ``POST /api/v1/jobs``."""

    prompt = Text(
        required=True,
        validate=validate.Length(1, LONGEST_PROMPT),
        metadata={"description": "What to paint, in words.", "example": "a lighthouse at dusk, oil painting"},
    )
    site = Text(metadata={"description": "Name of a site; the default one when left out.", "example": "studio"})
    lora = Text(
        allow_none=True,
        validate=validate.Length(1, LONGEST_LORA_NAME),
        metadata={"description": "Name of a LoRA (or style) of that site.", "example": "Ukiyo-e"},
    )
    inputs = fields.Dict(
        keys=fields.String(),
        metadata={"description": "Further inputs that the site declares; see GET /api/v1/sites/NAME."},
    )


class ProgressView(Schema):
    """How far the page says it is."""

    percentage = fields.Float()
    step = fields.Integer(allow_none=True)
    steps = fields.Integer(allow_none=True)


class ErrorView(Schema):
    """Why it failed."""

    code = fields.String()
    message = fields.String()
    hint = fields.String()
    retryable = fields.Boolean()


class ResultView(Schema):
    """The finished picture."""

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
    progress = fields.Nested(ProgressView, allow_none=True)
    attempt = fields.Integer()
    seq = fields.Integer(metadata={"description": "Grows with every visible change."})
    startTime = fields.Integer(metadata={"description": "When it was accepted, Unix milliseconds."})
    lastModifiedDate = fields.Integer(metadata={"description": "When it last changed, Unix milliseconds."})
    finishedAt = fields.Integer(allow_none=True)
    expiresAt = fields.Integer(allow_none=True)
    cancelRequestedAt = fields.Integer(allow_none=True)
    error = fields.Nested(ErrorView, allow_none=True)
    result = fields.Nested(ResultView, allow_none=True)
    previewUrl = fields.Url(allow_none=True)
    statusUrl = fields.Url()


class JobPage(Schema):
    """A page of jobs, newest first."""

    jobs = fields.List(fields.Nested(JobView))
    nextCursor = fields.String(allow_none=True)
