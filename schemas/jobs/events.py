"""Job events: entries of a job's event log, numbered without gaps."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """The type of an event, as it appears on the wire."""

    QUEUED = "queued"
    STARTING = "starting"
    PROGRESS = "in_progress"
    PREVIEW = "preview"
    RETRIED = "retried"
    COMPLETED = "completed"
    FAILED = "failed"
    # Not about a job: these appear only in the event stream of a caller. The last three are those of
    # ``schemas.gallery.events``.
    WEBHOOK_DISABLED = "webhook_disabled"
    COLLECTION_CREATED = "collection.created"
    TOKEN_CREATED = "token.created"  # noqa: S105 - a token of the gallery
    MEDIA_READY = "token.media_ready"


EVENTS_WITHOUT_JOB = frozenset(
    {EventType.WEBHOOK_DISABLED, EventType.COLLECTION_CREATED, EventType.TOKEN_CREATED, EventType.MEDIA_READY}
)
# Event names in webhooks, and in the callbacks of the generaitiv API.
JOB_EVENT_NAMES: dict[EventType, str] = {
    event_type: f"job.{event_type}" for event_type in EventType if event_type not in EVENTS_WITHOUT_JOB
}
WORKLOAD_EVENT_NAMES: dict[EventType, str] = {
    EventType.COMPLETED: "workload.completed",
    EventType.FAILED: "workload.failed",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a job's event log.

    ``seq`` counts from 1 without gaps. ``time_ms`` is Unix time. The fields of ``data`` depend on the type; the data of
    ``in_progress`` is empty until the page reports progress.
    """

    job_id: str
    seq: int
    type: EventType
    time_ms: int
    data: dict[str, Any]

    @property
    def is_final(self) -> bool:
        """Whether this is the last event of the job."""
        return self.type in (EventType.COMPLETED, EventType.FAILED)
