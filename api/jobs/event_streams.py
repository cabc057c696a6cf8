"""The streams of events over HTTP (server-sent events): of one job, and of all jobs of the caller.

Each event's ``id`` is where a client that was cut off goes on, by the header ``Last-Event-ID``.
"""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

from flask import Response, request

from api.http.auth import api_key_from_request
from api.http.blueprint import Blueprint
from api.http.context import caller, own_job, stores
from api.http.route_policy import Access
from schemas.errors import Gone, Invalid, NotFound
from schemas.jobs.event_payloads import event_payload
from schemas.jobs.job import Job
from stores import Stores
from stores.jobs.event_log import BATCH_SIZE, STREAM_START

HEARTBEAT_S = 15.0
RETRY_MS = 1000
MAX_STREAM_S = 600.0
SEND_TIMEOUT_S = 30.0
# So that neither end nor anything between gives a stream up.
HEARTBEAT = ": still here\n\n"
STREAM_ID = re.compile(r"\d{1,18}-\d{1,18}", re.ASCII)
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "schema": {"type": "string"},
    "description": "The `id` of the last event that the client has seen; as a query, `lastEventId`.",
}

blueprint = Blueprint(
    "streams", __name__, access=Access.KEY, url_prefix="/api/v1", description="Events as they happen."
)


@blueprint.route("/jobs/<job_id>/events")
@blueprint.doc(parameters=[LAST_EVENT_ID])
@blueprint.response(
    200, description="Events from the first on, or from where one was.", content_type="text/event-stream"
)
@blueprint.alt_response(204, description="There is no more: the client has seen the last event.")
def stream_job_events(job_id: str) -> Response:
    """What happens to a job of yours, until its end."""
    job = own_job(job_id)
    after = min(_last_job_seq(), job.seq)
    if job.state.is_final and after >= job.seq:
        return Response(status=204)
    return _sse_response(_job_events(stores(), api_key_from_request(), job, after))


@blueprint.route("/events")
@blueprint.doc(parameters=[LAST_EVENT_ID])
@blueprint.response(200, description="Events from now on, or from where one was.", content_type="text/event-stream")
def stream_caller_events() -> Response:
    """What happens to all your jobs. `reset` says that events were missed: ask for the jobs themselves."""
    owner = caller().id
    return _sse_response(
        _owner_events(
            stores(), api_key_from_request(), owner, _last_stream_id() or stores().event_log.newest_stream_id(owner)
        )
    )


def _sse_response(lines: Iterator[str]) -> Response:
    if connection := request.environ.get("gunicorn.socket"):
        # Who reads nothing is not written to for ever.
        connection.settimeout(SEND_TIMEOUT_S)
    return Response(lines, mimetype="text/event-stream", headers=HEADERS)


def _job_events(stores: Stores, key: str, job: Job, after: int) -> Iterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    with stores.notifier.watch(job.id) as watch, stores.key_revocation.watch(key, watch):
        while not watch.revoked:
            events = stores.event_log.read_job(job, after, watch.newest_seq)
            for event in events:
                after = event.seq
                yield _format_sse(str(event.seq), event.type, event_payload(stores.settings.public_url, event))
                if event.is_final:
                    return
            if watch.closing:
                return
            if len(events) < BATCH_SIZE and not watch.wait(HEARTBEAT_S):
                yield HEARTBEAT
                if _has_ended(stores, job.id, after):
                    return


def _owner_events(stores: Stores, key: str, owner: str, after: str) -> Iterator[str]:
    # Who is cut off before the first event must know from where to go on.
    yield f"retry: {RETRY_MS}\nid: {after}\n\n"
    oldest = stores.event_log.oldest_stream_id(owner)
    if after != STREAM_START and (oldest == STREAM_START or _stream_id_order(after) < _stream_id_order(oldest)):
        yield _format_sse(
            after, "reset", {"type": "reset", "message": "Events were missed; ask for the jobs themselves."}
        )
    ends_at = time.monotonic() + MAX_STREAM_S
    with stores.notifier.watch_owner(owner) as watch, stores.key_revocation.watch(key, watch):
        while not watch.revoked:
            events = stores.event_log.read_owner(owner, after)
            for place, event in events:
                after = place
                yield _format_sse(place, event.type, event_payload(stores.settings.public_url, event))
            if watch.closing or time.monotonic() > ends_at:
                return
            if len(events) < BATCH_SIZE and not watch.wait(HEARTBEAT_S):
                yield HEARTBEAT


def _has_ended(stores: Stores, job_id: str, seen: int) -> bool:
    """Whether the job has expired meanwhile, or has ended with an event that was seen."""
    try:
        job = stores.jobs.get(job_id)
    except (NotFound, Gone):
        return True
    return job.state.is_final and seen >= job.seq


def _format_sse(ident: str, kind: str, body: dict[str, Any]) -> str:
    return f"id: {ident}\nevent: {kind}\ndata: {json.dumps(body)}\n\n"


def _last_event_id() -> str:
    return request.headers.get("Last-Event-ID") or request.args.get("lastEventId", "")


def _last_job_seq() -> int:
    seen = _last_event_id()
    if not re.fullmatch(r"\d{0,15}", seen, re.ASCII):
        raise Invalid(problems=[f"Last-Event-ID: {seen[:40]!r} is not the number of an event."])
    return int(seen or 0)


def _last_stream_id() -> str:
    seen = _last_event_id()
    if seen and not STREAM_ID.fullmatch(seen):
        raise Invalid(problems=[f"Last-Event-ID: {seen[:40]!r} is not the id of an event of this stream."])
    return seen


def _stream_id_order(place: str) -> tuple[int, int]:
    milliseconds, number = place.split("-")
    return int(milliseconds), int(number)
