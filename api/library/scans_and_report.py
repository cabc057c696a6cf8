"""Routes for the library as a whole: requesting scans, following their progress, and the report."""

from collections.abc import Iterator
from typing import Any

from flask import Response, jsonify, request
from marshmallow import Schema, fields, validate

from api.http import sse
from api.http.auth import current_credential
from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.error_responses import library_body
from api.http.route_policy import Access, RoutePolicy
from api.library.responses import LibraryReport, ScanAccepted, ScanView
from schemas.accounts.caller import Scope
from schemas.errors import Conflict, Invalid
from schemas.fields import WholeNumber
from schemas.library.requests import MAX_ID, PositiveInteger
from stores import Stores
from stores.accounts.key_revocation import Credential
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
    """Which page of the report."""

    limit = PositiveInteger(load_default=100)
    after = WholeNumber(load_default=0, validate=validate.Range(0, MAX_ID))


@blueprint.route("/library/scan", methods=["POST"], policy=SCAN, endpoint="scan_library")
@blueprint.route("/scan", methods=["POST"], policy=SCAN, endpoint="scan")
@blueprint.doc(requestBody={"content": {"application/json": {"schema": ScanRequestBody}}})
@blueprint.response(202, ScanAccepted)
@blueprint.sends(Conflict)
def request_scan() -> Response:
    """Scan the library now; with `{"full": true}` every file is read again."""
    if not stores().has_library:
        raise Conflict("There is no model library: MODELS_DIR is not set.")
    scan_id = stores().scan_requests.request(full=_is_full())
    url = f"{stores().settings.public_url}/api/v1/library/scan/events"
    response = jsonify({"id": scan_id, "state": "queued", "eventsUrl": url})
    response.status_code = 202
    return response


@blueprint.route("/library/scan", methods=["GET"], endpoint="latest")
@blueprint.response(200, {"anyOf": [ScanView, {"type": "null"}]}, description="The last scan; null if there was none.")
def get_latest_scan() -> Response:
    """Get the progress or result of the last scan."""
    return jsonify(stores().scan_requests.latest())


@blueprint.route("/library/scan/events", methods=["GET"], endpoint="events")
@blueprint.doc(parameters=[sse.LAST_EVENT_ID_PARAMETER])
@blueprint.response(200, sse.STREAM, description="The progress of scans.", content_type="text/event-stream")
@blueprint.sends(Invalid)
def stream_scan_events() -> Response:
    """Stream the progress of scans from now on, or after the event of `Last-Event-ID`."""
    return sse.sse_response(_events(stores(), current_credential(), sse.last_stream_id()))


@blueprint.route("/library/report", methods=["GET"], endpoint="report")
@blueprint.arguments(ReportQuery, location="query")
@blueprint.response(200, LibraryReport)
def get_report(query: dict[str, Any]) -> Response:
    """Get the size of the library, and the problems with its files."""
    maintenance = stores().library.maintenance
    problems, next_after = maintenance.list_problems(min(query["limit"], MAX_PROBLEMS_PER_PAGE), query["after"])
    count, size_bytes = stores().library.file_hashes.count_pending()
    report = {"counts": maintenance.get_counts(), "hashing": {"files": count, "sizeBytes": size_bytes}}
    return jsonify(report | {"problems": [_problem_view(problem) for problem in problems], "nextAfter": next_after})


def _is_full() -> bool:
    body = request.get_json() if request.get_data() else {}
    full = body.get("full", False) if isinstance(body, dict) and not body.keys() - {"full"} else None
    if not isinstance(full, bool):
        raise Invalid(problems=["full: must be true or false; no other fields are accepted."])
    return full


def _problem_view(problem: ReportedProblem) -> dict[str, Any]:
    return {
        "path": problem.path.decode(errors="replace"),
        "subject": problem.subject.decode(errors="replace"),
        "code": problem.code,
        "message": problem.message,
        "foundAt": problem.found_at,
    }


def _events(stores: Stores, credential: Credential, last_event_id: str) -> Iterator[str]:
    def read(after: str, _: ChangeSignal) -> sse.Batch[str]:
        entries = stores.scan_requests.read_events(after)
        messages = [sse.format_event(stream_id, "scan", {"type": "scan", **event}) for stream_id, event in entries]
        return sse.Batch(messages, entries[-1][0] if entries else after, has_more=bool(entries))

    after = last_event_id or stores.scan_requests.last_event_id()
    yield sse.format_start(after)
    yield from sse.follow(stores, credential, stores.notifier.watch(TOPIC), read, after, max_s=sse.MAX_STREAM_S)
