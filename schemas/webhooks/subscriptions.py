"""Webhooks as everybody sees them: a subscription, a delivery and its attempts, what a request may contain. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from marshmallow import Schema, fields, validate

from schemas.fields import MAX_INT64, MAX_URL_LENGTH, Text, WholeNumber
from schemas.jobs.events import JOB_EVENT_NAMES, EventType

FINAL_EVENTS = (JOB_EVENT_NAMES[EventType.COMPLETED], JOB_EVENT_NAMES[EventType.FAILED])
# What says how far a job is: an old one is worth nothing, so it is sent once and not again.
EPHEMERAL_EVENTS = frozenset({JOB_EVENT_NAMES[EventType.PROGRESS], JOB_EVENT_NAMES[EventType.PREVIEW]})
WEBHOOK_DISABLED_EVENT = "webhook.disabled"
WEBHOOK_TEST_EVENT = "webhook.test"
SUBSCRIBABLE_EVENTS = (*JOB_EVENT_NAMES.values(), WEBHOOK_DISABLED_EVENT)
MAX_SUBSCRIPTIONS = 50
MAX_DESCRIPTION_LENGTH = 200


class DeliveryState(StrEnum):
    """How a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a caller wants which events to be sent.

    Times are Unix milliseconds. ``secrets`` sign each delivery; of two the second is an old one that still signs along.
    ``disabled_because`` is ``you``, ``gone`` (it answered 410, or asked for it) or ``failing``.
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
    """A delivery as it is made: ``id`` follows from what it tells of and to whom, so that it is never made twice."""

    id: str
    owner: str
    url: str
    type: str
    body: str
    subscription: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one address. ``tries`` counts attempts; ``next_at`` is when the next one is due."""

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
    """One call: the status that came back, or why none did; ``excerpt`` is what the answer began with."""

    at: int
    duration_ms: int
    status: int | None
    error: str | None
    excerpt: str


_URL = Text(
    required=True,
    validate=validate.Length(1, MAX_URL_LENGTH),
    metadata={"description": "Where to send them: https, at a public host.", "example": "https://example.com/hook"},
)
_TYPES = fields.List(
    fields.String(validate=validate.OneOf(SUBSCRIBABLE_EVENTS)),
    validate=validate.Length(1, len(SUBSCRIBABLE_EVENTS)),
    metadata={"description": f"Which events; left out: {', '.join(FINAL_EVENTS)}."},
)
_DESCRIPTION = Text(validate=validate.Length(max=MAX_DESCRIPTION_LENGTH))


class WebhookRequest(Schema):
    """The body of ``POST /api/v1/webhooks``."""

    url = _URL
    types = _TYPES
    description = _DESCRIPTION
    secret = Text(metadata={"description": "`whsec_` and base64 of 24 to 64 bytes; left out: one is drawn."})


class WebhookChange(Schema):
    """The body of ``PATCH /api/v1/webhooks/ID``: what is left out stays."""

    url = Text(validate=validate.Length(1, MAX_URL_LENGTH))
    types = _TYPES
    description = _DESCRIPTION


class WebhookView(Schema):
    """A webhook of yours."""

    id = fields.String()
    url = fields.String()
    types = fields.List(fields.String())
    description = fields.String()
    createdAt = fields.Integer()
    disabledAt = fields.Integer(allow_none=True)
    disabledBecause = fields.String(
        allow_none=True,
        metadata={
            "description": "`you`, `gone` (it answered 410 or asked for it) or `failing` (for 120 hours on end)."
        },
    )
    failingSince = fields.Integer(allow_none=True)
    secret = fields.String(metadata={"description": "Only in the answers that make it: on creation and rotation."})


class AttemptView(Schema):
    """One call."""

    at = fields.Integer()
    durationMs = fields.Integer()
    status = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True)
    excerpt = fields.String(
        metadata={"description": "What the answer began with; only the owner of this Darkroom sees it."}
    )


class DeliveryView(Schema):
    """One event on its way to one address."""

    id = fields.String(metadata={"description": "The header `webhook-id`: the same for all attempts."})
    webhookId = fields.String(allow_none=True, metadata={"description": "null: the job itself named the address."})
    jobId = fields.String(allow_none=True)
    url = fields.String()
    type = fields.String()
    state = fields.Enum(DeliveryState)
    tries = fields.Integer()
    createdAt = fields.Integer()
    nextAt = fields.Integer(allow_none=True)
    finishedAt = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True, metadata={"description": "Why it failed for good."})
    attempts = fields.List(fields.Nested(AttemptView))


class DeliveryPage(Schema):
    """A page of deliveries, newest first."""

    deliveries = fields.List(fields.Nested(DeliveryView))
    nextCursor = fields.String(allow_none=True)


class RedeliveryRequest(Schema):
    """The body of ``POST /api/v1/deliveries/redeliver``."""

    since = WholeNumber(
        required=True, validate=validate.Range(0, MAX_INT64), metadata={"description": "Unix milliseconds."}
    )
    webhookId = Text(metadata={"description": "Only those to this webhook."})


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """A delivery as ``DeliveryView`` describes it."""
    return {
        "id": delivery.id,
        "webhookId": delivery.subscription,
        "jobId": delivery.job_id,
        "url": delivery.url,
        "type": delivery.type,
        "state": delivery.state,
        "tries": delivery.tries,
        "createdAt": delivery.created_at,
        "nextAt": delivery.next_at if delivery.state is DeliveryState.PENDING else None,
        "finishedAt": delivery.finished_at,
        "reason": delivery.reason,
    }


def webhook_view(subscription: Subscription, *, include_secret: bool = False) -> dict[str, Any]:
    """A subscription as ``WebhookView`` describes it; its secret only on demand."""
    shown = {
        "id": subscription.id,
        "url": subscription.url,
        "types": list(subscription.types),
        "description": subscription.description,
        "createdAt": subscription.created_at,
        "disabledAt": subscription.disabled_at,
        "disabledBecause": subscription.disabled_because,
        "failingSince": subscription.failing_since,
    }
    return shown | ({"secret": subscription.secrets[0]} if include_secret else {})
