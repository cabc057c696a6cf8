"""Owns the streams of events over HTTP (server-sent events): of one job, and of all jobs of the caller.

Each event's ``id`` is where a client that was cut off goes on, by the header ``Last-Event-ID``.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from api.auth import require_key
from api.context import caller, stores
from api.views import event_view
from schemas.errors import Invalid, NotFound
from schemas.jobs import Job
from stores import Stores
from stores.logs import BEGINNING

HEARTBEAT_S = 15.0
RECONNECT_AFTER_MS = 1000
PLACE = re.compile(r"^\d{1,20}-\d{1,10}$", re.ASCII)
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
    job = stores().jobs.get(job_id)
    if job.owner != caller().id:
        raise NotFound("There is no job of that id.")
    after = _seen_of_job()
    if job.state.final and after >= job.seq:
        return Response(status=204)
    return _stream(_events_of_job(stores(), job, after))


@blueprint.route("/events")
@blueprint.doc(parameters=[LAST_EVENT_ID])
@blueprint.response(200, description="Events from now on, or from where one was.", content_type="text/event-stream")
def of_caller() -> Response:
    """What happens to all your jobs. `reset` says that events were missed: ask for the jobs themselves."""
    owner = caller().id
    return _stream(_events_of_owner(stores(), owner, _seen_of_owner() or stores().logs.newest(owner)))


def _stream(lines: Iterator[str]) -> Response:
    return Response(lines, mimetype="text/event-stream", headers=HEADERS)


def _events_of_job(stores: Stores, job: Job, after: int) -> Iterator[str]:
    yield f"retry: {RECONNECT_AFTER_MS}\n\n"
    with stores.changes.watch(job.id) as watch:
        while True:
            for event in stores.logs.of_job(job, after, watch.newest):
                after = event.seq
                yield _written(str(event.seq), event.type, event_view(stores, event))
                if event.final:
                    return
            if watch.closing:
                return
            if not watch.wait(HEARTBEAT_S):
                # So that neither end nor anything between gives the stream up.
                yield ": still here\n\n"


def _events_of_owner(stores: Stores, owner: str, after: str) -> Iterator[str]:
    yield f"retry: {RECONNECT_AFTER_MS}\n\n"
    oldest = stores.logs.oldest(owner)
    if after != BEGINNING and _order(after) < _order(oldest):
        yield _written(after, "reset", {"type": "reset", "message": "Events were missed; ask for the jobs themselves."})
    with stores.changes.watch_owner(owner) as watch:
        while True:
            for place, event in stores.logs.of_owner(owner, after):
                after = place
                yield _written(place, event.type, event_view(stores, event))
            if watch.closing:
                return
            if not watch.wait(HEARTBEAT_S):
                # So that neither end nor anything between gives the stream up.
                yield ": still here\n\n"


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
    if seen and not PLACE.match(seen):
        raise Invalid(problems=[f"Last-Event-ID: {seen[:40]!r} is not the id of an event of this stream."])
    return seen


def _order(place: str) -> tuple[int, int]:
    milliseconds, number = place.split("-")
    return int(milliseconds), int(number)
