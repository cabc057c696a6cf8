"""The command ``mcp``: the Model Context Protocol on stdin and stdout, forwarded to ``/mcp`` of a running Darkroom.

Nothing is answered here but what prevents forwarding, so both transports behave alike. Stdout has messages of the
protocol only. A Darkroom that starts, stops or moves meanwhile is found again with the next message.
"""

import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import click
import httpx
from httpx_sse import EventSource, SSEError
from mcp.server.stdio import stdio_server
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
)
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp.shared.message import SessionMessage
from mcp_types import (
    CONNECTION_CLOSED,
    PARSE_ERROR,
    PROTOCOL_VERSION_META_KEY,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from ops.cli.http_target import Target, find_target
from ops.infra.settings import ROOT, load_settings

SESSION_HEADER = "Mcp-Session-Id"
LOCAL_URL = re.compile(r"https?://(127\.|localhost|\[::1\])")
# The server sends a heartbeat every 15 s.
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
NOT_RUNNING = (
    "No Darkroom is running here: start one with './darkroom up', or name one with DARKROOM_URL and DARKROOM_KEY."
)
CUT_OFF = "The connection to Darkroom ended before the answer. A job that was submitted goes on: see get_job."

FindTarget = Callable[[], Target | None]
Send = Callable[[JSONRPCMessage], Awaitable[None]]


@click.command()
@click.option("--url", envvar="DARKROOM_URL", help="Use the Darkroom at this URL.")
@click.option("--key", envvar="DARKROOM_KEY", help="API key for it.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Data folder of the running Darkroom. Default: DATA_DIR, or .darkroom in this folder or beside the program.",
)
def mcp(url: str | None, key: str | None, data: Path | None) -> None:
    """Serve agents (MCP) over stdin and stdout, with a running Darkroom."""
    settings = load_settings()
    folders = [data.absolute()] if data else [settings.data_dir, ROOT / ".darkroom"]

    def find() -> Target | None:
        return find_target(settings, url, key, folders=folders)

    anyio.run(_forward_all, find)


async def _forward_all(find: FindTarget) -> None:
    async with (
        AsyncExitStack() as stack,
        stdio_server() as (incoming, outgoing),
        anyio.create_task_group() as tasks,
    ):

        async def send(message: JSONRPCMessage) -> None:
            await outgoing.send(SessionMessage(message))

        forwarder = _Forwarder(find, send, stack)
        async for received in incoming:
            if isinstance(received, Exception):
                error = ErrorData(code=PARSE_ERROR, message="This line is not a JSON-RPC message.")
                await send(JSONRPCError(jsonrpc="2.0", id=None, error=error))
            elif isinstance(received.message, JSONRPCRequest) and received.message.method != "initialize":
                tasks.start_soon(forwarder.forward, received.message)
            else:
                # In order: what follows depends on the version that 'initialize' settles.
                await forwarder.forward(received.message)
        # The client has gone. Its jobs go on, as they do when a client of /mcp disconnects.
        tasks.cancel_scope.cancel()
        await outgoing.aclose()


class _Forwarder:
    """Sends messages to the endpoint, each by a request of its own, and its answers to the client."""

    def __init__(self, find: FindTarget, send: Send, stack: AsyncExitStack) -> None:
        self._find = find
        self._send = send
        self._stack = stack
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._session = secrets.token_hex(16)
        self._version: str | None = None
        self._running: dict[RequestId, anyio.CancelScope] = {}

    async def forward(self, message: JSONRPCMessage) -> None:
        """Forward a message. What prevents that is the answer to a request, and a line on stderr otherwise."""
        request_id = message.id if isinstance(message, JSONRPCRequest) else None
        with anyio.CancelScope() as scope:
            if request_id is not None:
                self._running[request_id] = scope
            try:
                await self._exchange(message, request_id)
            except (httpx.HTTPError, SSEError, click.ClickException, OSError) as error:
                await self._report(request_id, _describe(error))
            finally:
                if request_id is not None and self._running.get(request_id) is scope:
                    del self._running[request_id]
        if isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            cancelled = cancelled_request_id_from_params(message.params)
            if cancelled is not None and (running := self._running.get(cancelled)):
                # An answer to a cancelled request is not expected any more.
                running.cancel()

    async def _exchange(self, message: JSONRPCMessage, request_id: RequestId | None) -> None:
        target = self._find()
        if target is None:
            await self._report(request_id, NOT_RUNNING)
            return
        body = message.model_dump_json(by_alias=True, exclude_unset=True)
        headers = {"Authorization": f"Bearer {target.key}", **self._headers(message)}
        client = await self._client(target.url)
        async with client.stream("POST", f"{target.url}/mcp", content=body, headers=headers) as response:
            is_answered = request_id is None
            if response.headers.get("Content-Type", "").startswith("text/event-stream"):
                async for event in EventSource(response).aiter_sse():
                    is_answered = await self._pass_on(event.data, request_id) or is_answered
            elif data := await response.aread():
                is_answered = await self._pass_on(data, request_id, response.status_code) or is_answered
            if not is_answered:
                await self._report(request_id, CUT_OFF)

    async def _pass_on(self, data: str | bytes, request_id: RequestId | None, status: int = 200) -> bool:
        """Send a message of the server to the client; return whether it is the answer to its request."""
        try:
            message = jsonrpc_message_adapter.validate_json(data, by_name=False)
        except ValidationError:
            text = f"The server at the URL does not answer like Darkroom (status {status})."
            await self._report(request_id, text)
            return True
        if isinstance(message, JSONRPCError) and message.id is None:
            await self._report(request_id, message.error.message, message.error)
            return True
        if isinstance(message, JSONRPCResponse) and isinstance(version := message.result.get("protocolVersion"), str):
            self._version = version
        await self._send(message)
        return isinstance(message, JSONRPCResponse | JSONRPCError)

    async def _report(self, request_id: RequestId | None, text: str, error: ErrorData | None = None) -> None:
        click.echo(text, err=True)
        if request_id is not None:
            error = error or ErrorData(code=CONNECTION_CLOSED, message=text)
            await self._send(JSONRPCError(jsonrpc="2.0", id=request_id, error=error))

    def _headers(self, message: JSONRPCMessage) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            SESSION_HEADER: self._session,
        }
        params = getattr(message, "params", None) or {}
        meta = params.get("_meta")
        version = meta.get(PROTOCOL_VERSION_META_KEY) if isinstance(meta, dict) else None
        if isinstance(message, JSONRPCRequest) and isinstance(version, str):
            self._version = version
            headers[MCP_METHOD_HEADER] = encode_header_value(message.method)
            name = params.get(NAME_BEARING_METHODS.get(message.method, ""))
            if isinstance(name, str):
                headers[MCP_NAME_HEADER] = encode_header_value(name)
        is_handshake = isinstance(message, JSONRPCRequest) and message.method == "initialize"
        if self._version and not is_handshake:
            headers[MCP_PROTOCOL_VERSION_HEADER] = encode_header_value(self._version)
        return headers

    async def _client(self, url: str) -> httpx.AsyncClient:
        # A proxy setting in the environment must not apply to this machine.
        is_local = LOCAL_URL.match(url) is not None
        if is_local not in self._clients:
            client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=not is_local)
            self._clients[is_local] = await self._stack.enter_async_context(client)
        return self._clients[is_local]


def _describe(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        return error.message
    return f"Darkroom does not answer: {error or type(error).__name__}. Is it running? './darkroom up' starts it."
