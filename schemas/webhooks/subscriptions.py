"""Webhook records (subscriptions, deliveries, attempts) and the schemas of their requests and responses."""

from dataclasses import dataclass, field
from enum import StrEnum

from marshmallow import Schema, fields, validate

from schemas.fields import MAX_INT64, BoundedList, ResponseSchema, Text, WholeNumber
from schemas.gallery.events import GalleryEvent
from schemas.http.webhook_url import WebhookUrlField
from schemas.jobs.events import JOB_EVENT_NAMES, EventType
from schemas.webhooks.signing import SECRET_PATTERN

FINAL_EVENTS = (JOB_EVENT_NAMES[EventType.COMPLETED], JOB_EVENT_NAMES[EventType.FAILED])
# Progress is worthless once it is old, so these events are delivered at most once and never retried.
EPHEMERAL_EVENTS = frozenset({JOB_EVENT_NAMES[EventType.PROGRESS], JOB_EVENT_NAMES[EventType.PREVIEW]})
WEBHOOK_DISABLED_EVENT = "webhook.disabled"
WEBHOOK_TEST_EVENT = "webhook.test"
SUBSCRIBABLE_EVENTS = (*JOB_EVENT_NAMES.values(), WEBHOOK_DISABLED_EVENT, *GalleryEvent)
MAX_SUBSCRIPTIONS = 50
MAX_DESCRIPTION_LENGTH = 200


class DeliveryState(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A caller's webhook: the URL that receives events of the given types.

    Times are Unix milliseconds. Each of ``secrets`` signs a delivery; during a rotation the second is the old secret.
    ``disabled_because`` is ``you``, ``gone`` (the receiver answered 410 or asked for it) or ``failing``.
    """

    id: str
    owner: str
    url: str
    types: tuple[str, ...]
    description: str
    created_at: int
    secrets: tuple[str, ...] = field(default=(), repr=False)
    disabled_at: int | None = None
    disabled_because: str | None = None
    failing_since: int | None = None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to be stored. ``id`` is derived from the event and the receiver, so that no event is stored twice."""

    id: str
    owner: str
    url: str
    type: str
    body: str
    subscription: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one receiver. ``tries`` counts attempts; ``next_at`` is when the next one is due."""

    id: str
    owner: str
    subscription: str | None
    job_id: str | None
    url: str
    type: str
    body: str
    state: DeliveryState
    tries: int
    created_at: int
    next_at: int
    finished_at: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One request to a receiver: the response status, or the error that prevented a response.

    ``excerpt`` is the beginning of the response body.
    """

    at: int
    duration_ms: int
    status: int | None
    error: str | None
    excerpt: str


_TYPES = BoundedList(
    fields.String(validate=validate.OneOf(SUBSCRIBABLE_EVENTS)),
    validate=validate.Length(1, len(SUBSCRIBABLE_EVENTS)),
    metadata={"description": f"Events to send; if omitted: {', '.join(FINAL_EVENTS)}."},
)
_DESCRIPTION = Text(validate=validate.Length(max=MAX_DESCRIPTION_LENGTH))


class WebhookRequest(Schema):
    """The body of ``POST /api/v1/webhooks``."""

    url = WebhookUrlField(
        required=True,
        metadata={"description": "Receiver: an https URL of a public host.", "example": "https://example.com/hook"},
    )
    types = _TYPES
    description = _DESCRIPTION
    secret = Text(
        metadata={
            "description": "`whsec_` and base64 of 24 to 64 bytes; if omitted, a random secret is created.",
            "pattern": SECRET_PATTERN,
        }
    )


class WebhookChange(Schema):
    """The body of ``PATCH /api/v1/webhooks/ID``; omitted fields keep their values."""

    url = WebhookUrlField()
    types = _TYPES
    description = _DESCRIPTION


class WebhookView(ResponseSchema):
    """One of your webhooks."""

    id = fields.String()
    url = fields.String()
    types = fields.List(fields.String())
    description = fields.String()
    createdAt = fields.Integer()
    disabledAt = fields.Integer(allow_none=True)
    disabledBecause = fields.String(
        allow_none=True,
        metadata={
            "description": "`you`, `gone` (it answered 410 or asked for it) or `failing` (for 120 consecutive hours)."
        },
    )
    failingSince = fields.Integer(allow_none=True)
    secret = fields.String(metadata={"optional": True, "description": "Only in responses to creation and rotation."})


class AttemptView(ResponseSchema):
    """One request to the receiver."""

    at = fields.Integer()
    durationMs = fields.Integer()
    status = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True)
    excerpt = fields.String(
        metadata={
            "optional": True,
            "description": "Beginning of the response body; visible to the operator of this Darkroom only.",
        }
    )


class DeliveryView(ResponseSchema):
    """One event for one receiver."""

    id = fields.String(metadata={"description": "The header `webhook-id`: the same for all attempts."})
    webhookId = fields.String(allow_none=True, metadata={"description": "null: the job itself named the URL."})
    jobId = fields.String(allow_none=True)
    url = fields.String()
    type = fields.String()
    state = fields.Enum(DeliveryState, by_value=True)
    tries = fields.Integer()
    createdAt = fields.Integer()
    nextAt = fields.Integer(allow_none=True)
    finishedAt = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True, metadata={"description": "Why it finally failed."})
    attempts = fields.List(
        fields.Nested(AttemptView),
        metadata={"optional": True, "description": "Only in the answer for a single delivery."},
    )


class DeliveryPage(ResponseSchema):
    """A page of deliveries, newest first."""

    deliveries = fields.List(fields.Nested(DeliveryView))
    nextCursor = fields.String(allow_none=True)


class WebhookList(ResponseSchema):
    """All your webhooks, oldest first."""

    webhooks = fields.List(fields.Nested(WebhookView))


class SecretView(ResponseSchema):
    """A secret that signs deliveries."""

    secret = fields.String(metadata={"pattern": "^whsec_", "example": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})


class SigningKey(ResponseSchema):
    """A public key that verifies signatures."""

    algorithm = fields.String(metadata={"enum": ["ed25519"]})
    signature = fields.String(metadata={"enum": ["v1a"]})
    publicKey = fields.String()


class SigningKeys(ResponseSchema):
    """The public keys of this Darkroom."""

    keys = fields.List(fields.Nested(SigningKey))


class Redelivered(ResponseSchema):
    """How many deliveries are sent again."""

    redelivered = fields.Integer(metadata={"example": 2})


class RedeliveryRequest(Schema):
    """The body of ``POST /api/v1/deliveries/redeliver``."""

    since = WholeNumber(
        required=True, validate=validate.Range(0, MAX_INT64), metadata={"description": "Unix milliseconds."}
    )
    webhookId = Text(metadata={"description": "Only deliveries to this webhook."})
