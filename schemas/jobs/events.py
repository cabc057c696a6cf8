"""The one shape of a job's events: a numbered line in the job's log."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """What can happen to a job, as clients see it."""

    QUEUED = "queued"
    STARTING = "starting"
    PROGRESS = "in_progress"
    PREVIEW = "preview"
    RETRIED = "retried"
    COMPLETED = "completed"
    FAILED = "failed"
    # Of no job: only in the stream of a caller.
    WEBHOOK_DISABLED = "webhook_disabled"


# The names of events in webhooks and streams, and in the callbacks of the generaitiv API.
JOB_EVENT_NAMES: dict[EventType, str] = {
    kind: f"job.{kind}" for kind in EventType if kind is not EventType.WEBHOOK_DISABLED
}
WORKLOAD_EVENT_NAMES: dict[EventType, str] = {
    EventType.COMPLETED: "workload.completed",
    EventType.FAILED: "workload.failed",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's log.

    ``seq`` counts from 1 without gaps, ``time_ms`` is Unix time in milliseconds, ``data`` depends on the type: of
    ``in_progress`` it is empty until the page says how far it is.
    """

    job_id: str
    seq: int
    type: EventType
    time_ms: int
    data: dict[str, Any]

    @property
    def is_final(self) -> bool:
        """Whether nothing comes after it."""
        return self.type in (EventType.COMPLETED, EventType.FAILED)
