"""Hooks around every request: request id, log line, latency metric and common response headers."""

import re
import secrets
import time

import structlog
from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars

from api.http.metrics import observe_request
from api.http.rate_limits import add_rate_limit_headers
from api.http.route_policy import current_policy

REQUEST_ID_PATTERN = re.compile(r"^[\w.-]{1,64}$", re.ASCII)
SECURITY_HEADERS = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"))

log = structlog.get_logger(__name__)


def init_request_log(app: Flask) -> None:
    """Install the hooks."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    client_id = request.headers.get("X-Request-ID", "")
    g.request_id = client_id if REQUEST_ID_PATTERN.match(client_id) else secrets.token_hex(8)
    g.began = time.perf_counter()
    bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    observe_request(request.endpoint or "unknown", request.method, response.status_code, seconds)
    if current_policy().is_logged:
        ms = round(seconds * 1000, 1)
        # The path without the query: that may contain watch tokens.
        log.info("request", method=request.method, path=request.path, status=response.status_code, ms=ms)
    for name, value in SECURITY_HEADERS:
        response.headers.setdefault(name, value)
    response.headers["X-Request-ID"] = g.request_id
    return add_rate_limit_headers(response)
