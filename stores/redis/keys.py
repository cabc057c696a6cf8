"""The names of Redis keys that Python reads, and the reading of a job's hash."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.jobs.events import Event, EventType
from schemas.jobs.job import Job, JobError, Progress, QueueEstimate, Result, Submission
from schemas.jobs.lifecycle import JobState


def job_key(job_id: str, part: str) -> str:
    """One of the keys of a job; the braces keep them in one slot."""
    return f"dr:{{{job_id}}}:{part}"


def daily_usage_key(owner: str, now_ms: int) -> str:
    """Where the owner's pictures of that day (UTC) are counted."""
    return f"dr:usage:{owner}:{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d}"


def weekly_usage_key(owner: str, now_ms: int) -> str:
    """Where the owner's pictures of that week (UTC, from Monday on) are counted."""
    year, week, _ = datetime.fromtimestamp(now_ms / 1000, UTC).isocalendar()
    return f"dr:usage:{owner}:{year}-W{week:02}"


def flat(fields: Mapping[str, str | int]) -> list[str | int]:
    """Names and values in one row, as scripts take them."""
    return [part for pair in fields.items() for part in pair]


# In the order in which ``lua/look.lua`` answers them; the state stands first.
JOB_FIELDS = (
    "state",
    "owner",
    "site",
    "prompt",
    "lora",
    "inputs",
    "priority",
    "requestId",
    "startTime",
    "lastModifiedDate",
    "seq",
    "queuedAt",
    "attempt",
    "claimToken",
    "deliveries",
    "retries",
    "previewVersion",
    "progress",
    "errorCode",
    "error",
    "hint",
    "retryable",
    "results",
    "startedAt",
    "finishedAt",
    "expiresAt",
    "cancelRequestedAt",
)


def decode_job(job_id: str, values: Sequence[Any]) -> Job:
    """The job whose FIELDS these are."""
    # Read for every status that is asked for: numbers are made from bytes as they are, and only words are decoded.
    raw: dict[str, Any] = dict(zip(JOB_FIELDS, values, strict=False))
    progress, code = raw["progress"], raw["errorCode"]
    return Job(
        id=job_id,
        owner=raw["owner"].decode(),
        state=JobState(raw["state"].decode()),
        request=_submission(raw),
        request_id=raw["requestId"].decode(),
        start_time=int(raw["startTime"]),
        last_modified=int(raw["lastModifiedDate"]),
        seq=int(raw["seq"]),
        queued_at=int(raw["queuedAt"]),
        attempt=int(raw["attempt"]),
        claim_token=(raw["claimToken"] or b"").decode(),
        deliveries=int(raw["deliveries"]),
        retries=int(raw["retries"] or 0),
        preview_version=int(raw["previewVersion"]),
        progress=None if progress is None else Progress(**json.loads(progress)),
        error=None if code is None else _error(raw),
        started_at=_number(raw["startedAt"]),
        cancel_requested_at=_number(raw["cancelRequestedAt"]),
        **(_end(raw) if raw["finishedAt"] else {}),
    )


def _end(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "results": tuple(Result(**one) for one in json.loads(raw["results"] or b"[]")),
        "finished_at": _number(raw["finishedAt"]),
        "expires_at": _number(raw["expiresAt"]),
    }


def _number(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def decode_event(job_id: str, seq: int, fields: Mapping[bytes, bytes]) -> Event:
    """An event from the ``type``, ``time`` and ``data`` of its entry in a stream."""
    return Event(job_id, seq, EventType(fields[b"type"].decode()), int(fields[b"time"]), json.loads(fields[b"data"]))


def decode_estimate(values: Sequence[bytes | int | None]) -> QueueEstimate:
    """What ``lua/look.lua`` adds to the FIELDS of an unfinished job."""
    before, run_ms, retry_at, error, running, slots = values
    return QueueEstimate(
        position=None if before is None else int(before) + 1,
        mean_run_ms=int(run_ms) if run_ms else None,
        running=int(running or 0),
        slots=int(slots or 0),
        circuit_error=error.decode() if isinstance(error, bytes) and retry_at else None,
        circuit_retry_at=int(retry_at) if retry_at else None,
    )


def _submission(raw: Mapping[str, Any]) -> Submission:
    inputs = {} if raw["inputs"] == b"{}" else json.loads(raw["inputs"])
    lora = raw["lora"].decode() or None
    return Submission(raw["site"].decode(), raw["prompt"].decode(), lora, inputs, int(raw["priority"] or 0))


def _error(raw: Mapping[str, Any]) -> JobError:
    code, message, hint = (raw[name].decode() for name in ("errorCode", "error", "hint"))
    return JobError(code, message, hint, raw["retryable"] == b"1")
