"""Routes outside ``/sdapi`` by which clients find out whether the program is there; two of them need no key."""

import zlib

from flask import Response, jsonify

from api.compat.sdapi.surface import DESCRIPTION, sdapi_blueprint, sdapi_body
from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.route_policy import Access, RateLimit, RoutePolicy
from ops.infra.version import VERSION
from schemas.jobs.sdapi.views import EMPTY_OBJECT, SdapiAppId, SdapiQueue

POLLED = RoutePolicy(access=Access.ANONYMOUS, rate_limit=RateLimit.STATUS, is_logged=False)
# Pages of Gradio reload when this number changes.
APP_ID = zlib.crc32(f"Darkroom {VERSION}".encode())

blueprint = Blueprint(
    "sdapi_liveness",
    __name__,
    access=Access.ANONYMOUS,
    error_format=sdapi_body,
    error_prefixes=("/internal", "/app_id"),
    description=DESCRIPTION,
)
queue_blueprint = sdapi_blueprint("queue", "/queue")


@blueprint.route("/internal/ping", policy=POLLED)
@blueprint.response(200, EMPTY_OBJECT, description="`{}`.")
def ping() -> Response:
    """Whether the program answers."""
    return jsonify({})


@blueprint.route("/app_id", policy=POLLED)
@blueprint.response(200, SdapiAppId, description="`app_id`, which changes with the version.")
def read_app_id() -> Response:
    """The number of this version."""
    return jsonify({"app_id": APP_ID})


@queue_blueprint.route("/status", policy=RoutePolicy(rate_limit=RateLimit.STATUS, is_logged=False))
@queue_blueprint.response(200, SdapiQueue)
def read_queue() -> Response:
    """Your queue, in Gradio's form."""
    group = stores().request_groups.find_current(caller().id)
    size = len(group.open_jobs) if group else 0
    return jsonify(
        {
            "msg": "estimation",
            "rank": None,
            "queue_size": size,
            "avg_event_process_time": None,
            "avg_event_concurrent_process_time": None,
            "rank_eta": None,
            "queue_eta": 0,
        }
    )
