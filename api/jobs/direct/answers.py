"""What direct answers have in common with each other, and with the hooks of Flask, which direct requests do not pass.

The web server asks for a direct answer first; whatever is not the plain case (no key, a session, a repeated header, a
mistake in the request) is left to Flask, which answers it as any other request. Both ways give the same response.
"""

import time
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import cast

from flask import Flask, g

from api.http.error_responses import error_response, unexpected_error_response
from api.http.metrics import observe_request
from api.http.rate_limits import add_rate_limit_headers, rate_limit_headers
from api.http.request_log import SECURITY_HEADERS, log_request
from api.http.route_policy import RoutePolicy
from ops.processes.tracing import is_tracing
from schemas.accounts.caller import Caller, Scope
from schemas.accounts.rate_limits import RateWindow
from schemas.accounts.session_requests import MAX_KEY_LENGTH
from schemas.errors import ServiceError
from stores import Stores

KEY, AUTHORIZATION, REQUEST_ID = "X-API-KEY", "AUTHORIZATION", "X-REQUEST-ID"
# Names are in upper case, as the web server gives them.
USED_HEADERS = frozenset({KEY, AUTHORIZATION, REQUEST_ID})
NO_HEADERS: list[tuple[str, str]] = []


@dataclass(frozen=True, slots=True)
class DirectAnswer:
    """A response: status line, header fields and body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class DirectAnswers:
    """The direct answers of one application to one kind of request."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._stores = cast(Stores, app.extensions["stores"])
        self._policies: dict[str, RoutePolicy] = app.extensions["route_policies"]
        # Responses to pages of other origins have further header fields, which an extension of Flask adds.
        self._is_enabled = not self._stores.settings.cors_origins

    def _is_answered(self, endpoint: str) -> bool:
        """Whether requests to a route may be answered directly: logged ones have spans, which Flask's hooks make."""
        return self._is_enabled and not (self._policies[endpoint].is_logged and is_tracing())

    def _is_logged(self, endpoint: str) -> bool:
        return self._policies[endpoint].is_logged and self._stores.settings.log_requests

    def _authenticate(self, used: dict[str, str], scope: Scope) -> Caller | None:
        """Return the caller, if a key proves who it is and has the scope."""
        key = _key(used)
        if not key or len(key) > MAX_KEY_LENGTH:
            return None
        caller = self._stores.api_keys.authenticate(key)
        return caller if caller and caller.has_scope(scope) else None

    def _build_error(
        self, method: str, path: str, error: Exception, request_id: str, window: RateWindow | None
    ) -> DirectAnswer:
        """Return the answer for an error that Flask must not meet again, because something has been done already."""
        with self._app.test_request_context(path, method=method):
            g.request_id, g.window = request_id, window
            response = error_response(error) if isinstance(error, ServiceError) else unexpected_error_response(error)
            add_rate_limit_headers(response)
        headers = [*response.headers, *common_headers(request_id, None)]
        return DirectAnswer(response.status, headers, response.get_data())

    def _record(self, endpoint: str, method: str, path: str, answer: DirectAnswer, began: float) -> None:
        """Count a request in the metrics and write its log line, if it has one."""
        seconds = time.perf_counter() - began
        status = int(answer.status[:3])
        observe_request(endpoint, method, status, seconds)
        if self._is_logged(endpoint):
            log_request(method, path, status, seconds, request_id=answer.headers[-1][1])


def common_headers(request_id: str, window: RateWindow | None) -> list[tuple[str, str]]:
    """Return the header fields of every response; the last one is the request's id."""
    return [
        *SECURITY_HEADERS,
        *(rate_limit_headers(window) if window else NO_HEADERS),
        ("X-Request-ID", request_id),
    ]


def pick(headers: Iterable[tuple[str, str]], names: Container[str]) -> dict[str, str] | None:
    """Return the values of the header fields that matter; None if one of them is repeated."""
    used: dict[str, str] = {}
    for name, value in headers:
        if name in names:
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
