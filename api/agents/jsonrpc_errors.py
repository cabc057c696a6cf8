"""Errors of HTTP requests as JSON-RPC messages, for clients that read nothing else."""

from http import HTTPStatus
from typing import Any

from flask import Response, g

from schemas.errors import Invalid, ServiceError, Unauthorized

INVALID_REQUEST, INTERNAL_ERROR = -32600, -32603
CHALLENGE = 'Bearer realm="Darkroom", error="invalid_token", error_description="An API key of this Darkroom is needed."'


def jsonrpc_body(error: ServiceError) -> dict[str, Any]:
    """Return the body of an error that concerns the HTTP request and not one of its messages."""
    code = INTERNAL_ERROR if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else INVALID_REQUEST
    return {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": error_text(error)} | error_data(error)}


def error_data(error: ServiceError) -> dict[str, Any]:
    """Return ``data`` of an error, for programs."""
    data = {"code": error.code, "retryable": error.retryable, "requestId": g.get("request_id")}
    retry_after = {} if error.retry_after_s is None else {"retryAfter": error.retry_after_s}
    return {"data": data | retry_after}


def error_text(error: ServiceError) -> str:
    """Return what is wrong and what to do, in sentences."""
    problems = error.problems if isinstance(error, Invalid) else [error.message]
    sentences = [sentence if sentence.endswith((".", "!", "?")) else f"{sentence}." for sentence in problems]
    return " ".join([*sentences, error.hint])


def add_challenge(response: Response) -> Response:
    """Say on 401 how a client identifies itself (RFC 6750), without OAuth, which Darkroom has not."""
    if response.status_code == Unauthorized.status:
        response.headers["WWW-Authenticate"] = CHALLENGE
    return response
