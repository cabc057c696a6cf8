"""The state machine that follows a job's events across broken connections. No I/O.

Events come as a server-sent event stream. If streams keep failing, or a proxy does not let them through, the follower
switches to long polls, which report the current status and may skip events in between.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import ServerSentEvent

from .models import DarkroomError, Event, Job, read_json

# The server sends a comment every 15 s; a stream without any byte for this long is dead.
READ_TIMEOUT_S = 40.0
LONG_POLL_S = 25
MAX_STREAM_FAILURES = 3
MAX_FAILURES = 12
MIN_PAUSE_S, MAX_PAUSE_S = 0.5, 15.0
NO_CONTENT = 204
RETRYABLE_STATUSES = (429, 502, 503, 504)


@dataclass(slots=True)
class EventFollower:
    """The position in one job's event log, and what to request next."""

    job_id: str
    last_seq: int = 0
    failures: int = 0
    can_stream: bool = True
    is_done: bool = False

    @property
    def pause_s(self) -> float:
        """Seconds to wait before the next request."""
        return min(MIN_PAUSE_S * 2**self.failures, MAX_PAUSE_S) if self.failures else 0.0

    @property
    def path(self) -> str:
        """Path of the next request."""
        return f"/api/v1/jobs/{self.job_id}" + ("/events" if self.can_stream else "")

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of a stream request."""
        return {"Accept": "text/event-stream", "Last-Event-ID": str(self.last_seq)}

    @property
    def query(self) -> Mapping[str, int]:
        """Query of a long poll."""
        return {"wait": LONG_POLL_S, "since": self.last_seq}

    def accept_stream(self, response: httpx.Response) -> bool:
        """Return whether a response is an event stream.

        204 means that the job has no further events. Another successful response means that a proxy answers in place
        of the server; the follower then polls.
        """
        if response.status_code == NO_CONTENT:
            self.is_done = True
            return False
        is_stream = response.headers.get("Content-Type", "").startswith("text/event-stream")
        if response.is_success and not is_stream:
            self.can_stream = False
        return response.is_success and is_stream

    def on_message(self, message: ServerSentEvent) -> Event | None:
        """Return the event of a stream message; None if it is not new."""
        if not message.data:
            return None
        data: Mapping[str, Any] = json.loads(message.data)
        return self._record(Event(message.event, int(data["seq"]), data))

    def on_response(self, response: httpx.Response) -> Event | None:
        """Return the event of a long poll's response; None if nothing has changed."""
        return self._record(Event.of_job(Job.read(read_json(response))))

    def on_error(self, error: DarkroomError) -> None:
        """Count an error response; raise it unless it is temporary."""
        if error.status not in RETRYABLE_STATUSES:
            raise error
        self.on_connection_lost(error)

    def on_connection_lost(self, error: Exception) -> None:
        """Count a broken or refused connection; raise ``error`` after MAX_FAILURES in a row."""
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
