"""Answers to status requests without Flask.

Old clients ask for the status of a job twenty times a second, and Flask's own work takes longer than the answer. The
web server asks ``DirectStatus`` first; whatever is not the plain case (no key, a session, a query, an error, a limit
that is reached) is left to Flask, which answers it as any other request. Both ways give the same response. Only the
error that Redis does not answer is reported here, because Flask would wait for Redis once more.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from flask import Flask, g
from structlog.contextvars import bound_contextvars
from werkzeug.http import parse_etags

from api.http.error_responses import error_response
from api.http.metrics import observe_request
from api.http.rate_limits import rate_limit_headers
from api.http.request_log import SECURITY_HEADERS, choose_request_id, log_request
from api.http.route_policy import RateLimit, RoutePolicy
from api.jobs.serializers import STATUS_CACHE_CONTROL, estimate_eta_s, job_etag, native_job, weights_status
from ops.processes.tracing import is_tracing
from schemas.accounts.caller import Caller, Scope
from schemas.accounts.rate_limits import RateWindow
from schemas.accounts.session_requests import MAX_KEY_LENGTH
from schemas.errors import ServiceError, Unavailable
from stores import Stores
from stores.jobs.shared.job_copies import JobCopy

PATH = re.compile(r"(/status/|/api/v1/jobs/)([0-9a-f]{32})")
ENDPOINTS: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "/status/": ("weights.status", weights_status),
    "/api/v1/jobs/": ("jobs.read", native_job),
}
KEY, AUTHORIZATION, IF_NONE_MATCH, REQUEST_ID = "X-API-KEY", "AUTHORIZATION", "IF-NONE-MATCH", "X-REQUEST-ID"
USED_HEADERS = frozenset({KEY, AUTHORIZATION, IF_NONE_MATCH, REQUEST_ID})
NO_HEADERS: list[tuple[str, str]] = []


@dataclass(frozen=True, slots=True)
class DirectAnswer:
    """A response: status line, header fields and body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Route:
    endpoint: str
    serialize: Callable[..., dict[str, Any]]
    is_logged: bool


@dataclass(frozen=True, slots=True)
class _Body:
    """The JSON of a job at the time when its ETA was ``eta_s``, and the header fields that belong to it."""

    eta_s: float | None
    data: bytes
    etag: str
    headers: list[tuple[str, str]]


class DirectStatus:
    """The direct answers of one application."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._stores = cast(Stores, app.extensions["stores"])
        self._dumps = app.json.dumps
        # Responses to pages of other origins have further header fields, which an extension of Flask adds.
        self._is_enabled = not self._stores.settings.cors_origins
        policies: dict[str, RoutePolicy] = app.extensions["route_policies"]
        self._routes = {
            prefix: _Route(endpoint, serialize, policies[endpoint].is_logged and self._stores.settings.log_requests)
            for prefix, (endpoint, serialize) in ENDPOINTS.items()
            # Logged requests have spans, which Flask's hooks make.
            if not (policies[endpoint].is_logged and is_tracing())
        }

    def answer(self, path: str, headers: Iterable[tuple[str, str]]) -> DirectAnswer | None:
        """Return the response to a GET request without query and body; None if Flask has to give it.

        Names of ``headers`` are in upper case.
        """
        began = time.perf_counter()
        match = PATH.fullmatch(path) if self._is_enabled else None
        route = self._routes.get(match[1]) if match else None
        used = _pick(headers) if route else None
        if match is None or route is None or used is None:
            return None
        answer = self._answer(route, path, match[2], used)
        if answer is None:
            return None
        seconds = time.perf_counter() - began
        status = int(answer.status[:3])
        observe_request(route.endpoint, "GET", status, seconds)
        if route.is_logged:
            log_request("GET", path, status, seconds, request_id=answer.headers[-1][1])
        return answer

    def _answer(self, route: _Route, path: str, job_id: str, used: dict[str, str]) -> DirectAnswer | None:
        try:
            caller = self._authenticate(used)
            # Before the read: the limit also protects Redis.
            if caller is None or self._is_limit_reached(caller):
                return None
            copy = self._read(job_id)
        except ServiceError:
            # Flask meets the same error, and reports it.
            return None
        if isinstance(copy, JobCopy) and copy.job.owner != caller.id:
            return None
        window = self._count(caller)
        if window is not None and window.is_exceeded:
            return None
        if isinstance(copy, JobCopy):
            return self._build(route, copy, used, window)
        return self._build_error(path, copy, used, window)

    def _read(self, job_id: str) -> JobCopy | Unavailable:
        try:
            return self._stores.job_copies.read(job_id)
        except Unavailable as error:
            return error

    def _authenticate(self, used: dict[str, str]) -> Caller | None:
        """Return the caller, if a key proves who it is and may read."""
        key = _key(used)
        if not key or len(key) > MAX_KEY_LENGTH:
            return None
        caller = self._stores.api_keys.authenticate(key)
        return caller if caller and caller.has_scope(Scope.READ) else None

    def _is_limit_reached(self, caller: Caller) -> bool:
        limits = self._stores.rate_limits
        return limits.is_used_up_locally(RateLimit.STATUS, limits.defaults.status, caller.id)

    def _count(self, caller: Caller) -> RateWindow | None:
        limits = self._stores.rate_limits
        rate = limits.defaults.status
        return None if rate.is_unlimited else limits.hit_local(RateLimit.STATUS, rate, caller.id)

    def _build(self, route: _Route, copy: JobCopy, used: dict[str, str], window: RateWindow | None) -> DirectAnswer:
        body = self._body(route, copy)
        known = used.get(IF_NONE_MATCH)
        is_known = known is not None and parse_etags(known).contains_weak(body.etag)
        headers = [
            *(body.headers[2:] if is_known else body.headers),
            *_common_headers(choose_request_id(used.get(REQUEST_ID, "")), window),
        ]
        return (
            DirectAnswer("304 NOT MODIFIED", headers, b"") if is_known else DirectAnswer("200 OK", headers, body.data)
        )

    def _build_error(
        self, path: str, error: Unavailable, used: dict[str, str], window: RateWindow | None
    ) -> DirectAnswer:
        request_id = choose_request_id(used.get(REQUEST_ID, ""))
        with self._app.test_request_context(path), bound_contextvars(request_id=request_id):
            g.request_id = request_id
            response = error_response(error)
        return DirectAnswer(
            response.status, [*response.headers, *_common_headers(request_id, window)], response.get_data()
        )

    def _body(self, route: _Route, copy: JobCopy) -> _Body:
        job, estimate = copy.job, copy.estimate
        eta_s = estimate_eta_s(self._stores, job, estimate)
        body: _Body | None = copy.responses.get(route.endpoint)
        if body is None or body.eta_s != eta_s:
            data = self._dumps(route.serialize(self._stores, job, estimate)).encode()
            etag = job_etag(job, estimate)
            headers = [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(data))),
                ("ETag", f'W/"{etag}"'),
                ("Cache-Control", STATUS_CACHE_CONTROL),
            ]
            body = copy.responses[route.endpoint] = _Body(eta_s, data, etag, headers)
        return body


def _common_headers(request_id: str, window: RateWindow | None) -> list[tuple[str, str]]:
    return [
        *SECURITY_HEADERS,
        *(rate_limit_headers(window) if window else NO_HEADERS),
        ("X-Request-ID", request_id),
    ]


def _pick(headers: Iterable[tuple[str, str]]) -> dict[str, str] | None:
    """Return the values of the header fields that matter here; None if one of them is repeated."""
    used: dict[str, str] = {}
    for name, value in headers:
        if name in USED_HEADERS:
            if name in used:
                return None
            used[name] = value
    return used


def _key(used: dict[str, str]) -> str:
    """Return the key of a request that states it in one of the two usual ways, or ``""``."""
    if key := used.get(KEY, "").strip():
        return key
    scheme, _, credentials = used.get(AUTHORIZATION, "").strip().partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else ""
