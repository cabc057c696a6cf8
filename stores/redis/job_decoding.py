"""Decodes the answers of the Lua scripts: jobs, events and queue estimates."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.jobs.events import Event, EventType
from schemas.jobs.job import Job, JobError, JobRequest, Progress, QueueEstimate, Result
from schemas.jobs.lifecycle import JobState

# Fields of the job hash. Passed to the Lua scripts, which return the values in this order; ``read.lua`` needs the first
# five at these places.
JOB_FIELDS = (
    "state",
    "owner",
    "site",
    "startTime",
    "priority",
    "prompt",
    "lora",
    "inputs",
    "requestId",
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
    """Return the job with these values of JOB_FIELDS; further values are ignored."""
    # Every status request runs this: int() takes bytes, so only text is decoded.
    raw: dict[str, Any] = dict(zip(JOB_FIELDS, values, strict=False))
    progress, code = raw["progress"], raw["errorCode"]
    return Job(
        id=job_id,
        owner=raw["owner"].decode(),
        state=JobState(raw["state"].decode()),
        request=_decode_request(raw),
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
        error=None if code is None else _decode_error(raw),
        started_at=_optional_int(raw["startedAt"]),
        cancel_requested_at=_optional_int(raw["cancelRequestedAt"]),
        **(_decode_end(raw) if raw["finishedAt"] else {}),
    )


def _decode_end(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "results": tuple(Result(**result) for result in json.loads(raw["results"] or b"[]")),
        "finished_at": _optional_int(raw["finishedAt"]),
        "expires_at": _optional_int(raw["expiresAt"]),
    }


def _optional_int(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def decode_event(job_id: str, seq: int, fields: Mapping[bytes, bytes]) -> Event:
    """Return the event of a stream entry with the fields ``type``, ``time`` and ``data``."""
    return Event(job_id, seq, EventType(fields[b"type"].decode()), int(fields[b"time"]), json.loads(fields[b"data"]))


def decode_estimate(values: Sequence[bytes | int | None]) -> QueueEstimate:
    """Return the estimate that ``queue_estimate`` in ``lua/shared/estimates.lua`` computes."""
    ahead, run_ms, retry_at, error, running, slots, is_estimate = values
    return QueueEstimate(
        position=None if ahead is None else int(ahead) + 1,
        position_is_estimate=bool(is_estimate),
        mean_run_ms=int(run_ms) if run_ms else None,
        running=int(running or 0),
        slots=int(slots or 0),
        circuit_error=error.decode() if isinstance(error, bytes) and retry_at else None,
        circuit_retry_at=int(retry_at) if retry_at else None,
    )


def _decode_request(raw: Mapping[str, Any]) -> JobRequest:
    inputs = {} if raw["inputs"] == b"{}" else json.loads(raw["inputs"])
    lora = raw["lora"].decode() or None
    return JobRequest(raw["site"].decode(), raw["prompt"].decode(), lora, inputs, int(raw["priority"] or 0))


def _decode_error(raw: Mapping[str, Any]) -> JobError:
    code, message, hint = (raw[name].decode() for name in ("errorCode", "error", "hint"))
    return JobError(code, message, hint, raw["retryable"] == b"1")
