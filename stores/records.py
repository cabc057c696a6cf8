"""Owns the names of Redis keys that Python reads, and the reading of a job's hash.

Used by the other modules of ``stores``; ``lua/prelude.lua`` lists every key there is.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from schemas.jobs import Job, JobError, Progress, Submission
from schemas.lifecycle import JobState


def job_key(job_id: str, part: str) -> str:
    """One of the keys of a job; the braces keep them in one slot."""
    return f"dr:{{{job_id}}}:{part}"


def usage_key(owner: str, now_ms: int) -> str:
    """Where the owner's pictures of that day (UTC) are counted."""
    return f"dr:usage:{owner}:{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d}"


# In the order in which ``lua/look.lua`` answers them; the state stands first.
FIELDS = (
    "state",
    "owner",
    "site",
    "prompt",
    "lora",
    "inputs",
    "requestId",
    "startTime",
    "lastModifiedDate",
    "seq",
    "attempt",
    "deliveries",
    "previewVersion",
    "progress",
    "errorCode",
    "error",
    "hint",
    "retryable",
    "resultType",
    "resultSize",
    "width",
    "height",
    "lossy",
    "finishedAt",
    "expiresAt",
    "cancelRequestedAt",
)


def read_job(job_id: str, values: Sequence[bytes | None]) -> Job:
    """The job whose FIELDS these are."""
    raw = {name: value.decode() for name, value in zip(FIELDS, values, strict=False) if value is not None}

    def number(name: str) -> int | None:
        return int(raw[name]) if name in raw else None

    return Job(
        id=job_id,
        owner=raw["owner"],
        state=JobState(raw["state"]),
        submission=Submission(raw["site"], raw["prompt"], raw["lora"] or None, json.loads(raw["inputs"])),
        request_id=raw["requestId"],
        start_time=int(raw["startTime"]),
        last_modified=int(raw["lastModifiedDate"]),
        seq=int(raw["seq"]),
        attempt=int(raw["attempt"]),
        deliveries=int(raw["deliveries"]),
        preview_version=int(raw["previewVersion"]),
        progress=Progress(**json.loads(raw["progress"])) if "progress" in raw else None,
        error=_error(raw) if "errorCode" in raw else None,
        result_type=raw.get("resultType"),
        result_size=number("resultSize"),
        width=number("width"),
        height=number("height"),
        lossy=raw.get("lossy") == "1",
        finished_at=number("finishedAt"),
        expires_at=number("expiresAt"),
        cancel_requested_at=number("cancelRequestedAt"),
    )


def _error(raw: Mapping[str, str]) -> JobError:
    return JobError(raw["errorCode"], raw["error"], raw["hint"], raw["retryable"] == "1")
