"""The description of what clients of the Model Context Protocol send and get: messages of JSON-RPC.

What the messages contain is defined by that protocol, and told by its own means, such as ``tools/list``.
"""

from typing import Any

# Of the versions of the protocol that are spoken; the SDK, which knows them too, is imported with the first request.
PROTOCOL_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
SESSION_PATTERN = "[!-~]{1,128}"
ID = {"type": ["string", "integer"], "description": "Chosen by the client; the reply has the same."}

MESSAGE: dict[str, Any] = {
    "type": "object",
    "description": "One message: a request, or without `id` a notification.",
    "properties": {
        "jsonrpc": {"type": "string", "const": "2.0"},
        "id": ID,
        "method": {"type": "string", "description": "Such as `tools/list` and `tools/call`."},
        "params": {"type": ["object", "null"], "additionalProperties": True},
    },
    "required": ["jsonrpc", "method"],
    "additionalProperties": True,
    "example": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
}
REPLY: dict[str, Any] = {
    "type": "object",
    "description": "The reply: `result`, or `error`.",
    "properties": {
        "jsonrpc": {"type": "string", "const": "2.0"},
        "id": {**ID, "type": ["string", "integer", "null"]},
        "result": {"type": "object", "additionalProperties": True},
        "error": {
            "type": "object",
            "properties": {"code": {"type": "integer"}, "message": {"type": "string"}, "data": {}},
            "required": ["code", "message"],
        },
    },
    "required": ["jsonrpc", "id"],
    "example": {"jsonrpc": "2.0", "id": 1, "result": {"tools": []}},
}
# Without a type: some tools take the schema for that of the stream, some for that of an event.
STREAM = {"description": "Messages as server-sent events; the last one is the reply."}
HEADERS: list[dict[str, Any]] = [
    {
        "in": "header",
        "name": "MCP-Protocol-Version",
        "schema": {"type": "string", "enum": list(PROTOCOL_VERSIONS)},
        "description": "The version that was agreed on; without it 2025-03-26.",
    },
    {
        "in": "header",
        "name": "Mcp-Session-Id",
        "schema": {"type": "string", "pattern": f"^{SESSION_PATTERN}$"},
        "description": "Of the answer to `initialize`; tells clients with the same key apart.",
    },
    {
        "in": "header",
        "name": "Mcp-Method",
        "schema": {"type": "string"},
        "description": "`method` of the message; required from version 2026-07-28 on.",
        "example": "tools/list",
    },
    {
        "in": "header",
        "name": "Mcp-Name",
        "schema": {"type": "string"},
        "description": "`params.name` of `tools/call` and `prompts/get`, `params.uri` of `resources/read`; required "
        "with these from version 2026-07-28 on.",
        "example": "generate_image",
    },
]
REPLY_HEADERS: dict[str, Any] = {
    "Mcp-Session-Id": {
        "description": "With the reply to `initialize`: sent with later requests, it tells clients with the same key "
        "apart.",
        "schema": {"type": "string", "pattern": f"^{SESSION_PATTERN}$"},
    }
}
