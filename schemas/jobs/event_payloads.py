"""JSON payloads of events, the same on every stream, on WebSockets and in webhooks."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.images import formats
from schemas.jobs.events import EVENTS_WITHOUT_JOB, JOB_EVENT_NAMES, WORKLOAD_EVENT_NAMES, Event, EventType
from schemas.jobs.generaitiv_requests import workload_id
from schemas.jobs.job import Result


def event_payload(public_url: str, event: Event) -> dict[str, Any]:
    """Return the payload of an event in streams."""
    if event.type in EVENTS_WITHOUT_JOB:
        return {"type": event.type, "time": event.time_ms, **event.data}
    base = {"type": event.type, "jobId": event.job_id, "seq": event.seq, "time": event.time_ms}
    build_data = _DATA_BUILDERS.get(event.type)
    return base | (build_data(public_url, event) if build_data else {})


def job_webhook_payload(public_url: str, event: Event) -> dict[str, Any]:
    """Return the body of a webhook delivery about a job event."""
    return webhook_payload(JOB_EVENT_NAMES[event.type], event.time_ms, event_payload(public_url, event))


def webhook_payload(event_name: str, time_ms: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a webhook delivery, in the shape that Standard Webhooks recommends."""
    return {"type": event_name, "timestamp": _iso_utc(time_ms), "data": dict(data)}


def workload_webhook_payload(public_url: str, event: Event) -> dict[str, Any]:
    """Return the flat body for the webhook URL of a submission, as clients of the generaitiv API expect it.

    ``event`` must be final.
    """
    payload = {
        "id": workload_id(event.job_id),
        "jobId": event.job_id,
        "type": WORKLOAD_EVENT_NAMES[event.type],
        "timestamp": _iso_utc(event.time_ms),
        "status": event.type.upper(),
    }
    if event.type is EventType.COMPLETED:
        return payload | {"link": event_payload(public_url, event)["link"]}
    return payload | {"message": event.data["message"], "code": event.data["code"]}


def progress_payload(progress: Mapping[str, Any]) -> dict[str, Any]:
    """Return the progress fields of stream messages: empty without a percentage, and steps counted from 0."""
    if progress.get("percentage") is None:
        return {}
    payload = {"percentage": progress["percentage"]}
    if progress.get("step") is not None:
        payload |= {"totalSteps": progress["steps"], "currentStep": max(0, progress["step"] - 1)}
    return payload


def result_image_url(public_url: str, job_id: str, media_type: str) -> str:
    """Return the URL of a job's first image, with the file extension of its media type if that is a known one."""
    form = formats.BY_MEDIA_TYPE.get(media_type)
    return f"{public_url}/{job_id}" + (f".{form.extension}" if form else "")


def result_payloads(results: Sequence[Result], job_id: str, public_url: str) -> list[dict[str, Any]]:
    """Return the JSON description of each of a job's images."""
    url = f"{public_url}/api/v1/jobs/{job_id}/result"
    is_video = bool(results) and results[0].type.startswith("video/")
    poster = {"posterUrl": f"{public_url}/{job_id}.jpg"} if is_video else {}
    return [
        {
            "url": url if number == 1 else f"{url}s/{number}",
            "type": result.type,
            "sizeBytes": result.size_bytes,
            "width": result.width,
            "height": result.height,
            "lossy": result.lossy,
            **(poster if number == 1 else {}),
        }
        for number, result in enumerate(results, 1)
    ]


def _iso_utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _preview_data(public_url: str, event: Event) -> dict[str, Any]:
    return {"url": f"{public_url}/{event.job_id}.jpg?version={event.seq}", "version": event.seq}


def _completed_data(public_url: str, event: Event) -> dict[str, Any]:
    results = [Result(**result) for result in event.data["results"]]
    return {
        "link": result_image_url(public_url, event.job_id, results[0].type),
        "results": result_payloads(results, event.job_id, public_url),
    }


_DATA_BUILDERS: dict[str, Callable[[str, Event], dict[str, Any]]] = {
    EventType.PROGRESS: lambda _url, event: progress_payload(event.data),
    EventType.PREVIEW: _preview_data,
    EventType.COMPLETED: _completed_data,
    EventType.STARTING: lambda _url, event: event.data,
    EventType.FAILED: lambda _url, event: event.data,
    EventType.RETRIED: lambda _url, event: event.data,
}
