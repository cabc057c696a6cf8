"""One JSON-RPC request, served by the SDK's handlers without an event loop.

Handlers are coroutines that block instead of awaiting, which under gevent lets other requests run. All that they await
is ``Emission``: it hands a message to the code that drives the coroutine, which is the response's iterator. A client
that disconnects closes the iterator, and with it the coroutine, wherever it is.
"""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import structlog
from mcp.server.connection import Connection
from mcp.server.lowlevel import Server
from mcp.server.runner import ServerRunner
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.jsonrpc_dispatcher import handler_exception_to_error_data, progress_token_from_params
from mcp.shared.transport_context import TransportContext
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    ProgressToken,
    RequestId,
)

from api.agents.jsonrpc_errors import error_data, error_text
from api.http.sse import HEARTBEAT
from schemas.errors import ServiceError

FIRST_SERVER_ERROR = 500
TRANSPORT = TransportContext(kind="streamable-http", can_send_request=False)

Reply = JSONRPCResponse | JSONRPCError
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Emission:
    """Awaiting this sends ``text`` to the client, if it gets a stream."""

    text: str

    def __await__(self) -> Generator[str, None, None]:
        """Suspend the coroutine until the text is on its way."""
        yield self.text


async def send_heartbeat() -> None:
    """Keep the connection alive while nothing else is sent."""
    await Emission(HEARTBEAT)


@dataclass
class _RequestContext:
    """The SDK's interface to a transport for one request (``mcp.shared.dispatcher.DispatchContext``)."""

    request_id: RequestId
    progress_token: ProgressToken | None
    transport: TransportContext = TRANSPORT
    message_metadata: None = None
    can_send_request: bool = False
    cancel_requested: anyio.Event = field(default_factory=anyio.Event)

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        """Refuse: answers of clients come with other requests, perhaps to other processes."""
        raise NoBackChannelError(method)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        """Send a notification on the stream of this request."""
        params = None if params is None else dict(params)
        await Emission(format_message(JSONRPCNotification(jsonrpc="2.0", method=method, params=params)))

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Send a progress notification if the client wants them."""
        if self.progress_token is not None:
            known = {"progress": progress, "total": total, "message": message}
            params = {name: value for name, value in known.items() if value is not None}
            await self.notify("notifications/progress", {"progressToken": self.progress_token, **params})


def serve(server: Server[Any], request: JSONRPCRequest, connection: Connection) -> Generator[str, None, Reply]:
    """Yield the messages that precede the reply, as server-sent events, and return the reply."""
    context = _RequestContext(request.id, progress_token_from_params(request.params))
    runner = ServerRunner(server, connection, lifespan_state=None)
    try:
        result = yield from runner.on_request(context, request.method, request.params).__await__()
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a reply
        return JSONRPCError(jsonrpc="2.0", id=request.id, error=_error_data(error))
    return JSONRPCResponse(jsonrpc="2.0", id=request.id, result=result)


def format_message(message: Reply | JSONRPCNotification) -> str:
    """Return a message as a server-sent event."""
    return f"event: message\ndata: {dump_message(message)}\n\n"


def dump_message(message: Reply | JSONRPCNotification) -> str:
    """Return a message as JSON."""
    document = message.model_dump(mode="json", by_alias=True, exclude_none=True)
    # JSON-RPC wants the id of an unreadable request to be there, as null.
    return json.dumps({"id": None, **document} if isinstance(message, JSONRPCError) else document)


def _error_data(error: Exception) -> ErrorData:
    if isinstance(error, ServiceError):
        code = INTERNAL_ERROR if error.status >= FIRST_SERVER_ERROR else INVALID_PARAMS
        return ErrorData(code=code, message=error_text(error), **error_data(error))
    known = handler_exception_to_error_data(error)
    if known is None:
        log.error("mcp.fault", exc_info=error)
        known = ErrorData(code=INTERNAL_ERROR, message=error_text(ServiceError()), **error_data(ServiceError()))
    return known
