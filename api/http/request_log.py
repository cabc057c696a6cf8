"""What happens around every request: its id, its line in the log, its time in the metrics, its headers."""

import re
import secrets
import time

import structlog
from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars

from api.http.metrics import observe_request
from api.http.rate_limits import add_rate_limit_headers

REQUEST_ID_PATTERN = re.compile(r"^[\w.-]{1,64}$", re.ASCII)
# Clients ask for these many times a second; their figures are in the metrics.
UNLOGGED_ENDPOINTS = frozenset({"weights.read_health", "weights.status", "pictures.picture", "metrics.metrics"})
SECURITY_HEADERS = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"))

log = structlog.get_logger(__name__)


def init_request_log(app: Flask) -> None:
    """Put the hooks in place."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if REQUEST_ID_PATTERN.match(given) else secrets.token_hex(8)
    g.began = time.perf_counter()
    bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    endpoint = request.endpoint or "unknown"
    observe_request(endpoint, request.method, response.status_code, seconds)
    if endpoint not in UNLOGGED_ENDPOINTS:
        ms = round(seconds * 1000, 1)
        log.info("request", method=request.method, path=request.path, status=response.status_code, ms=ms)
    for name, value in SECURITY_HEADERS:
        response.headers.add(name, value)
    response.headers.add("X-Request-ID", g.request_id)
    return add_rate_limit_headers(response)
