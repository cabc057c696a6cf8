"""The streams of events over HTTP (server-sent events): of one job, and of all jobs of the caller.

Each event's ``id`` is where a client that was cut off goes on, by the header ``Last-Event-ID``.
"""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from api.http.auth import key_given, require_key
from api.http.context import caller, own_job, stores
from schemas.errors import Gone, Invalid, NotFound
from schemas.jobs.event_payloads import event_view
from schemas.jobs.job import Job
from stores import Stores
from stores.jobs.event_log import BEGINNING, READ_AT_ONCE

HEARTBEAT_S = 15.0
RECONNECT_AFTER_MS = 1000
LONGEST_STREAM_S = 600.0
SLOW_AFTER_S = 30.0
# So that neither end nor anything between gives a stream up.
STILL_HERE = ": still here\n\n"
PLACE = re.compile(r"\d{1,18}-\d{1,18}", re.ASCII)
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "schema": {"type": "string"},
    "description": "The `id` of the last event that the client has seen; as a query, `lastEventId`.",
}

blueprint = Blueprint("streams", __name__, url_prefix="/api/v1", description="Events as they happen.")
blueprint.before_request(require_key)


@blueprint.route("/jobs/<job_id>/events")
@blueprint.doc(parameters=[LAST_EVENT_ID])
@blueprint.response(
    200, description="Events from the first on, or from where one was.", content_type="text/event-stream"
)
@blueprint.alt_response(204, description="There is no more: the client has seen the last event.")
def of_job(job_id: str) -> Response:
    """What happens to a job of yours, until its end."""
    job = own_job(job_id)
    after = min(_seen_of_job(), job.seq)
    if job.state.final and after >= job.seq:
        return Response(status=204)
    return _stream(_events_of_job(stores(), key_given(), job, after))


@blueprint.route("/events")
@blueprint.doc(parameters=[LAST_EVENT_ID])
@blueprint.response(200, description="Events from now on, or from where one was.", content_type="text/event-stream")
def of_caller() -> Response:
    """What happens to all your jobs. `reset` says that events were missed: ask for the jobs themselves."""
    owner = caller().id
    return _stream(_events_of_owner(stores(), key_given(), owner, _seen_of_owner() or stores().logs.newest(owner)))


def _stream(lines: Iterator[str]) -> Response:
    if connection := request.environ.get("gunicorn.socket"):
        # Who reads nothing is not written to for ever.
        connection.settimeout(SLOW_AFTER_S)
    return Response(lines, mimetype="text/event-stream", headers=HEADERS)


def _events_of_job(stores: Stores, key: str, job: Job, after: int) -> Iterator[str]:
    yield f"retry: {RECONNECT_AFTER_MS}\n\n"
    with stores.changes.watch(job.id) as watch, stores.vigil.keep(key, watch):
        while not watch.revoked:
            events = stores.logs.of_job(job, after, watch.newest)
            for event in events:
                after = event.seq
                yield _written(str(event.seq), event.type, event_view(stores.settings.public_url, event))
                if event.final:
                    return
            if watch.closing:
                return
            if len(events) < READ_AT_ONCE and not watch.wait(HEARTBEAT_S):
                yield STILL_HERE
                if _is_over(stores, job.id, after):
                    return


def _events_of_owner(stores: Stores, key: str, owner: str, after: str) -> Iterator[str]:
    # Who is cut off before the first event must know from where to go on.
    yield f"retry: {RECONNECT_AFTER_MS}\nid: {after}\n\n"
    oldest = stores.logs.oldest(owner)
    if after != BEGINNING and (oldest == BEGINNING or _order(after) < _order(oldest)):
        yield _written(after, "reset", {"type": "reset", "message": "Events were missed; ask for the jobs themselves."})
    ends_at = time.monotonic() + LONGEST_STREAM_S
    with stores.changes.watch_owner(owner) as watch, stores.vigil.keep(key, watch):
        while not watch.revoked:
            events = stores.logs.of_owner(owner, after)
            for place, event in events:
                after = place
                yield _written(place, event.type, event_view(stores.settings.public_url, event))
            if watch.closing or time.monotonic() > ends_at:
                return
            if len(events) < READ_AT_ONCE and not watch.wait(HEARTBEAT_S):
                yield STILL_HERE


def _is_over(stores: Stores, job_id: str, seen: int) -> bool:
    """Whether the job has expired meanwhile, or has ended with an event that was seen."""
    try:
        job = stores.jobs.get(job_id)
    except (NotFound, Gone):
        return True
    return job.state.final and seen >= job.seq


def _written(ident: str, kind: str, body: dict[str, Any]) -> str:
    return f"id: {ident}\nevent: {kind}\ndata: {json.dumps(body)}\n\n"


def _seen() -> str:
    return request.headers.get("Last-Event-ID") or request.args.get("lastEventId", "")


def _seen_of_job() -> int:
    seen = _seen()
    if not re.fullmatch(r"\d{0,15}", seen, re.ASCII):
        raise Invalid(problems=[f"Last-Event-ID: {seen[:40]!r} is not the number of an event."])
    return int(seen or 0)


def _seen_of_owner() -> str:
    seen = _seen()
    if seen and not PLACE.fullmatch(seen):
        raise Invalid(problems=[f"Last-Event-ID: {seen[:40]!r} is not the id of an event of this stream."])
    return seen


def _order(place: str) -> tuple[int, int]:
    milliseconds, number = place.split("-")
    return int(milliseconds), int(number)
