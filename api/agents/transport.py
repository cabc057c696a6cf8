"""The HTTP transport of the Model Context Protocol, on a WSGI server and without state.

Two eras of the protocol share it: versions up to 2025-11-25 begin with ``initialize``, later ones state version and
capabilities in every request. The ids of sessions are not kept; they tell the calls of one client from those of another
client with the same key, so that ``notifications/cancelled`` finds the job of its call.
"""

import secrets
from collections.abc import Generator, Mapping
from typing import Any

from flask import Response, request, stream_with_context
from mcp.server.connection import Connection
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    InboundLadderRejection,
    classify_inbound_request,
    unsupported_protocol_version_rejection,
)
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp_types import (
    DEFAULT_NEGOTIATED_VERSION,
    INVALID_REQUEST,
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    RequestId,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import ValidationError
from werkzeug.exceptions import NotAcceptable

from api.agents.calls import cancel_call, session_of_request
from api.agents.exchange import Reply, dump_message, format_message, serve
from api.agents.server import SERVER
from api.http import sse

VERSION_HEADER, SESSION_HEADER = "MCP-Protocol-Version", "Mcp-Session-Id"
JSON, SSE = "application/json", "text/event-stream"
NOT_ONE_MESSAGE = "The body must be one JSON-RPC request or notification; batches are not supported."
OK, ACCEPTED = 200, 202


def respond(body: Any) -> Response:
    """Answer a message of a client with JSON, with a stream that ends with the reply, or with 202 without a reply."""
    accepted = request.accept_mimetypes
    if accepted and not accepted.quality(JSON):
        raise NotAcceptable(f"Send 'Accept: {JSON}, {SSE}'.")
    # Raises for an invalid header, even if nothing else reads it.
    session_of_request()
    if not isinstance(body, dict):
        return _reject(None, InboundLadderRejection(INVALID_REQUEST, NOT_ONE_MESSAGE))
    try:
        if "id" not in body:
            return _take_notification(JSONRPCNotification.model_validate(body))
        if _is_handshake_era() and "method" not in body and ("result" in body or "error" in body):
            # A reply to a request of the server; the server sends no requests.
            return Response(status=ACCEPTED)
        message = JSONRPCRequest.model_validate(body)
    except ValidationError:
        return _reject(None, InboundLadderRejection(INVALID_REQUEST, NOT_ONE_MESSAGE))
    connection = _open_connection(body)
    if isinstance(connection, InboundLadderRejection):
        return _reject(message.id, connection)
    response = _respond_to_request(
        serve(SERVER, message, connection), can_stream=not accepted or accepted.quality(SSE) > 0
    )
    if message.method == "initialize" and response.is_json:
        response.headers[SESSION_HEADER] = secrets.token_hex(16)
    return response


def _open_connection(body: Mapping[str, Any]) -> Connection | InboundLadderRejection:
    if _is_handshake_era():
        return Connection.from_envelope(_version(), None, None)
    headers = {name.lower(): value for name, value in request.headers.items()}
    route = classify_inbound_request(body, headers=headers)
    if isinstance(route, InboundLadderRejection):
        return route
    return Connection.from_envelope(route.protocol_version, route.client_info, route.client_capabilities)


def _respond_to_request(messages: Generator[str, None, Reply], *, can_stream: bool) -> Response:
    """Return JSON if the reply comes first or the client takes nothing else, and otherwise a stream."""
    try:
        first = next(messages)
        while not can_stream:
            next(messages)
    except StopIteration as end:
        return _json_response(end.value)
    return sse.sse_response(stream_with_context(_stream(first, messages)))


def _stream(first: str, messages: Generator[str, None, Reply]) -> Generator[str, None, None]:
    try:
        yield first
        reply = yield from messages
        yield format_message(reply)
    finally:
        messages.close()


def _take_notification(message: JSONRPCNotification) -> Response:
    if not _is_handshake_era() and (rejection := unsupported_protocol_version_rejection(_version())):
        return _reject(None, rejection)
    if message.method == "notifications/cancelled":
        request_id = cancelled_request_id_from_params(message.params)
        if request_id is not None:
            cancel_call(request_id)
    return Response(status=ACCEPTED)


def _json_response(reply: Reply) -> Response:
    status = OK
    if isinstance(reply, JSONRPCError) and not _is_handshake_era():
        status = ERROR_CODE_HTTP_STATUS.get(reply.error.code, OK)
    return Response(dump_message(reply), status=status, mimetype=JSON)


def _reject(request_id: RequestId | None, rejection: InboundLadderRejection) -> Response:
    error = ErrorData(code=rejection.code, message=rejection.message, data=rejection.data)
    reply = JSONRPCError(jsonrpc="2.0", id=request_id, error=error)
    return Response(dump_message(reply), status=ERROR_CODE_HTTP_STATUS.get(rejection.code, 400), mimetype=JSON)


def _version() -> str:
    return request.headers.get(VERSION_HEADER, DEFAULT_NEGOTIATED_VERSION)


def _is_handshake_era() -> bool:
    return _version() in HANDSHAKE_PROTOCOL_VERSIONS
