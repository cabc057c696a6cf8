"""The server of the Model Context Protocol: its name, and the handlers to which the SDK dispatches requests."""

import base64
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import (
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    TextResourceContents,
)

from api.agents import resources, tools
from ops.infra.version import VERSION

INSTRUCTIONS = (
    "Darkroom makes pictures with image-generation pages (sites). list_sites tells the sites and what each takes; "
    "generate_image makes a picture and returns it; if it takes longer than the wait, get_job returns it later. "
    "search_models finds LoRAs and checkpoints by name, tag or trigger word."
)

Context = ServerRequestContext[Any, Any]


async def _list_tools(_: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=tools.list_tools())


async def _call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
    return await tools.call_tool(context, params.name, params.arguments)


async def _list_resources(_: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
    found, next_cursor = resources.list_resources(params.cursor if params else None)
    return ListResourcesResult(resources=found, next_cursor=next_cursor)


async def _list_templates(_: Context, __: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
    return ListResourceTemplatesResult(resource_templates=resources.TEMPLATES)


async def _read_resource(_: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    content = resources.read_resource(str(params.uri))
    contents: TextResourceContents | BlobResourceContents
    if isinstance(content.data, str):
        contents = TextResourceContents(uri=params.uri, mime_type=content.media_type, text=content.data)
    else:
        blob = base64.b64encode(content.data).decode()
        contents = BlobResourceContents(uri=params.uri, mime_type=content.media_type, blob=blob)
    return ReadResourceResult(contents=[contents])


SERVER: Server[Any] = Server(
    "darkroom",
    version=VERSION,
    title="Darkroom",
    instructions=INSTRUCTIONS,
    on_list_tools=_list_tools,
    on_call_tool=_call_tool,
    on_list_resources=_list_resources,
    on_list_resource_templates=_list_templates,
    on_read_resource=_read_resource,
)
# The only one records spans with messages of errors, which may be private; ``ops.processes.tracing`` makes spans here.
SERVER.middleware.clear()
