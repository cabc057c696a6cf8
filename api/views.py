"""Owns how a job looks on the wire, on each surface. Plain dictionaries: this is the hot path."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Response, current_app, request

from schemas.events import Event, EventType
from schemas.fields import camel
from schemas.jobs import PICTURE_FORMATS, Job, Outlook, Result
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
    """A job as ``schemas.jobs.JobView`` describes it."""
    error = job.error
    public_url = stores.settings.public_url
    results = _result_views(job.results, job.id, public_url)
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


def event_view(stores: Stores, event: Event) -> dict[str, Any]:
    """An event of a job as every stream shows it."""
    base = {"type": event.type, "jobId": event.job_id, "seq": event.seq, "time": event.time_ms}
    data = _EVENT_DATA.get(event.type)
    return base | (data(stores.settings.public_url, event) if data else {})


def progress_message(data: Mapping[str, Any]) -> dict[str, Any]:
    """How far a job is, as clients of streams know it; steps count from 0. Empty where the page has not said it."""
    message = {"percentage": data.get("percentage")}
    if data.get("step") is not None:
        message |= {"totalSteps": data["steps"], "currentStep": max(0, data["step"] - 1)}
    return message if message["percentage"] is not None else {}


def picture_link(public_url: str, job_id: str, media_type: str) -> str:
    """Where a finished job's first picture is: with the ending of its type, where there is one."""
    form = next((form for form, known in PICTURE_FORMATS.items() if known == media_type), None)
    return f"{public_url}/{job_id}" + (f".{form}" if form else "")


def _preview_data(public_url: str, event: Event) -> dict[str, Any]:
    return {"url": f"{public_url}/{event.job_id}.jpg?version={event.seq}", "version": event.seq}


def _completed_data(public_url: str, event: Event) -> dict[str, Any]:
    results = [Result(**one) for one in event.data["results"]]
    return {
        "link": picture_link(public_url, event.job_id, results[0].type),
        "results": _result_views(results, event.job_id, public_url),
    }


_EVENT_DATA: dict[str, Callable[[str, Event], dict[str, Any]]] = {
    EventType.PROGRESS: lambda _url, event: progress_message(event.data),
    EventType.PREVIEW: _preview_data,
    EventType.COMPLETED: _completed_data,
    EventType.STARTING: lambda _url, event: event.data,
    EventType.FAILED: lambda _url, event: event.data,
    EventType.RETRIED: lambda _url, event: event.data,
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


def _result_views(results: Sequence[Result], job_id: str, public_url: str) -> list[dict[str, Any]]:
    url = f"{public_url}/api/v1/jobs/{job_id}/result"
    return [
        {
            "url": url if number == 1 else f"{url}s/{number}",
            "type": result.type,
            "sizeBytes": result.size_bytes,
            "width": result.width,
            "height": result.height,
            "lossy": result.lossy,
        }
        for number, result in enumerate(results, 1)
    ]
