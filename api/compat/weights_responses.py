"""Schemas of responses of the Weights API."""

from marshmallow import fields

from schemas.fields import ResponseSchema
from schemas.jobs.job import ProgressView, WaitView
from schemas.jobs.lifecycle import JobState

TIME = {"description": "Unix milliseconds.", "example": 1747493741218}
NUMBERS = {"description": "Numbers by kind."}
LIMITS = {
    "additionalProperties": {"anyOf": [{"type": "integer"}, {"type": "string", "enum": ["Infinity"]}]},
    "description": "Numbers by kind, or `Infinity`.",
    "example": {"QUEUED_IMAGE_JOBS": 10, "DAILY_IMAGE_CREATIONS": "Infinity"},
}


class WeightsSubmission(ResponseSchema):
    """An accepted job."""

    success = fields.Boolean(metadata={"enum": [True]})
    imageId = fields.String(metadata={"example": "9f86d081884c7d659a2feaa0c55ad015"})
    imageUrl = fields.Url(metadata={"description": "Shows previews, and then the picture; needs no key."})
    statusUrl = fields.Url()
    position = fields.Integer(allow_none=True, metadata={"description": "1 is next.", "example": 1})


class WeightsStatus(ResponseSchema):
    """A job."""

    status = fields.Enum(JobState, by_value=True)
    prompt = fields.String(metadata={"example": "a lighthouse at dusk, oil painting"})
    startTime = fields.Integer(metadata=TIME)
    lastModifiedDate = fields.Integer(metadata=TIME)
    error = fields.String(allow_none=True)
    errorCode = fields.String(allow_none=True)
    hint = fields.String(allow_none=True)
    retryable = fields.Boolean(allow_none=True)
    loraName = fields.String(allow_none=True)
    position = fields.Integer(allow_none=True, metadata={"description": "1 is next; null once a worker has it."})
    positionIsEstimate = fields.Boolean(metadata={"description": "True if the position is an estimate."})
    etaSeconds = fields.Float(allow_none=True, metadata={"description": "Estimated seconds until it completes."})
    waitingFor = fields.Nested(WaitView, allow_none=True)
    progress = fields.Nested(ProgressView, allow_none=True)
    imageUrl = fields.Url()
    expiresAt = fields.Integer(allow_none=True, metadata=TIME)
    attempt = fields.Integer()
    seq = fields.Integer(metadata={"description": "Grows with every visible change."})


class LoraView(ResponseSchema):
    """A LoRA of the site or of the model library."""

    name = fields.String(metadata={"example": "Ukiyo-e"})
    image = fields.String(allow_none=True, metadata={"optional": True, "description": "The address of its picture."})
    tags = fields.List(fields.String(), metadata={"optional": True})
    description = fields.String(allow_none=True, metadata={"optional": True})
    source = fields.String(metadata={"optional": True, "enum": ["library"], "description": "Absent: the site."})


class WeightsQuota(ResponseSchema):
    """Usage and limits of a key."""

    isPremium = fields.Boolean()
    usage = fields.Dict(keys=fields.String(), values=fields.Integer(), metadata=NUMBERS)
    limits = fields.Dict(metadata=LIMITS)
    remaining = fields.Dict(metadata=LIMITS)
