"""Errors of HTTP requests as JSON-RPC messages, for clients that read nothing else."""

from http import HTTPStatus
from typing import Any

from flask import Response, g

from api.http.auth import api_key_from_request
from api.http.route_policy import described_by
from schemas.errors import Invalid, ServiceError, Unauthorized
from schemas.http.error_bodies import JsonRpcError

INVALID_REQUEST, INTERNAL_ERROR = -32600, -32603
CHALLENGE = 'Bearer realm="Darkroom"'
# RFC 6750 has no error for a request without a key.
WRONG_KEY = 'error="invalid_token", error_description="This API key is not valid."'


@described_by(JsonRpcError)
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
    """Return the message and the hint of an error as sentences."""
    problems = error.problems if isinstance(error, Invalid) else [error.message]
    sentences = [sentence if sentence.endswith((".", "!", "?")) else f"{sentence}." for sentence in problems]
    return " ".join([*sentences, error.hint])


def add_challenge(response: Response) -> Response:
    """Say on 401 how a client identifies itself (RFC 6750), without OAuth, which Darkroom does not have."""
    if response.status_code == Unauthorized.status:
        challenge = f"{CHALLENGE}, {WRONG_KEY}" if api_key_from_request() else CHALLENGE
        response.headers["WWW-Authenticate"] = challenge
    return response
