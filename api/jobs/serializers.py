"""JSON of jobs in each API. Plain dictionaries instead of marshmallow: status requests are the hot path."""

from typing import Any

from flask import Response, current_app, request

from schemas.fields import to_camel_case
from schemas.jobs.event_payloads import result_payloads
from schemas.jobs.job import Job, QueueEstimate
from schemas.jobs.lifecycle import JobState
from stores import Stores

STATUS_CACHE_CONTROL = "no-cache"


def weights_status(stores: Stores, job: Job, estimate: QueueEstimate) -> dict[str, Any]:
    """Return a job in the format of the Weights API."""
    return {
        "status": _weights_state(job),
        "prompt": job.request.prompt,
        "startTime": job.start_time,
        "lastModifiedDate": job.last_modified,
        "error": job.error.message if job.error else None,
        "errorCode": job.error.code if job.error else None,
        "hint": job.error.hint if job.error else None,
        "retryable": job.error.retryable if job.error else None,
        "loraName": job.request.lora,
        "position": estimate.position,
        "positionIsEstimate": estimate.position_is_estimate,
        "etaSeconds": estimate_eta_s(stores, job, estimate),
        "waitingFor": _waiting_for(job, estimate),
        "progress": _progress(job),
        "imageUrl": f"{stores.settings.public_url}/{job.id}.jpg",
        "expiresAt": job.expires_at,
        "attempt": job.attempt,
        "seq": job.seq,
    }


def _weights_state(job: Job) -> JobState:
    """Return the state for clients that fetch the picture as soon as it is PENDING, without looking at its status.

    The original server announced PENDING only once it had saved a preview (docs/decisions/0019).
    """
    has_no_picture = job.state is JobState.PENDING and not job.preview_version
    return JobState.STARTING if has_no_picture else job.state


def native_job(stores: Stores, job: Job, estimate: QueueEstimate) -> dict[str, Any]:
    """Return a job in the format of the native API, as ``schemas.jobs.job.JobView`` documents it."""
    error = job.error
    public_url = stores.settings.public_url
    results = result_payloads(job.results, job.id, public_url)
    return {
        "id": job.id,
        "status": job.state,
        "site": job.request.site,
        "prompt": job.request.prompt,
        "lora": job.request.lora,
        "inputs": {to_camel_case(name): value for name, value in job.request.inputs.items()},
        "priority": job.request.priority,
        "position": estimate.position,
        "positionIsEstimate": estimate.position_is_estimate,
        "etaSeconds": estimate_eta_s(stores, job, estimate),
        "waitingFor": _waiting_for(job, estimate),
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
        "previewUrl": f"{public_url}/{job.id}.jpg" if job.preview_version and not job.state.is_final else None,
        "statusUrl": f"{public_url}/api/v1/jobs/{job.id}",
    }


def job_etag(job: Job, estimate: QueueEstimate) -> str:
    """Return the weak ETag, without quotes, of this version of the job, position and circuit breaker."""
    return f"{job.seq}.{estimate.position or 0}.{estimate.circuit_retry_at or 0}"


def json_with_etag(body: dict[str, Any], job: Job, estimate: QueueEstimate) -> Response:
    """Return ``body``, or 304 if the client has seen this version of the job, position and circuit breaker."""
    etag = job_etag(job, estimate)
    headers = {"ETag": f'W/"{etag}"', "Cache-Control": STATUS_CACHE_CONTROL}
    if "If-None-Match" in request.headers and request.if_none_match.contains_weak(etag):
        return Response(status=304, headers=headers)
    return Response(current_app.json.dumps(body), mimetype="application/json", headers=headers)


def estimate_eta_s(stores: Stores, job: Job, estimate: QueueEstimate) -> float | None:
    """Return the seconds until the job completes, as responses show them; None if unknown."""
    if job.state.is_final:
        return None
    eta_s = estimate.eta_s(job, stores.recipes.get_limits(job.request.site), stores.clock.now_ms())
    return None if eta_s is None else round(eta_s, 1)


def _waiting_for(job: Job, estimate: QueueEstimate) -> dict[str, Any] | None:
    if job.state is not JobState.QUEUED or estimate.circuit_retry_at is None:
        return None
    message = f"The site failed repeatedly, so its jobs wait: {estimate.circuit_error}"
    return {"reason": "circuit_open", "message": message, "retryAt": estimate.circuit_retry_at}


def _progress(job: Job) -> dict[str, Any] | None:
    progress = job.progress
    if progress is None:
        return None
    return {"percentage": progress.percentage, "step": progress.step, "steps": progress.steps}
