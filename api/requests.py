"""Owns what happens around every request: its id, its line in the log, its time in the metrics, its headers."""

import re
import secrets
import time

import structlog
from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars, clear_contextvars

from api.metrics import observe_request

REQUEST_ID = re.compile(r"^[\w.-]{1,64}$")
QUIET = frozenset({"weights.read_health", "weights.status", "pictures.picture", "metrics.metrics"})
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

log = structlog.get_logger(__name__)


def watch_requests(app: Flask) -> None:
    """Put the hooks in place."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if REQUEST_ID.match(given) else secrets.token_hex(8)
    g.began = time.perf_counter()
    clear_contextvars()
    bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    endpoint = request.endpoint or "unknown"
    observe_request(endpoint, request.method, response.status_code, seconds)
    write = log.debug if endpoint in QUIET else log.info
    path = request.path
    write("request", method=request.method, path=path, status=response.status_code, ms=round(seconds * 1000, 1))
    response.headers["X-Request-ID"] = g.request_id
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
