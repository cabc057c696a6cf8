"""The tools that agents see: their table, the scope that each needs, and the translation of errors into words."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult, ContentBlock, TextContent, Tool, ToolAnnotations

from api.agents import generation, searches
from api.agents.jsonrpc_errors import error_text
from api.http.context import caller, stores
from schemas.accounts.caller import Caller, Scope
from schemas.errors import Forbidden, ServiceError, Unavailable
from schemas.jobs.agent_requests import (
    Arguments,
    CancelJob,
    GenerateImage,
    GetJob,
    ListSites,
    SearchGallery,
    SearchModels,
    load_arguments,
)

Context = ServerRequestContext[Any, Any]
Handler = Callable[[Context, dict[str, Any]], Awaitable[CallToolResult]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """A tool. ``changes`` says whether calling it changes anything, ``destroys`` whether that cannot be undone."""

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    scope: Scope
    handler: Handler
    changes: bool = False
    destroys: bool = False


TOOLS = {
    entry.name: entry
    for entry in (
        ToolEntry(
            "generate_image",
            "Generate an image",
            "Make a picture from words and return it, with its link. Progress is reported on the way. If it is not"
            " done after wait_seconds, the answer has the job's id for get_job; the job goes on.",
            GenerateImage,
            Scope.GENERATE,
            generation.generate_image,
            changes=True,
        ),
        ToolEntry(
            "get_job",
            "Get a job",
            "The state of one of your jobs and, once it is done, its pictures with their links.",
            GetJob,
            Scope.READ,
            generation.get_job,
        ),
        ToolEntry(
            "cancel_job",
            "Cancel a job",
            "Cancel one of your jobs. Cancelling a job that has ended changes nothing.",
            CancelJob,
            Scope.GENERATE,
            generation.cancel_job,
            changes=True,
            destroys=True,
        ),
        ToolEntry(
            "search_models",
            "Search models",
            "Find LoRAs, checkpoints and other models of the library, and the LoRAs or styles that a site offers."
            " `lora` of a result is what generate_image takes.",
            SearchModels,
            Scope.READ,
            searches.search_models,
        ),
        ToolEntry(
            "list_sites",
            "List sites",
            "The sites that make pictures, and for each the inputs that generate_image takes there, with their ranges.",
            ListSites,
            Scope.READ,
            searches.list_sites,
        ),
        ToolEntry(
            "search_gallery",
            "Search the gallery",
            "Find kept pictures by words; each has links to its page and its picture. The newest come first.",
            SearchGallery,
            Scope.READ,
            searches.search_gallery,
        ),
    )
}


def list_tools() -> list[Tool]:
    """Return the tools that the caller's key may call."""
    return [_describe(entry) for entry in TOOLS.values() if caller().has_scope(entry.scope)]


async def call_tool(context: Context, name: str, arguments: Mapping[str, Any] | None) -> CallToolResult:
    """Call a tool. What goes wrong inside it is a result in words, which the model reads.

    Raises:
        MCPError: there is no such tool.
    """
    entry = TOOLS.get(name)
    if entry is None:
        raise MCPError(INVALID_PARAMS, f"There is no tool {name[:60]!r}; tools/list names all tools.")
    try:
        _require_scope(caller(), entry)
        return await entry.handler(context, load_arguments(entry.arguments, arguments))
    except ServiceError as error:
        if isinstance(error, Unavailable):
            log.warning("unavailable", error=error.message)
        return _failure(error)
    except Exception:
        log.exception("mcp.tool_fault", tool=name)
        return _failure(ServiceError())


def _require_scope(submitter: Caller, entry: ToolEntry) -> None:
    if not submitter.has_scope(entry.scope):
        raise Forbidden(f"This key lacks the scope '{entry.scope}', which {entry.name} needs.")


def _failure(error: ServiceError) -> CallToolResult:
    wait = "" if error.retry_after_s is None else f" Try again in {error.retry_after_s} s."
    text = f"{error_text(error)}{wait} (code: {error.code})"
    content: list[ContentBlock] = [TextContent(type="text", text=text)]
    return CallToolResult(content=content, is_error=True)


def _describe(entry: ToolEntry) -> Tool:
    schema = _json_schema(entry.arguments)
    if site := schema["properties"].get("site"):
        # Models choose better from a list than from a description of one.
        site["enum"] = [recipe.name for recipe in stores().recipes.list_all()]
    return Tool(
        name=entry.name,
        title=entry.title,
        description=entry.description,
        input_schema=schema,
        annotations=ToolAnnotations(
            title=entry.title,
            read_only_hint=not entry.changes,
            destructive_hint=entry.destroys,
            idempotent_hint=not entry.changes or entry.destroys,
            open_world_hint=entry.changes,
        ),
    )


def _json_schema(arguments: type[Arguments]) -> dict[str, Any]:
    marshmallow = MarshmallowPlugin()
    APISpec(title="", version="", openapi_version="3.1.0", plugins=[marshmallow])
    schema: dict[str, Any] = marshmallow.converter.schema2jsonschema(arguments())  # type: ignore[union-attr] # set by APISpec
    return schema
