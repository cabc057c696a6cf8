"""The endpoint of the Model Context Protocol: one URL, to which clients POST one JSON-RPC message at a time.

The SDK takes a second to import and 30 MB, so a process imports it with the first request here
(docs/decisions/0031-mcp-without-an-event-loop.md).
"""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

from flask import Response, request
from werkzeug.utils import import_string

from api.agents.jsonrpc_errors import add_challenge, jsonrpc_body
from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.request_bodies import read_body
from api.http.route_policy import Access, RoutePolicy
from api.jobs.hang_up import CANCEL_PARAMETER
from api.jobs.job_bodies import MAX_JSON_BYTES
from schemas.accounts.caller import Scope
from schemas.errors import Forbidden
from schemas.http.request_origin import RequestOrigin, classify_origin
from schemas.jobs.agent_messages import HEADERS, MESSAGE, REPLY, REPLY_HEADERS, STREAM

# All messages are POST requests; the tools check further scopes. The view reads the body, whose limit is that of a job.
POLICY = RoutePolicy(scope=Scope.READ, streams_body=True)

REPLIED = "The reply; where messages about the progress come before it, and the client accepts one, as a stream."
REQUEST_BODY = {"required": True, "content": {"application/json": {"schema": MESSAGE}}}

blueprint = Blueprint(
    "mcp",
    __name__,
    access=Access.KEY,
    error_format=jsonrpc_body,
    url_prefix="/mcp",
    description="The Model Context Protocol, for agents.",
)
blueprint.after_request(add_challenge)


@blueprint.before_request
def check_origin() -> None:
    """Refuse pages of other origins (DNS rebinding); programs send no ``Origin``.

    The request's own Host is no evidence: after DNS rebinding it is the attacker's.
    """
    settings = stores().settings
    origin = classify_origin(None, request.headers.get("Origin"), [settings.public_url, *settings.cors_origins])
    if origin is RequestOrigin.CROSS_ORIGIN:
        raise Forbidden("Pages of this origin may not call /mcp; name it in CORS_ORIGINS to allow them.")


@blueprint.route("", methods=["POST"], policy=POLICY)
@blueprint.doc(requestBody=REQUEST_BODY, parameters=[*HEADERS, CANCEL_PARAMETER])
@blueprint.response(200, REPLY, description=REPLIED, headers=REPLY_HEADERS)
@blueprint.alt_response(200, schema=STREAM, content_type="text/event-stream", description=REPLIED)
@blueprint.alt_response(202, content_type=None, description="The message was a notification, which has no reply.")
@blueprint.alt_response(404, description="There is no such method, in version 2026-07-28.")
@blueprint.alt_response(406, description="The client does not accept JSON.")
def exchange() -> Response:
    """Answer one message of JSON-RPC. Agents need this address alone; `docs/agents.md` says what they can do."""
    read_body(MAX_JSON_BYTES)
    return _load_transport()(request.get_json())


@cache
def _load_transport() -> Callable[[Any], Response]:
    return cast(Callable[[Any], Response], import_string("api.agents.transport:respond"))
