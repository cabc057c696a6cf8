"""Jobs, events and errors, parsed from the API's responses. No I/O."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

FINAL_STATUSES = ("COMPLETED", "FAILED")


class DarkroomError(Exception):
    """The server refused a request, or did not respond as a Darkroom does.

    ``status`` is the HTTP status (0 without a response) and ``code`` the stable error code of the API.
    ``retry_after_s`` is set if the request may succeed later. ``problems`` has a sentence for each invalid field.
    ``details`` are further values for programs, such as the ``suggestion`` of a free name.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        retry_after_s: float | None = None,
        problems: tuple[str, ...] = (),
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """``message`` is a sentence for people."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        self.problems = problems
        self.details = dict(details or {})


class JobFailedError(DarkroomError):
    """The job ended without an image; ``job`` is the failed job and ``code`` the reason."""

    def __init__(self, job: "Job") -> None:
        error = job.raw.get("error") or {}
        super().__init__(error.get("message", "The job failed."), code=error.get("code", ""))
        self.job = job


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished image: its URL, its media type, and its size in pixels."""

    url: str
    type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the API returns it; ``raw`` is the whole JSON object.

    ``position`` is the place in the queue, from 1; None once a worker has the job.
    """

    id: str
    status: str
    prompt: str
    site: str
    seq: int
    position: int | None
    percentage: float | None
    pictures: tuple[Picture, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def ended(self) -> bool:
        """Whether the job is COMPLETED or FAILED."""
        return self.status in FINAL_STATUSES

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "Job":
        """Parse a job from a response body."""
        pictures = [Picture(row["url"], row["type"], row["width"], row["height"]) for row in body["results"]]
        return cls(
            id=body["id"],
            status=body["status"],
            prompt=body["prompt"],
            site=body["site"],
            seq=body["seq"],
            position=body["position"],
            percentage=(body["progress"] or {}).get("percentage"),
            pictures=tuple(pictures),
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a job: ``seq`` counts from 1, ``data`` is the whole JSON object."""

    type: str
    seq: int
    data: Mapping[str, Any]

    @property
    def final(self) -> bool:
        """Whether this is the job's last event."""
        return self.type in ("completed", "failed")

    @classmethod
    def of_job(cls, job: Job) -> "Event":
        """Return the event that led to the job's current status."""
        types = {"QUEUED": "queued", "STARTING": "starting", "PENDING": "in_progress"}
        return cls(types.get(job.status, job.status.lower()), job.seq, job.raw)


def read_json(response: httpx.Response) -> Any:
    """Return the JSON body of a response that has been read; raise DarkroomError if it is an error or not JSON."""
    try:
        body = json.loads(response.content)
    except ValueError as error:
        message = f"{response.url} does not answer like Darkroom (status {response.status_code})."
        raise DarkroomError(message, status=response.status_code) from error
    if response.is_error:
        raise _error(response, body)
    return body


def read_optional_json(response: httpx.Response) -> Any:
    """Return the JSON body as ``read_json`` does, the bytes of a zip, or None if the response has no body."""
    if response.is_success and response.headers.get("content-type") == "application/zip":
        return response.content
    return None if response.is_success and not response.content else read_json(response)


def read_bytes(response: httpx.Response) -> bytes:
    """Return the bytes of a response that has been read; raise DarkroomError as ``read_json`` does."""
    if response.is_error:
        read_json(response)
    return response.content


def _error(response: httpx.Response, body: Any) -> DarkroomError:
    # The original APIs send "error" as a string, the native API as an object.
    value = body.get("error") if isinstance(body, dict) else None
    error: dict[str, Any] = value if isinstance(value, dict) else {"message": str(value or body)}
    details = error.get("details")
    retry_after = response.headers.get("Retry-After", "")
    return DarkroomError(
        error.get("message", "The server refused the request."),
        status=response.status_code,
        code=error.get("code", ""),
        retry_after_s=float(retry_after) if retry_after.isdigit() else None,
        problems=tuple(details) if isinstance(details, list) else (),
        details=details if isinstance(details, dict) else None,
    )
