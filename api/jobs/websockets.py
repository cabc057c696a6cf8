"""WebSockets that report one job: its current state, every change, its end.

A client needs the job's watch token (``stores.jobs.watch_tokens``) instead of an API key. Messages state the whole
current state, so a client that misses some loses nothing.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache

import structlog
from flask import Blueprint, request

from api.http.context import stores
from api.http.rate_limits import count_anonymous
from api.http.websocket import (
    CLOSE_NORMAL,
    CLOSE_TRY_AGAIN_LATER,
    ConnectionClosedError,
    SlowConsumerError,
    WebSocket,
    WebSocketResponse,
)
from schemas.errors import Forbidden, Gone, NotFound, Unauthorized, Unavailable
from schemas.jobs.event_payloads import progress_payload, result_image_url
from schemas.jobs.generaitiv_requests import parse_workload_id
from schemas.jobs.job import Job, Progress
from schemas.jobs.lifecycle import JobState
from stores import Stores

PATHS = ("/", "/ws", "/v1/ws", "/production")
PING_INTERVAL_S = 25.0
# Maximum age of a read by another client when no change was announced.
SHARED_READ_TTL_S = 5.0
MAX_CONNECTIONS_PER_TOKEN = 8
CLOSE_INTERNAL_ERROR, CLOSE_SERVICE_RESTART, CLOSE_NO_SUCH_JOB = 1011, 1012, 4404
CLOSE_CODES: dict[type[Exception], int] = {Unauthorized: 4401, Forbidden: 4403}
BINARY = "binary"

blueprint = Blueprint("sockets", __name__)
blueprint.before_request(count_anonymous)
log = structlog.get_logger(__name__)
_connections_by_token: Counter[str] = Counter()
_connections_lock = threading.Lock()


def serve_job_updates() -> WebSocketResponse:
    """Report a job to a client until the job ends, the client disconnects or this process stops."""
    try:
        socket = WebSocket(request.environ)
    except ConnectionClosedError:
        return WebSocketResponse()
    try:
        _serve(stores(), socket, request.args)
    except (SlowConsumerError, ConnectionClosedError):
        log.debug("socket.gone")
    except Exception:
        log.exception("socket.fault")
        socket.close(CLOSE_INTERNAL_ERROR)
    finally:
        socket.close(CLOSE_NORMAL)
    return WebSocketResponse()


for path in PATHS:
    blueprint.add_url_rule(path, f"listen_at_{path.strip('/').replace('/', '_')}", serve_job_updates, websocket=True)


def _serve(stores: Stores, socket: WebSocket, query: Mapping[str, str]) -> None:
    # Errors are reported after the upgrade: browsers do not show pages the response to a failed handshake.
    try:
        _check_origin(stores)
        job_id = parse_workload_id(query.get("id", ""))
        with _connection_slot(stores.watch_tokens.verify(query.get("jwt", ""), job_id)):
            _stream_updates(stores, socket, job_id, query.get("previews", ""))
    except Unavailable as error:
        # No ERROR message: to clients that means that the job has failed.
        socket.close(CLOSE_TRY_AGAIN_LATER, error.code)
    except (Unauthorized, Forbidden, NotFound, Gone) as error:
        socket.send_text(_error_message(error.message, error.code))
        socket.close(CLOSE_CODES.get(type(error), CLOSE_NO_SUCH_JOB), error.code)


def _check_origin(stores: Stores) -> None:
    origin, allowed = request.headers.get("Origin"), stores.settings.socket_origins
    if origin and allowed and origin not in allowed:
        raise Forbidden("Pages of this origin are not allowed to connect (SOCKET_ORIGINS).")


@contextmanager
def _connection_slot(token_id: str) -> Iterator[None]:
    """Count a connection of a token in this process; raises Unauthorized if it has too many."""
    with _connections_lock:
        if _connections_by_token[token_id] >= MAX_CONNECTIONS_PER_TOKEN:
            raise Unauthorized(f"The watch token is in use {MAX_CONNECTIONS_PER_TOKEN} times already.")
        _connections_by_token[token_id] += 1
    try:
        yield
    finally:
        with _connections_lock:
            _connections_by_token[token_id] -= 1
            if not _connections_by_token[token_id]:
                del _connections_by_token[token_id]


def _stream_updates(stores: Stores, socket: WebSocket, job_id: str, previews: str) -> None:
    """Send the job's state after every change.

    Subscribing comes before the first read, so that no change in between is missed.
    """
    sent, preview_version = "", 0
    ping_at = time.monotonic() + PING_INTERVAL_S
    with stores.notifier.watch(job_id) as signal:
        socket.on_close = signal.notify
        since, was_notified = stores.shared_reads.timestamp(), True
        while True:
            job = stores.shared_reads.read_since(job_id, signal.newest_seq if was_notified else 0, since)
            message = job_message(stores.settings.public_url, job)
            if message != sent:
                sent = message
                socket.send_text(message)
            if job.state.is_final:
                return socket.close(CLOSE_NORMAL)
            if job.preview_version != preview_version:
                # 0 from the end of an attempt to the first preview of the next one.
                preview_version = job.preview_version
                if previews and preview_version:
                    _send_preview(stores, socket, job, previews)
            if socket.closed:
                return None
            if signal.closing:
                return socket.close(CLOSE_SERVICE_RESTART, "this process is stopping; connect again")
            was_notified = signal.wait(ping_at - time.monotonic())
            if not signal.newest_seq or not was_notified:
                # Notifications may have been lost, so earlier reads must not be reused.
                since = stores.shared_reads.timestamp() - (0 if was_notified else SHARED_READ_TTL_S)
            if time.monotonic() >= ping_at:
                ping_at = time.monotonic() + PING_INTERVAL_S
                socket.ping()


def job_message(public_url: str, job: Job) -> str:
    """Return the message that states the job's current state."""
    if job.state is JobState.COMPLETED:
        return json.dumps({"type": "COMPLETED", "link": result_image_url(public_url, job.id, job.results[0].type)})
    if job.error:
        return _error_message(job.error.message, job.error.code)
    return _in_progress_message(job.progress)


# Many clients watch one job and get the same message.
@lru_cache(maxsize=1024)
def _in_progress_message(progress: Progress | None) -> str:
    message = progress_payload(asdict(progress)) if progress else {}
    return json.dumps({"type": "IN_PROGRESS"} | ({"message": message} if message else {}))


def _send_preview(stores: Stores, socket: WebSocket, job: Job, previews: str) -> None:
    if previews != BINARY:
        url = f"{stores.settings.public_url}/{job.id}.jpg?version={job.preview_version}"
        socket.send_text(json.dumps({"type": "PREVIEW", "url": url, "version": job.preview_version}))
    elif preview := stores.results.get_preview(job.id):
        socket.send_bytes(preview)


def _error_message(message: str, code: str) -> str:
    return json.dumps({"type": "ERROR", "message": message, "code": code})
