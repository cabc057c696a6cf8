"""Owns how a job looks on the wire, on each surface. Plain dictionaries: this is the hot path."""

from typing import Any

from flask import Response, current_app, request

from schemas.fields import camel
from schemas.jobs import Job
from schemas.lifecycle import JobState


def weights_status(job: Job, position: int | None, public_url: str) -> dict[str, Any]:
    """A job as clients of the Weights API know it."""
    return {
        "status": job.state,
        "prompt": job.submission.prompt,
        "startTime": job.start_time,
        "lastModifiedDate": job.last_modified,
        "error": job.error.message if job.error else None,
        "errorCode": job.error.code if job.error else None,
        "loraName": job.submission.lora,
        "position": position,
        "progress": _progress(job),
        "imageUrl": f"{public_url}/{job.id}.jpg",
        "expiresAt": job.expires_at,
        "attempt": job.attempt,
        "seq": job.seq,
    }


def native_job(job: Job, position: int | None, public_url: str) -> dict[str, Any]:
    """A job as ``schemas.jobs.JobView`` describes it."""
    error = job.error
    return {
        "id": job.id,
        "status": job.state,
        "site": job.submission.site,
        "prompt": job.submission.prompt,
        "lora": job.submission.lora,
        "inputs": {camel(name): value for name, value in job.submission.inputs.items()},
        "position": position,
        "progress": _progress(job),
        "attempt": job.attempt,
        "seq": job.seq,
        "startTime": job.start_time,
        "lastModifiedDate": job.last_modified,
        "finishedAt": job.finished_at,
        "expiresAt": job.expires_at,
        "cancelRequestedAt": job.cancel_requested_at,
        "error": error
        and {"code": error.code, "message": error.message, "hint": error.hint, "retryable": error.retryable},
        "result": _result(job, public_url),
        "previewUrl": f"{public_url}/{job.id}.jpg" if job.preview_version and not job.state.final else None,
        "statusUrl": f"{public_url}/api/v1/jobs/{job.id}",
    }


def with_etag(body: dict[str, Any], job: Job, position: int | None) -> Response:
    """``body`` as JSON, or 304 if the client has seen the job just like this."""
    etag = f"{job.seq}.{position or 0}"
    headers = {"ETag": f'W/"{etag}"', "Cache-Control": "no-cache"}
    if "If-None-Match" in request.headers and request.if_none_match.contains_weak(etag):
        return Response(status=304, headers=headers)
    return Response(current_app.json.dumps(body), mimetype="application/json", headers=headers)


def _progress(job: Job) -> dict[str, Any] | None:
    progress = job.progress
    if progress is None:
        return None
    return {"percentage": progress.percentage, "step": progress.step, "steps": progress.steps}


def _result(job: Job, public_url: str) -> dict[str, Any] | None:
    if job.state is not JobState.COMPLETED:
        return None
    return {
        "url": f"{public_url}/api/v1/jobs/{job.id}/result",
        "type": job.result_type,
        "sizeBytes": job.result_size,
        "width": job.width,
        "height": job.height,
        "lossy": job.lossy,
    }
