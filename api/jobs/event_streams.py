"""Event streams (SSE): of one job, and of all jobs of the caller.

Ids of a job's events are their numbers, from 1 without gaps. Ids of a caller's events are Redis stream ids.
"""

import re
from collections.abc import Iterator

from flask import Response

from api.http import sse
from api.http.auth import current_credential
from api.http.blueprint import Blueprint
from api.http.context import caller, own_job, stores
from api.http.route_policy import Access
from schemas.errors import Gone, Invalid, NotFound
from schemas.jobs.event_payloads import event_payload
from schemas.jobs.job import Job
from stores import Stores
from stores.accounts.key_revocation import Credential
from stores.jobs.event_log import BATCH_SIZE, STREAM_START
from stores.redis.pubsub import ChangeSignal

LAST_NUMBER = sse.LAST_EVENT_ID_PARAMETER | {"schema": {"type": "string", "pattern": "^[0-9]{0,15}$"}, "example": "3"}
RESET = {"type": "reset", "message": "Events were missed; fetch the jobs again."}

blueprint = Blueprint(
    "streams", __name__, access=Access.KEY, url_prefix="/api/v1", description="Events as they happen."
)


@blueprint.route("/jobs/<job_id>/events", endpoint="of_job")
@blueprint.doc(parameters=[LAST_NUMBER])
@blueprint.response(
    200, sse.STREAM, description="All events, or those after `Last-Event-ID`.", content_type="text/event-stream"
)
@blueprint.alt_response(204, description="The client has received the last event.")
@blueprint.sends(Invalid, Gone)
def stream_job_events(job_id: str) -> Response:
    """Events of one of your jobs, until it ends."""
    job = own_job(job_id)
    after = min(_last_job_seq(), job.seq)
    if job.state.is_final and after >= job.seq:
        return Response(status=204)
    return sse.sse_response(_job_events(stores(), current_credential(), job, after))


@blueprint.route("/events", endpoint="of_caller")
@blueprint.doc(parameters=[sse.LAST_EVENT_ID_PARAMETER])
@blueprint.response(
    200, sse.STREAM, description="Events from now on, or those after `Last-Event-ID`.", content_type="text/event-stream"
)
@blueprint.sends(Invalid)
def stream_caller_events() -> Response:
    """Events of all your jobs. `reset` means that events were missed: fetch the jobs themselves."""
    owner = caller().id
    after = sse.last_stream_id() or stores().event_log.newest_stream_id(owner)
    return sse.sse_response(owner_events(stores(), current_credential(), owner, after))


def _job_events(stores: Stores, credential: Credential, job: Job, after: int) -> Iterator[str]:
    def read(after: int, signal: ChangeSignal) -> sse.Batch[int]:
        events = stores.event_log.read_job(job, after, signal.newest_seq)
        public_url = stores.settings.public_url
        return sse.Batch(
            [sse.format_event(str(event.seq), event.type, event_payload(public_url, event)) for event in events],
            events[-1].seq if events else after,
            has_more=len(events) >= BATCH_SIZE,
            is_last=bool(events) and events[-1].is_final,
        )

    def has_ended(seq: int) -> bool:
        """Return whether the job has expired, or ended with an event that was sent."""
        try:
            current = stores.jobs.get(job.id)
        except (NotFound, Gone):
            return True
        return current.state.is_final and seq >= current.seq

    yield sse.format_start()
    yield from sse.follow(stores, credential, stores.notifier.watch(job.id), read, after, is_over=has_ended)


def owner_events(stores: Stores, credential: Credential, owner: str, after: str) -> Iterator[str]:
    """Yield the events of all jobs of an owner after a stream id, or ``reset`` first if some are no longer stored."""

    def read(after: str, _: ChangeSignal) -> sse.Batch[str]:
        entries = stores.event_log.read_owner(owner, after)
        public_url = stores.settings.public_url
        return sse.Batch(
            [sse.format_event(stream_id, event.type, event_payload(public_url, event)) for stream_id, event in entries],
            entries[-1][0] if entries else after,
            has_more=len(entries) >= BATCH_SIZE,
        )

    # With the id in the first message, a client that is cut off before the first event can resume.
    yield sse.format_start(after)
    oldest = stores.event_log.oldest_stream_id(owner)
    if after != STREAM_START and (oldest == STREAM_START or _parse_stream_id(after) < _parse_stream_id(oldest)):
        yield sse.format_event(after, "reset", RESET)
    changes = stores.notifier.watch_owner(owner)
    yield from sse.follow(stores, credential, changes, read, after, max_s=sse.MAX_STREAM_S)


def _last_job_seq() -> int:
    event_id = sse.last_event_id()
    if not re.fullmatch(r"\d{0,15}", event_id, re.ASCII):
        raise Invalid(problems=[f"Last-Event-ID: {event_id[:40]!r} is not the number of an event."])
    return int(event_id or 0)


def _parse_stream_id(stream_id: str) -> tuple[int, int]:
    milliseconds, number = stream_id.split("-")
    return int(milliseconds), int(number)
