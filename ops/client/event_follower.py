"""How a job is followed across broken connections: what is asked next, and after which pause. No I/O.

Events come as a stream; where something lets no streams through, by asking and waiting.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import ServerSentEvent

from .models import DarkroomError, Event, Job, read_json

# A stream that says nothing for this long, not even that it is still there, is dead: it does so every 15 s.
READ_TIMEOUT_S = 40.0
LONG_POLL_S = 25
MAX_STREAM_FAILURES = 3
MAX_FAILURES = 12
FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 15.0
NO_CONTENT = 204


@dataclass(slots=True)
class EventFollower:
    """Where somebody is in the log of one job."""

    job_id: str
    last_seq: int = 0
    failures: int = 0
    can_stream: bool = True
    is_done: bool = False

    @property
    def pause_s(self) -> float:
        """How long to wait before the next question."""
        return min(FIRST_PAUSE_S * 2**self.failures, MAX_PAUSE_S) if self.failures else 0.0

    @property
    def path(self) -> str:
        """What to ask for."""
        return f"/api/v1/jobs/{self.job_id}" + ("/events" if self.can_stream else "")

    @property
    def headers(self) -> Mapping[str, str]:
        """With which headers, for a stream."""
        return {"Accept": "text/event-stream", "Last-Event-ID": str(self.last_seq)}

    @property
    def query(self) -> Mapping[str, int]:
        """With which query, where there are no streams."""
        return {"wait": LONG_POLL_S, "since": self.last_seq}

    def accept_stream(self, answer: httpx.Response) -> bool:
        """Whether this is a stream of events: if not, there is no more, or something lets no streams through."""
        if answer.status_code == NO_CONTENT:
            self.is_done = True
            return False
        is_one = answer.headers.get("Content-Type", "").startswith("text/event-stream")
        if answer.is_success and not is_one:
            self.can_stream = False
        return answer.is_success and is_one

    def on_message(self, said: ServerSentEvent) -> Event | None:
        """The event that a stream has told of; None if it was known."""
        if not said.data:
            return None
        data: Mapping[str, Any] = json.loads(said.data)
        return self._record(Event(said.event, int(data["seq"]), data))

    def on_response(self, answer: httpx.Response) -> Event | None:
        """The event that an answer tells of; None if nothing has happened."""
        return self._record(Event.of_job(Job.read(read_json(answer))))

    def on_error(self, error: DarkroomError) -> None:
        """An answer was an error: raise it, unless it is of a kind that passes."""
        if error.status not in (429, 502, 503, 504):
            raise error
        self.on_connection_lost(error)

    def on_connection_lost(self, error: Exception) -> None:
        """The connection broke, or there was none; raises ``error`` after many in a row."""
        self.failures += 1
        if self.failures >= MAX_STREAM_FAILURES:
            self.can_stream = False
        if self.failures > MAX_FAILURES:
            raise error

    def _record(self, event: Event) -> Event | None:
        self.failures = 0
        if event.seq <= self.last_seq:
            return None
        self.last_seq = event.seq
        self.is_done = event.final
        return event
