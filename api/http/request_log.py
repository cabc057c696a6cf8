"""Hooks around every request: request id, log line, latency metric, span, and common response headers."""

import re
import secrets
import time
from contextlib import ExitStack

import structlog
from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars

from api.http.context import stores
from api.http.metrics import observe_request
from api.http.rate_limits import add_rate_limit_headers
from api.http.route_policy import current_policy
from ops.processes.tracing import Span, is_tracing, span

REQUEST_ID_PATTERN = re.compile(r"^[\w.-]{1,64}$", re.ASCII)
FIRST_SERVER_ERROR_STATUS = 500
SECURITY_HEADERS = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"))

log = structlog.get_logger(__name__)


def init_request_log(app: Flask) -> None:
    """Install the hooks."""
    app.before_request(_begin)
    app.after_request(_end)


def choose_request_id(client_id: str) -> str:
    """Return the id that the client chose for its request, if it is acceptable, or else a new one."""
    return client_id if REQUEST_ID_PATTERN.match(client_id) else secrets.token_hex(8)


def log_request(method: str, path: str, status: int, seconds: float, **fields: str) -> None:
    """Write the log line of a request."""
    log.info("request", method=method, path=path, status=status, ms=round(seconds * 1000, 1), **fields)


def _begin() -> None:
    g.request_id = choose_request_id(request.headers.get("X-Request-ID", ""))
    g.began = time.perf_counter()
    bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    observe_request(request.endpoint or "unknown", request.method, response.status_code, seconds)
    if current_policy().is_logged and stores().settings.log_requests:
        # The path without the query: that may contain watch tokens.
        log_request(request.method, request.path, response.status_code, seconds)
    for name, value in SECURITY_HEADERS:
        response.headers.setdefault(name, value)
    response.headers["X-Request-ID"] = g.request_id
    return add_rate_limit_headers(response)


def init_request_spans(app: Flask) -> None:
    """Install the hooks of OpenTelemetry, if traces are on. The traceparent of a client continues its trace."""
    if is_tracing():
        app.before_request(_begin_span)
        app.after_request(_describe_span)
        app.teardown_request(_end_span)


def _begin_span() -> None:
    # The span lasts until the response begins. Requests that come many times a second would hide the others.
    if not current_policy().is_logged:
        return
    route = request.url_rule.rule if request.url_rule else "unknown"
    attributes = {"http.request.method": request.method, "http.route": route, "darkroom.request.id": g.request_id}
    g.span_stack = ExitStack()
    g.span = g.span_stack.enter_context(
        span(f"{request.method} {route}", attributes, kind="server", parent=request.headers.get("traceparent"))
    )


def _describe_span(response: Response) -> Response:
    made: Span | None = g.get("span")
    if made:
        made.set({"http.response.status_code": response.status_code})
        if response.status_code >= FIRST_SERVER_ERROR_STATUS:
            made.fail(str(response.status_code))
    return response


def _end_span(_error: BaseException | None) -> None:
    if stack := g.pop("span_stack", None):
        stack.close()
