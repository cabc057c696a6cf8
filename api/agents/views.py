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
from api.jobs.job_bodies import MAX_JSON_BYTES
from schemas.accounts.caller import Scope
from schemas.errors import Forbidden
from schemas.http.request_origin import RequestOrigin, classify_origin

# Everything is a POST here; the tools check further scopes. The view reads the body, whose limit is that of a job.
POLICY = RoutePolicy(scope=Scope.READ, streams_body=True)

blueprint = Blueprint("mcp", __name__, access=Access.KEY, error_format=jsonrpc_body, url_prefix="/mcp")
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
def exchange() -> Response:
    """Answer one JSON-RPC message."""
    read_body(MAX_JSON_BYTES)
    return _load_transport()(request.get_json())


@cache
def _load_transport() -> Callable[[Any], Response]:
    return cast(Callable[[Any], Response], import_string("api.agents.transport:respond"))
