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
    # Not about a job: appears only in the event stream of a caller.
    WEBHOOK_DISABLED = "webhook_disabled"


# Event names in webhooks, and in the callbacks of the generaitiv API.
JOB_EVENT_NAMES: dict[EventType, str] = {
    event_type: f"job.{event_type}" for event_type in EventType if event_type is not EventType.WEBHOOK_DISABLED
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
