"""Translation of errors into HTTP responses, in the format of each API.

Formats: ``native_body`` for ``/api``, ``library_body`` for the model library, keys and sessions, ``generaitiv_body``
for ``/v1``, and ``weights_body`` for everything else. Blueprints choose theirs (``api.http.route_policy``).
"""

from typing import Any, cast

import structlog
from flask import Flask, Response, current_app, g, jsonify, request
from werkzeug.exceptions import HTTPException

from api.http.rate_limits import report_limit
from api.http.route_policy import ErrorFormat, current_policy, described_by
from schemas.errors import (
    Gone,
    Invalid,
    LimitReached,
    NotFound,
    PaymentRequired,
    ServiceError,
    Unauthorized,
    Unavailable,
)
from schemas.fields import flatten_errors
from schemas.http.error_bodies import GeneraitivError, LibraryError, NativeError, WeightsError, WeightsStatusError

MISSING_KEY_MESSAGE = "Missing or invalid Authorization header"
HTTP_UNPROCESSABLE = 422
# Problem type of the IETF draft on RateLimit headers.
QUOTA_EXCEEDED_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"
CODES = {
    400: "invalid",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}

log = structlog.get_logger(__name__)


def init_error_handlers(app: Flask) -> None:
    """Translate every exception of a request into a JSON response."""
    app.register_error_handler(ServiceError, error_response)
    app.register_error_handler(HTTPException, http_error_response)
    app.register_error_handler(Exception, unexpected_error_response)
    app.extensions["error_formats"] = {"/": weights_body, "/api": native_body}


def error_response(error: ServiceError) -> Response:
    """Return the response for an error of this application."""
    if isinstance(error, Unavailable):
        log.warning("unavailable", error=str(error))
    response = jsonify(_error_format()(error))
    response.status_code = error.status
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, LimitReached):
        report_limit(error)
    return response


def http_error_response(error: HTTPException) -> Response:
    """Return the response for an error of Flask, Werkzeug or webargs."""
    # webargs reports schema violations as 422 with its messages in ``data``.
    if error.code == HTTP_UNPROCESSABLE and hasattr(error, "data"):
        messages = error.data["messages"].get("json") or error.data["messages"].get("query") or error.data["messages"]
        return error_response(Invalid(problems=list(flatten_errors(messages))))
    response = error_response(service_error(error))
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def unexpected_error_response(error: Exception) -> Response:
    """Log an error that no view expects, and return its response."""
    log.error("request.fault", path=request.path, exc_info=error)
    return error_response(ServiceError())


def service_error(error: HTTPException) -> ServiceError:
    """Return an error of Flask or Werkzeug as one of this application."""
    return _GenericHTTPError(error)


class _GenericHTTPError(ServiceError):
    """An HTTP error without a ``ServiceError`` of its own."""

    def __init__(self, error: HTTPException) -> None:
        super().__init__(error.description or error.name)
        self.code = CODES.get(error.code or 500, "http_error")  # type: ignore[misc] # overrides the class's
        self.status = error.code or 500  # type: ignore[misc] # overrides the class's
        self.hint = "See /docs for the routes and their parameters."  # type: ignore[misc] # overrides the class's


def _error_format() -> ErrorFormat:
    """Return the format of the matched route, else that of the URL."""
    return current_policy().error_format or error_format_of_path(current_app, request.path)


def error_format_of_path(app: Flask, url: str) -> ErrorFormat:
    """Return the error format of the longest URL prefix that has one."""
    formats = cast(dict[str, ErrorFormat], app.extensions["error_formats"])
    path = f"{url}/"
    prefixes = [prefix for prefix in formats if path.startswith(f"{prefix.rstrip('/')}/")]
    return formats[max(prefixes, key=len)]


@described_by(NativeError)
def native_body(error: ServiceError) -> dict[str, Any]:
    """Return the body of errors in the native API."""
    body: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
    }
    if isinstance(error, Invalid):
        body["details"] = error.problems
    elif error.details:
        body["details"] = error.details
    return {"error": body, "requestId": g.get("request_id")}


@described_by(LibraryError)
def library_body(error: ServiceError) -> dict[str, Any]:
    """Return the body of errors in the library API, whose clients display the string ``error`` and nothing else."""
    if isinstance(error, Invalid):
        details, message = error.problems, " ".join(error.problems)
    else:
        details, message = [f"{name}: {value}" for name, value in error.details.items()], error.message
    if isinstance(error, Unauthorized) and message == Unauthorized.__doc__:
        message = MISSING_KEY_MESSAGE
    body: dict[str, Any] = {"error": message, "code": error.code}
    if details and details != [message]:
        body["details"] = details
    return body | {"requestId": g.get("request_id")}


@described_by(WeightsError)
def weights_body(error: ServiceError) -> dict[str, Any]:
    """Return the body of errors in the Weights API."""
    if isinstance(error, Invalid):
        return {"error": "Validation error", "details": error.problems}
    if isinstance(error, LimitReached):
        return {"error": error.message, "retryAfter": error.retry_after_s, **error.details}
    return {"error": error.message, **(error.details if isinstance(error, PaymentRequired) else {})}


@described_by(WeightsStatusError)
def weights_status_body(error: ServiceError) -> dict[str, Any]:
    """Return the body of errors of the Weights status route: a missing job is a status there."""
    if isinstance(error, NotFound | Gone):
        return {"status": "NOT_FOUND", "error": error.message if isinstance(error, Gone) else "Image not found"}
    return weights_body(error)


@described_by(GeneraitivError)
def generaitiv_body(error: ServiceError) -> dict[str, Any]:
    """Return the body of errors in the generaitiv API, whose clients recognise an error by ``message``."""
    problems = error.problems if isinstance(error, Invalid) else [error.message]
    body: dict[str, Any] = {
        "message": " ".join(problems),
        "errors": problems,
        "code": error.code,
        "status": error.status,
        "requestId": g.get("request_id"),
    }
    if isinstance(error, LimitReached):
        policies = [error.details.get("policy")]
        body |= {"type": QUOTA_EXCEEDED_TYPE, "title": "Quota exceeded", "violated-policies": policies}
    if isinstance(error, PaymentRequired):
        body["upgrade_url"] = error.details.get("upgradeUrl")
    return body
