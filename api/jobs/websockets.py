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
from api.http.rate_limits import count_stranger
from api.http.websocket import NORMAL, TRY_LATER, GoneError, SlowReaderError, Upgraded, WebSocket
from schemas.errors import Forbidden, Gone, NotFound, Unauthorized, Unavailable
from schemas.jobs.event_payloads import picture_link, progress_message
from schemas.jobs.generaitiv_requests import job_id_of
from schemas.jobs.job import Job, Progress
from schemas.jobs.lifecycle import JobState
from stores import Stores

PATHS = ("/", "/ws", "/v1/ws", "/production")
PING_INTERVAL_S = 25.0
# For how long a look of somebody else at the same job is believed.
BELIEVED_S = 5.0
MOST_OF_ONE_PASS = 8
FAULT, RESTARTING, NO_SUCH_JOB = 1011, 1012, 4404
CLOSED_WITH: dict[type[Exception], int] = {Unauthorized: 4401, Forbidden: 4403}
BYTES = "binary"

blueprint = Blueprint("sockets", __name__)
blueprint.before_request(count_stranger)
log = structlog.get_logger(__name__)
_open: Counter[str] = Counter()
_counting = threading.Lock()


def listen() -> Upgraded:
    """Tell a client of one job until the job, the client or this process ends."""
    try:
        socket = WebSocket(request.environ)
    except GoneError:
        return Upgraded()
    try:
        _serve(stores(), socket, request.args)
    except (SlowReaderError, GoneError):
        log.debug("socket.gone")
    except Exception:
        log.exception("socket.fault")
        socket.close(FAULT)
    finally:
        socket.close(NORMAL)
    return Upgraded()


for path in PATHS:
    blueprint.add_url_rule(path, f"listen_at_{path.strip('/').replace('/', '_')}", listen, websocket=True)


def _serve(stores: Stores, socket: WebSocket, asked: Mapping[str, str]) -> None:
    try:
        _check_origin(stores)
        job_id = job_id_of(asked.get("id", ""))
        with _counted(stores.passes.check(asked.get("jwt", ""), job_id)):
            _tell(stores, socket, job_id, asked.get("previews", ""))
    except Unavailable as error:
        # Not an ERROR, for that would be the job's end.
        socket.close(TRY_LATER, error.code)
    except (Unauthorized, Forbidden, NotFound, Gone) as error:
        socket.text(_error(error.message, error.code))
        socket.close(CLOSED_WITH.get(type(error), NO_SUCH_JOB), error.code)


def _check_origin(stores: Stores) -> None:
    origin, allowed = request.headers.get("Origin"), stores.settings.socket_origins
    if origin and allowed and origin not in allowed:
        raise Forbidden("Pages of this origin may not listen here.")


@contextmanager
def _counted(name: str) -> Iterator[None]:
    with _counting:
        if _open[name] >= MOST_OF_ONE_PASS:
            raise Unauthorized(f"This pass is in use {MOST_OF_ONE_PASS} times already.")
        _open[name] += 1
    try:
        yield
    finally:
        with _counting:
            _open[name] -= 1
            if not _open[name]:
                del _open[name]


def _tell(stores: Stores, socket: WebSocket, job_id: str, previews: str) -> None:
    """Subscribe, then look, then tell what is new: nothing that happens in between is missed."""
    told, preview = "", 0
    ping_at = time.monotonic() + PING_INTERVAL_S
    with stores.changes.watch(job_id) as watch:
        socket.on_close = watch.tell
        since, told_of_change = stores.glances.now(), True
        while True:
            job = stores.glances.at(job_id, watch.newest if told_of_change else 0, since)
            message = job_message(stores.settings.public_url, job)
            if message != told:
                told = message
                socket.text(message)
            if job.state.final:
                return socket.close(NORMAL)
            if job.preview_version != preview:
                # None from the end of an attempt to the next one's first.
                preview = job.preview_version
                if previews and preview:
                    _send_preview(stores, socket, job, previews)
            if socket.closed:
                return None
            if watch.closing:
                return socket.close(RESTARTING, "this process stops; connect again")
            told_of_change = watch.wait(ping_at - time.monotonic())
            if not watch.newest or not told_of_change:
                # Words of changes may have been lost on their way: this look finds what they would have said.
                since = stores.glances.now() - (0 if told_of_change else BELIEVED_S)
            if time.monotonic() >= ping_at:
                ping_at = time.monotonic() + PING_INTERVAL_S
                socket.ping()


def job_message(public_url: str, job: Job) -> str:
    """Where a job is, in one message; the newest says all, so that a slow client may miss those before."""
    if job.state is JobState.COMPLETED:
        return json.dumps({"type": "COMPLETED", "link": picture_link(public_url, job.id, job.results[0].type)})
    if job.error:
        return _error(job.error.message, job.error.code)
    return _in_progress(job.progress)


@lru_cache(maxsize=1024)
def _in_progress(progress: Progress | None) -> str:
    """Many watch one job, and are told the same."""
    message = progress_message(asdict(progress)) if progress else {}
    return json.dumps({"type": "IN_PROGRESS"} | ({"message": message} if message else {}))


def _send_preview(stores: Stores, socket: WebSocket, job: Job, previews: str) -> None:
    if previews != BYTES:
        url = f"{stores.settings.public_url}/{job.id}.jpg?version={job.preview_version}"
        socket.text(json.dumps({"type": "PREVIEW", "url": url, "version": job.preview_version}))
    elif preview := stores.results.preview(job.id):
        socket.binary(preview)


def _error(message: str, code: str) -> str:
    return json.dumps({"type": "ERROR", "message": message, "code": code})
