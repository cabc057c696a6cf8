"""The surface for the library as a whole: scans, the report, what pictures say they were made with.

For keys, below ``/api/v1``.
"""

from collections.abc import Iterator
from typing import Any

from flask import Response, jsonify, request
from marshmallow import Schema, fields, validate

from api.http import sse
from api.http.auth import api_key_from_request
from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.error_responses import library_body
from api.http.route_policy import Access, RoutePolicy
from schemas.accounts.caller import Scope
from schemas.errors import Conflict, Invalid
from schemas.fields import WholeNumber
from schemas.library.requests import MAX_ID, PositiveInteger
from stores import Stores
from stores.library.maintenance import ReportedProblem
from stores.library.scan_requests import TOPIC
from stores.redis.pubsub import ChangeSignal

MAX_PROBLEMS_PER_PAGE = 500

blueprint = Blueprint(
    "library",
    __name__,
    access=Access.KEY,
    error_format=library_body,
    error_prefixes=("/api/v1/library", "/api/v1/scan"),
    url_prefix="/api/v1",
    description="The model library as a whole.",
)
SCAN = RoutePolicy(scope=Scope.LIBRARY)


class ScanRequestBody(Schema):
    """How to scan: with ``full`` every file is read again."""

    full = fields.Boolean(load_default=False)


class ReportQuery(Schema):
    """Which part of the report."""

    limit = PositiveInteger(load_default=100)
    after = WholeNumber(load_default=0, validate=validate.Range(0, MAX_ID))


@blueprint.route("/library/scan", methods=["POST"], policy=SCAN)
@blueprint.route("/scan", methods=["POST"], policy=SCAN)
@blueprint.doc(requestBody={"content": {"application/json": {"schema": ScanRequestBody}}})
@blueprint.response(202, description="`id` of the scan, and where its events are.")
def scan() -> Response:
    """Compare the library with the disk now; `{"full": true}` reads every file again."""
    if not stores().settings.models_dir:
        raise Conflict("There is no library: MODELS_DIR names no folder.")
    ident = stores().scan_requests.request(full=_is_full())
    url = f"{stores().settings.public_url}/api/v1/library/scan/events"
    response = jsonify({"id": ident, "state": "queued", "eventsUrl": url})
    response.status_code = 202
    return response


@blueprint.route("/library/scan", methods=["GET"])
@blueprint.response(200, description="The last scan: `id`, `state`, `phase` and figures; null where there was none.")
def latest() -> Response:
    """How the last scan is going, or went."""
    return jsonify(stores().scan_requests.latest())


@blueprint.route("/library/scan/events", methods=["GET"])
@blueprint.response(200, description="What scans tell as they go on.", content_type="text/event-stream")
def events() -> Response:
    """The news of scans from now on, or from `Last-Event-ID` on."""
    return sse.sse_response(_events(stores(), api_key_from_request(), sse.last_stream_id()))


@blueprint.route("/library/report", methods=["GET"])
@blueprint.arguments(ReportQuery, location="query")
@blueprint.response(200, description="`counts`, `problems`, and `nextAfter` where there are more.")
def report(query: dict[str, Any]) -> Response:
    """What the library has, and what is wrong in it."""
    upkeep = stores().library.maintenance
    found, following = upkeep.list_problems(min(query["limit"], MAX_PROBLEMS_PER_PAGE), query["after"])
    waiting, waiting_bytes = stores().library.file_hashes.count_pending()
    hashing = {"files": waiting, "sizeBytes": waiting_bytes}
    shown = [_problem(one) for one in found]
    return jsonify({"counts": upkeep.get_counts(), "hashing": hashing, "problems": shown, "nextAfter": following})


def _is_full() -> bool:
    body = request.get_json() if request.get_data() else {}
    full = body.get("full", False) if isinstance(body, dict) and not body.keys() - {"full"} else None
    if not isinstance(full, bool):
        raise Invalid(problems=["full: must be true or false; nothing else is to be said of a scan."])
    return full


def _problem(one: ReportedProblem) -> dict[str, Any]:
    return {
        "path": one.path.decode(errors="replace"),
        "subject": one.subject.decode(errors="replace"),
        "code": one.code,
        "message": one.message,
        "foundAt": one.found_at,
    }


def _events(stores: Stores, key: str, last_event_id: str) -> Iterator[str]:
    def read(after: str, _: ChangeSignal) -> sse.Batch[str]:
        entries = stores.scan_requests.read_events(after)
        messages = [sse.format_event(stream_id, "scan", {"type": "scan", **event}) for stream_id, event in entries]
        return sse.Batch(messages, entries[-1][0] if entries else after, has_more=bool(entries))

    after = last_event_id or stores.scan_requests.last_event_id()
    yield sse.format_start(after)
    yield from sse.follow(stores, key, stores.notifier.watch(TOPIC), read, after, max_s=sse.MAX_STREAM_S)
