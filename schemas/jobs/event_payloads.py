"""How an event looks on the wire: the same on every stream, on a WebSocket and in a webhook. Pure."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.jobs.events import JOB_EVENT_NAMES, WORKLOAD_EVENT_NAMES, Event, EventType
from schemas.jobs.generaitiv_requests import workload_id
from schemas.jobs.job import IMAGE_FORMATS, Result


def event_payload(public_url: str, event: Event) -> dict[str, Any]:
    """An event as every stream shows it."""
    if event.type is EventType.WEBHOOK_DISABLED:
        return {"type": event.type, "time": event.time_ms, **event.data}
    base = {"type": event.type, "jobId": event.job_id, "seq": event.seq, "time": event.time_ms}
    data = _EVENT_DATA.get(event.type)
    return base | (data(public_url, event) if data else {})


def job_webhook_payload(public_url: str, event: Event) -> dict[str, Any]:
    """An event of a job as webhooks are told of it."""
    return webhook_payload(JOB_EVENT_NAMES[event.type], event.time_ms, event_payload(public_url, event))


def webhook_payload(event_name: str, time_ms: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """Anything that webhooks are told of, in the shape that Standard Webhooks recommends."""
    return {"type": event_name, "timestamp": _iso(time_ms), "data": dict(data)}


def workload_webhook_payload(public_url: str, event: Event) -> dict[str, Any]:
    """A job's end as the address is told that its submission named: flat, as clients of the generaitiv API read it."""
    shown = {
        "id": workload_id(event.job_id),
        "jobId": event.job_id,
        "type": WORKLOAD_EVENT_NAMES[event.type],
        "timestamp": _iso(event.time_ms),
        "status": event.type.upper(),
    }
    if event.type is EventType.COMPLETED:
        return shown | {"link": event_payload(public_url, event)["link"]}
    return shown | {"message": event.data["message"], "code": event.data["code"]}


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def progress_payload(data: Mapping[str, Any]) -> dict[str, Any]:
    """How far a job is, as clients of streams know it; steps count from 0. Empty where the page has not said it."""
    message = {"percentage": data.get("percentage")}
    if data.get("step") is not None:
        message |= {"totalSteps": data["steps"], "currentStep": max(0, data["step"] - 1)}
    return message if message["percentage"] is not None else {}


def result_image_url(public_url: str, job_id: str, media_type: str) -> str:
    """Where a finished job's first picture is: with the ending of its type, where there is one."""
    form = next((form for form, known in IMAGE_FORMATS.items() if known == media_type), None)
    return f"{public_url}/{job_id}" + (f".{form}" if form else "")


def _preview_data(public_url: str, event: Event) -> dict[str, Any]:
    return {"url": f"{public_url}/{event.job_id}.jpg?version={event.seq}", "version": event.seq}


def _completed_data(public_url: str, event: Event) -> dict[str, Any]:
    results = [Result(**one) for one in event.data["results"]]
    return {
        "link": result_image_url(public_url, event.job_id, results[0].type),
        "results": result_payloads(results, event.job_id, public_url),
    }


_EVENT_DATA: dict[str, Callable[[str, Event], dict[str, Any]]] = {
    EventType.PROGRESS: lambda _url, event: progress_payload(event.data),
    EventType.PREVIEW: _preview_data,
    EventType.COMPLETED: _completed_data,
    EventType.STARTING: lambda _url, event: event.data,
    EventType.FAILED: lambda _url, event: event.data,
    EventType.RETRIED: lambda _url, event: event.data,
}


def result_payloads(results: Sequence[Result], job_id: str, public_url: str) -> list[dict[str, Any]]:
    """A job's pictures, as every surface that names them all shows them."""
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
