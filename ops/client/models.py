"""What the API's answers mean: jobs, events, errors. No I/O."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

FINAL_STATUSES = ("COMPLETED", "FAILED")


class DarkroomError(Exception):
    """Darkroom has refused, or does not answer as one.

    ``status`` is HTTP's, ``code`` Darkroom's own (see its docs); ``retry_after_s`` is set where waiting helps, and
    ``problems`` has a sentence for each thing that is wrong with a request.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        retry_after_s: float | None = None,
        problems: tuple[str, ...] = (),
    ) -> None:
        """``message`` is a sentence for people."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        self.problems = problems


class JobFailedError(DarkroomError):
    """The job has ended without a picture; ``job`` says why."""

    def __init__(self, job: "Job") -> None:
        """For a job that has failed."""
        about = job.raw.get("error") or {}
        super().__init__(about.get("message", "The job has failed."), code=about.get("code", ""))
        self.job = job


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture: where its bytes are, their media type, its size in pixels."""

    url: str
    type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the API shows it; ``raw`` is all of it. ``position`` is 1 for the next, None once a worker has it."""

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
        """Whether nothing more happens to it."""
        return self.status in FINAL_STATUSES

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "Job":
        """The job that an answer shows."""
        pictures = [Picture(one["url"], one["type"], one["width"], one["height"]) for one in body["results"]]
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
    """Something that has happened to a job: ``seq`` counts from 1, ``data`` is all that the API says of it."""

    type: str
    seq: int
    data: Mapping[str, Any]

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return self.type in ("completed", "failed")

    @classmethod
    def of_job(cls, job: Job) -> "Event":
        """What has happened, as far as a job that was asked for tells it."""
        kinds = {"QUEUED": "queued", "STARTING": "starting", "PENDING": "in_progress"}
        return cls(kinds.get(job.status, job.status.lower()), job.seq, job.raw)


def read_json(answer: httpx.Response) -> Any:
    """The JSON of an answer that was read; raises DarkroomError for one that is an error, or none of Darkroom's."""
    try:
        body = json.loads(answer.content)
    except ValueError as error:
        words = f"{answer.url} does not answer as a Darkroom does (status {answer.status_code})."
        raise DarkroomError(words, status=answer.status_code) from error
    if answer.is_error:
        raise _error(answer, body)
    return body


def read_bytes(answer: httpx.Response) -> bytes:
    """The bytes of an answer that was read; raises DarkroomError as ``read_answer`` does."""
    if answer.is_error:
        read_json(answer)
    return answer.content


def _error(answer: httpx.Response, body: Any) -> DarkroomError:
    about = body.get("error") if isinstance(body, dict) else None
    known: dict[str, Any] = about if isinstance(about, dict) else {"message": str(about or body)}
    details = known.get("details")
    seconds = answer.headers.get("Retry-After", "")
    return DarkroomError(
        known.get("message", "Darkroom has refused."),
        status=answer.status_code,
        code=known.get("code", ""),
        retry_after_s=float(seconds) if seconds.isdigit() else None,
        problems=tuple(details) if isinstance(details, list) else (),
    )
