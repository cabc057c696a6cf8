"""The WebSocket on which a job is watched: where it is, then every change, then its end.

Anybody with the job's pass may listen (``stores.jobs.watch_tokens``); nobody may say anything.
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
# For how long a look of somebody else at the same job is believed.
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
    """Tell a client of one job until the job, the client or this process ends."""
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
    try:
        _check_origin(stores)
        job_id = parse_workload_id(query.get("id", ""))
        with _connection_slot(stores.watch_tokens.verify(query.get("jwt", ""), job_id)):
            _stream_updates(stores, socket, job_id, query.get("previews", ""))
    except Unavailable as error:
        # Not an ERROR, for that would be the job's end.
        socket.close(CLOSE_TRY_AGAIN_LATER, error.code)
    except (Unauthorized, Forbidden, NotFound, Gone) as error:
        socket.send_text(_error_message(error.message, error.code))
        socket.close(CLOSE_CODES.get(type(error), CLOSE_NO_SUCH_JOB), error.code)


def _check_origin(stores: Stores) -> None:
    origin, allowed = request.headers.get("Origin"), stores.settings.socket_origins
    if origin and allowed and origin not in allowed:
        raise Forbidden("Pages of this origin may not listen here.")


@contextmanager
def _connection_slot(token_id: str) -> Iterator[None]:
    with _connections_lock:
        if _connections_by_token[token_id] >= MAX_CONNECTIONS_PER_TOKEN:
            raise Unauthorized(f"This pass is in use {MAX_CONNECTIONS_PER_TOKEN} times already.")
        _connections_by_token[token_id] += 1
    try:
        yield
    finally:
        with _connections_lock:
            _connections_by_token[token_id] -= 1
            if not _connections_by_token[token_id]:
                del _connections_by_token[token_id]


def _stream_updates(stores: Stores, socket: WebSocket, job_id: str, previews: str) -> None:
    """Subscribe, then look, then tell what is new: nothing that happens in between is missed."""
    told, preview = "", 0
    ping_at = time.monotonic() + PING_INTERVAL_S
    with stores.notifier.watch(job_id) as watch:
        socket.on_close = watch.notify
        since, told_of_change = stores.shared_reads.timestamp(), True
        while True:
            job = stores.shared_reads.read_since(job_id, watch.newest_seq if told_of_change else 0, since)
            message = job_message(stores.settings.public_url, job)
            if message != told:
                told = message
                socket.send_text(message)
            if job.state.is_final:
                return socket.close(CLOSE_NORMAL)
            if job.preview_version != preview:
                # None from the end of an attempt to the next one's first.
                preview = job.preview_version
                if previews and preview:
                    _send_preview(stores, socket, job, previews)
            if socket.closed:
                return None
            if watch.closing:
                return socket.close(CLOSE_SERVICE_RESTART, "this process stops; connect again")
            told_of_change = watch.wait(ping_at - time.monotonic())
            if not watch.newest_seq or not told_of_change:
                # Words of changes may have been lost on their way: this look finds what they would have said.
                since = stores.shared_reads.timestamp() - (0 if told_of_change else SHARED_READ_TTL_S)
            if time.monotonic() >= ping_at:
                ping_at = time.monotonic() + PING_INTERVAL_S
                socket.ping()


def job_message(public_url: str, job: Job) -> str:
    """Where a job is, in one message; the newest says all, so that a slow client may miss those before."""
    if job.state is JobState.COMPLETED:
        return json.dumps({"type": "COMPLETED", "link": result_image_url(public_url, job.id, job.results[0].type)})
    if job.error:
        return _error_message(job.error.message, job.error.code)
    return _in_progress_message(job.progress)


@lru_cache(maxsize=1024)
def _in_progress_message(progress: Progress | None) -> str:
    """Many watch one job, and are told the same."""
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
