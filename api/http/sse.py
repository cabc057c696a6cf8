"""Server-sent events: the response, the format of events, and the loop that follows a source of events.

A stream ends when its source ends, its key or session ends, this process stops, or the client does not read. Clients
reconnect with the header ``Last-Event-ID`` and get everything after that event.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flask import Response, request

from schemas.errors import Invalid
from stores import Stores
from stores.accounts.key_revocation import Credential
from stores.redis.pubsub import ChangeSignal

HEARTBEAT_S = 15.0
# Proxies and clients close connections that stay silent.
HEARTBEAT = ": keep-alive\n\n"
RETRY_MS = 1000
MAX_STREAM_S = 600.0
SEND_TIMEOUT_S = 30.0
# Without X-Accel-Buffering, nginx would collect events before it sends them.
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
STREAM_ID = re.compile(r"\d{1,18}-\d{1,18}", re.ASCII)
# Without a type: some tools take the schema for that of the stream, some for that of an event.
STREAM = {"description": "Server-sent events: docs/watching.md of Darkroom describes them."}
LAST_EVENT_ID_PARAMETER = {
    "in": "header",
    "name": "Last-Event-ID",
    "schema": {"type": "string", "pattern": "^([0-9]{1,18}-[0-9]{1,18})?$"},
    "description": "The `id` of the last event that the client received; as a query parameter, `lastEventId`.",
    "example": "1747493741218-0",
}

Position = TypeVar("Position")


@dataclass(frozen=True, slots=True)
class Batch(Generic[Position]):
    """Formatted events from one read, and the position after them.

    ``has_more`` asks for another read at once; ``is_last`` ends the stream.
    """

    messages: list[str]
    position: Position
    has_more: bool = False
    is_last: bool = False


def sse_response(messages: Iterator[str]) -> Response:
    """Return the streaming response; it is aborted if the client reads nothing for ``SEND_TIMEOUT_S``."""
    if connection := request.environ.get("gunicorn.socket"):
        connection.settimeout(SEND_TIMEOUT_S)
    return Response(messages, mimetype="text/event-stream", headers=HEADERS)


def format_start(event_id: str | None = None) -> str:
    """Return the first message: the reconnect delay, and the id to resume from until the first event."""
    return f"retry: {RETRY_MS}\n" + (f"id: {event_id}\n" if event_id else "") + "\n"


def format_event(event_id: str, event_type: str, payload: Mapping[str, Any]) -> str:
    """Return an event as text."""
    return f"id: {event_id}\nevent: {event_type}\ndata: {json.dumps(payload)}\n\n"


def follow(
    stores: Stores,
    credential: Credential,
    changes: AbstractContextManager[ChangeSignal],
    read: Callable[[Position, ChangeSignal], Batch[Position]],
    position: Position,
    *,
    max_s: float = float("inf"),
    is_over: Callable[[Position], bool] = lambda _: False,
) -> Iterator[str]:
    """Yield the messages that ``read`` returns, then wait for changes and read again.

    ``is_over`` is called on every heartbeat, in case the event that ends the stream was lost. After ``max_s`` the
    client has to reconnect, which authenticates it again.
    """
    ends_at = time.monotonic() + max_s
    with changes as signal, stores.key_revocation.watch(credential, signal):
        while not signal.revoked:
            batch = read(position, signal)
            position = batch.position
            yield from batch.messages
            if batch.is_last or signal.closing or time.monotonic() > ends_at:
                return
            if not batch.has_more and not signal.wait(HEARTBEAT_S):
                yield HEARTBEAT
                if is_over(position):
                    return


def last_event_id() -> str:
    """Return ``Last-Event-ID``, or the query parameter ``lastEventId``; empty without either."""
    return request.headers.get("Last-Event-ID") or request.args.get("lastEventId", "")


def last_stream_id() -> str:
    """Return the last event id of a stream with Redis stream ids; empty if there is none.

    Raises:
        Invalid: it is no such id.
    """
    event_id = last_event_id()
    if event_id and not STREAM_ID.fullmatch(event_id):
        raise Invalid(problems=[f"Last-Event-ID: {event_id[:40]!r} is not the id of an event of this stream."])
    return event_id
