"""Answers to status requests without Flask.

Old clients ask for the status of a job twenty times a second, and Flask's own work takes longer than the answer. The
error that Redis does not answer is reported here too, because Flask would wait for Redis once more; all other errors,
and limits that are reached, are left to Flask.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flask import Flask
from structlog.contextvars import bound_contextvars
from werkzeug.http import parse_etags

from api.http.request_log import choose_request_id
from api.http.route_policy import RateLimit
from api.jobs.direct.answers import REQUEST_ID, USED_HEADERS, DirectAnswer, DirectAnswers, common_headers, pick
from api.jobs.serializers import STATUS_CACHE_CONTROL, estimate_eta_s, job_etag, native_job, weights_status
from schemas.accounts.caller import Caller, Scope
from schemas.accounts.rate_limits import RateWindow
from schemas.errors import ServiceError, Unavailable
from stores.jobs.shared.job_copies import JobCopy

PATH = re.compile(r"(/status/|/api/v1/jobs/)([0-9a-f]{32})")
ENDPOINTS: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "/status/": ("weights.status", weights_status),
    "/api/v1/jobs/": ("jobs.read", native_job),
}
IF_NONE_MATCH = "IF-NONE-MATCH"
STATUS_HEADERS = USED_HEADERS | {IF_NONE_MATCH}


@dataclass(frozen=True, slots=True)
class _Route:
    endpoint: str
    serialize: Callable[..., dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Body:
    """The JSON of a job at the time when its ETA was ``eta_s``, and the header fields that belong to it."""

    eta_s: float | None
    data: bytes
    etag: str
    headers: list[tuple[str, str]]


class DirectStatus(DirectAnswers):
    """The direct answers of one application to GET requests."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self._dumps = app.json.dumps
        self._routes = {
            prefix: _Route(endpoint, serialize)
            for prefix, (endpoint, serialize) in ENDPOINTS.items()
            if self._is_answered(endpoint)
        }

    def answer(self, path: str, headers: Iterable[tuple[str, str]]) -> DirectAnswer | None:
        """Return the response to a GET request without query and body; None if Flask has to give it.

        Names of ``headers`` are in upper case.
        """
        began = time.perf_counter()
        match = PATH.fullmatch(path)
        route = self._routes.get(match[1]) if match else None
        used = pick(headers, STATUS_HEADERS) if route else None
        if match is None or route is None or used is None:
            return None
        answer = self._answer(route, path, match[2], used)
        if answer is not None:
            self._record(route.endpoint, "GET", path, answer, began)
        return answer

    def _answer(self, route: _Route, path: str, job_id: str, used: dict[str, str]) -> DirectAnswer | None:
        try:
            caller = self._authenticate(used, Scope.READ)
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
        request_id = choose_request_id(used.get(REQUEST_ID, ""))
        if isinstance(copy, JobCopy):
            return self._build(route, copy, used, request_id, window)
        with bound_contextvars(request_id=request_id):
            return self._build_error("GET", path, copy, request_id, window)

    def _read(self, job_id: str) -> JobCopy | Unavailable:
        try:
            return self._stores.job_copies.read(job_id)
        except Unavailable as error:
            return error

    def _is_limit_reached(self, caller: Caller) -> bool:
        limits = self._stores.rate_limits
        return limits.is_used_up_locally(RateLimit.STATUS, limits.defaults.status, caller.id)

    def _count(self, caller: Caller) -> RateWindow | None:
        limits = self._stores.rate_limits
        rate = limits.defaults.status
        return None if rate.is_unlimited else limits.hit_local(RateLimit.STATUS, rate, caller.id)

    def _build(
        self, route: _Route, copy: JobCopy, used: dict[str, str], request_id: str, window: RateWindow | None
    ) -> DirectAnswer:
        body = self._body(route, copy)
        known = used.get(IF_NONE_MATCH)
        is_known = known is not None and parse_etags(known).contains_weak(body.etag)
        headers = [*(body.headers[2:] if is_known else body.headers), *common_headers(request_id, window)]
        return (
            DirectAnswer("304 NOT MODIFIED", headers, b"") if is_known else DirectAnswer("200 OK", headers, body.data)
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
