"""The turning of errors into HTTP, once, in the shape that each surface's clients know."""

from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from api.http.rate_limits import report_limit
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

NATIVE, GENERAITIV, WEIGHTS = "/api/", "/v1/", "/"
LIBRARY = (
    "/api/models/",
    "/api/v1/models/",
    "/api/images/",
    "/api/v1/images/",
    "/api/v1/library/",
    "/api/v1/scan/",
    "/api/v1/auth/",
    "/api/session/",
)
MISSING_KEY_MESSAGE = "Missing or invalid Authorization header"
HTTP_UNPROCESSABLE = 422

# As the IETF's draft on header fields for rate limits names this kind of problem.
QUOTA_EXCEEDED_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"

Answer = Response
log = structlog.get_logger(__name__)

CODES = {
    400: "invalid",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


def init_error_handlers(app: Flask) -> None:
    """Catch everything."""
    app.register_error_handler(ServiceError, error_response)
    app.register_error_handler(HTTPException, http_error_response)
    app.register_error_handler(Exception, _unexpected_error_response)


def error_response(error: ServiceError) -> Response:
    """An error of ours."""
    if isinstance(error, Unavailable):
        log.warning("unavailable", error=error.message)
    response = jsonify(_body_format()(error))
    response.status_code = error.status
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, LimitReached):
        report_limit(error)
    return response


def http_error_response(error: HTTPException) -> Response:
    """An error of Flask, Werkzeug or webargs."""
    if error.code == HTTP_UNPROCESSABLE and hasattr(error, "data"):
        messages = error.data["messages"].get("json") or error.data["messages"].get("query") or error.data["messages"]
        return error_response(Invalid(problems=list(flatten_errors(messages))))
    plain = _GenericHTTPError(error)
    response = error_response(plain)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _unexpected_error_response(error: Exception) -> Response:
    log.error("request.fault", path=request.path, exc_info=error)
    return error_response(ServiceError())


class _GenericHTTPError(ServiceError):
    """An HTTP error that has no other meaning here."""

    def __init__(self, error: HTTPException) -> None:
        super().__init__(error.description or error.name)
        self.code = CODES.get(error.code or 500, "http_error")  # type: ignore[misc] # this instance's own
        self.status = error.code or 500  # type: ignore[misc] # this instance's own
        self.hint = "See /docs for what may be asked, and how."  # type: ignore[misc] # this instance's own


def _body_format() -> Callable[[ServiceError], dict[str, Any]]:
    path = f"{request.path}/"
    if path.startswith(LIBRARY):
        return _library_body
    return next((shape for prefix, shape in _SHAPES.items() if path.startswith(prefix)), _weights_body)


def _library_body(error: ServiceError) -> dict[str, Any]:
    """Its clients show ``error``, and nothing else."""
    problems = error.problems if isinstance(error, Invalid) else [f"{name}: {it}" for name, it in error.details.items()]
    message = " ".join(problems) if isinstance(error, Invalid) else error.message
    if isinstance(error, Unauthorized) and message == Unauthorized.__doc__:
        message = MISSING_KEY_MESSAGE
    about = {"details": problems} if problems and problems != [message] else {}
    return {"error": message, "code": error.code, **about, "requestId": g.get("request_id")}


def _native_body(error: ServiceError) -> dict[str, Any]:
    about: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
    }
    if isinstance(error, Invalid):
        about["details"] = error.problems
    elif error.details:
        about["details"] = error.details
    return {"error": about, "requestId": g.get("request_id")}


def _weights_body(error: ServiceError) -> dict[str, Any]:
    if isinstance(error, Invalid):
        return {"error": "Validation error", "details": error.problems}
    if isinstance(error, NotFound | Gone) and request.endpoint == "weights.status":
        return {"status": "NOT_FOUND", "error": error.message if isinstance(error, Gone) else "Image not found"}
    if isinstance(error, LimitReached):
        return {"error": error.message, "retryAfter": error.retry_after_s, **error.details}
    return {"error": error.message, **(error.details if isinstance(error, PaymentRequired) else {})}


def _generaitiv_body(error: ServiceError) -> dict[str, Any]:
    problems = error.problems if isinstance(error, Invalid) else [error.message]
    kind = {"type": QUOTA_EXCEEDED_TYPE, "title": "Quota exceeded", "violated-policies": [error.details.get("policy")]}
    return {
        **(kind if isinstance(error, LimitReached) else {}),
        **({"upgrade_url": error.details.get("upgradeUrl")} if isinstance(error, PaymentRequired) else {}),
        "message": " ".join(problems),
        "errors": problems,
        "code": error.code,
        "status": error.status,
        "requestId": g.get("request_id"),
    }


_SHAPES = {NATIVE: _native_body, GENERAITIV: _generaitiv_body, WEIGHTS: _weights_body}
