"""How a job looks on the wire, on each surface. Plain dictionaries: this is the hot path."""

from typing import Any

from flask import Response, current_app, request

from schemas.fields import camel
from schemas.jobs.event_payloads import result_views
from schemas.jobs.job import Job, Outlook
from stores import Stores


def weights_status(stores: Stores, job: Job, outlook: Outlook) -> dict[str, Any]:
    """A job as clients of the Weights API know it."""
    return {
        "status": job.state,
        "prompt": job.submission.prompt,
        "startTime": job.start_time,
        "lastModifiedDate": job.last_modified,
        "error": job.error.message if job.error else None,
        "errorCode": job.error.code if job.error else None,
        "hint": job.error.hint if job.error else None,
        "retryable": job.error.retryable if job.error else None,
        "loraName": job.submission.lora,
        "position": outlook.position,
        "etaSeconds": _eta_s(stores, job, outlook),
        "waitingFor": _waiting_for(outlook),
        "progress": _progress(job),
        "imageUrl": f"{stores.settings.public_url}/{job.id}.jpg",
        "expiresAt": job.expires_at,
        "attempt": job.attempt,
        "seq": job.seq,
    }


def native_job(stores: Stores, job: Job, outlook: Outlook) -> dict[str, Any]:
    """A job as ``schemas.jobs.job.JobView`` describes it."""
    error = job.error
    public_url = stores.settings.public_url
    results = result_views(job.results, job.id, public_url)
    return {
        "id": job.id,
        "status": job.state,
        "site": job.submission.site,
        "prompt": job.submission.prompt,
        "lora": job.submission.lora,
        "inputs": {camel(name): value for name, value in job.submission.inputs.items()},
        "priority": job.submission.priority,
        "position": outlook.position,
        "etaSeconds": _eta_s(stores, job, outlook),
        "waitingFor": _waiting_for(outlook),
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
        "result": results[0] if results else None,
        "results": results,
        "previewUrl": f"{public_url}/{job.id}.jpg" if job.preview_version and not job.state.final else None,
        "statusUrl": f"{public_url}/api/v1/jobs/{job.id}",
    }


def with_etag(body: dict[str, Any], job: Job, outlook: Outlook) -> Response:
    """``body`` as JSON, or 304 if the client has seen the job just like this."""
    etag = f"{job.seq}.{outlook.position or 0}.{outlook.circuit_retry_at or 0}"
    headers = {"ETag": f'W/"{etag}"', "Cache-Control": "no-cache"}
    if "If-None-Match" in request.headers and request.if_none_match.contains_weak(etag):
        return Response(status=304, headers=headers)
    return Response(current_app.json.dumps(body), mimetype="application/json", headers=headers)


def _eta_s(stores: Stores, job: Job, outlook: Outlook) -> float | None:
    if job.state.final:
        return None
    eta_s = outlook.eta_s(job, stores.recipes.limits(job.submission.site), stores.clock.now_ms())
    return None if eta_s is None else round(eta_s, 1)


def _waiting_for(outlook: Outlook) -> dict[str, Any] | None:
    if outlook.position is None or outlook.circuit_retry_at is None:
        return None
    message = f"The site failed time after time, so its jobs wait: {outlook.circuit_error}"
    return {"reason": "circuit_open", "message": message, "retryAt": outlook.circuit_retry_at}


def _progress(job: Job) -> dict[str, Any] | None:
    progress = job.progress
    if progress is None:
        return None
    return {"percentage": progress.percentage, "step": progress.step, "steps": progress.steps}
