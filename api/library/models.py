"""Routes for models: lists, details, user edits, downloads."""

from typing import Any

from flask import Response, jsonify, request

from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.error_responses import library_body
from api.http.request_bodies import require_json
from api.http.route_policy import Access, RoutePolicy
from api.library.file_response import send_opened_file
from api.library.responses import FilterValues, ModelDetail, ModelPage
from api.library.serializers import model_detail, model_summary
from schemas.accounts.caller import Scope
from schemas.errors import Forbidden, Invalid, NotFound, PreconditionFailed, RangeNotSatisfiable
from schemas.library.model_parts import is_main_file
from schemas.library.model_views import FileView, ModelView, VersionView
from schemas.library.requests import MAX_ID, MAX_OFFSET, MAX_PAGE_SIZE, ModelChange, ModelListQuery
from schemas.library.search_query import SortKey, SortOrder, parse_query, parse_sort_order
from schemas.paging import KeysetCursor
from stores.library.safe_open import OpenFile, open_indexed
from stores.library.search import SearchFilter
from stores.library.search.conditions import EQUALITY_COLUMNS

MAX_ID_DIGITS = 16
BINARY = {"type": "string", "format": "binary"}
VERSION_PARAMETER = {
    "in": "query",
    "name": "versionId",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_ID},
    "description": "Which version; by default the newest one that is on disk.",
}

blueprint = Blueprint(
    "models", __name__, access=Access.KEY, error_format=library_body, description="The model library."
)


def parse_id(text: str, kind: str = "model") -> int:
    """Return the id of a model, version or image; raises Invalid, and NotFound for ids larger than any can be."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_ID_DIGITS and int(text)):
        raise Invalid(f"Invalid {kind} ID")
    if int(text) > MAX_ID:
        raise NotFound(f"{kind.capitalize()} not found")
    return int(text)


@blueprint.route("", methods=["GET"], endpoint="listing")
@blueprint.arguments(ModelListQuery, location="query")
@blueprint.response(200, ModelPage)
def list_models(query: dict[str, Any]) -> Response:
    """List models; `search` takes words and filters such as `base:sdxl -tag:style dim:>=32`."""
    return jsonify(_find_page(query))


@blueprint.route("/filters", methods=["GET"], endpoint="filters")
@blueprint.response(200, FilterValues)
def list_filters() -> Response:
    """List the values to filter by."""
    return jsonify(stores().library.search.list_filter_values())


@blueprint.route("/<model_id>", methods=["GET"], endpoint="read")
@blueprint.response(200, ModelDetail)
@blueprint.sends(Invalid)
def get_model(model_id: str) -> Response:
    """Get a model with all its metadata; `sources` names the source of each field."""
    return jsonify(model_detail(stores().library.models.get(parse_id(model_id))))


@blueprint.route("/<model_id>", methods=["PATCH"], policy=RoutePolicy(scope=Scope.LIBRARY), endpoint="change")
@blueprint.arguments(ModelChange)
@blueprint.response(200, ModelDetail, description="The changed model.")
def edit_model(body: dict[str, Any], model_id: str) -> Response:
    """Edit a model. Your values override every source and survive scans; null reverts a field."""
    require_json()
    id_ = parse_id(model_id)
    stores().library.user_edits.write(id_, body)
    return jsonify(model_detail(stores().library.models.get(id_)))


@blueprint.route("/<model_id>/download", methods=["GET"])
@blueprint.doc(parameters=[VERSION_PARAMETER])
@blueprint.response(200, BINARY, description="The file, whole or in part.", content_type="application/octet-stream")
@blueprint.sends(206, 304, Forbidden, PreconditionFailed, RangeNotSatisfiable)
def download(model_id: str) -> Response:
    """Download the model's file; supports HEAD, ranges and conditional requests."""
    model = stores().library.models.get(parse_id(model_id))
    return _send_first_file(_requested_version(model))


def _find_page(query: dict[str, Any]) -> dict[str, Any]:
    limit = min(query["limit"], MAX_PAGE_SIZE)
    offset = (query["page"] - 1) * limit
    if offset > MAX_OFFSET:
        raise Invalid(problems=["page: too far; use 'cursor' with the 'nextCursor' of the previous page."])
    cursor = KeysetCursor.decode(query["cursor"]) if query.get("cursor") else None
    page = stores().library.search.find_page(search_filter(query), limit=limit, offset=offset, cursor=cursor)
    with_versions = "versions" in query["include"]
    models = stores().library.models.get_many(page.ids, with_versions=with_versions)
    return {
        "items": [model_summary(model, with_versions=with_versions) for model in models],
        "total": page.total,
        "totalIsEstimate": page.total_is_estimate,
        "page": query["page"],
        "limit": limit,
        "hasMore": page.next_cursor is not None,
        "nextCursor": page.next_cursor.encode() if page.next_cursor else None,
    }


def search_filter(query: dict[str, Any]) -> SearchFilter:
    """Return the filter of a ModelListQuery; raises Invalid."""
    search = parse_query(query["search"])
    order = parse_sort_order(query["sort"]) if query.get("sort") else search.order
    return SearchFilter(
        equal={name: query[name] for name in EQUALITY_COLUMNS if query.get(name)},
        query=search,
        order=order or SortOrder(SortKey.NEWEST, descending=True),
        tags=query["tags"],
        tags_mode=query["tags_mode"],
        max_nsfw=query.get("max_nsfw"),
        has_metadata=query.get("has_metadata"),
    )


def _requested_version(model: ModelView) -> VersionView | None:
    """Return the version of the query; by default the newest one with a file on disk, or None without any."""
    requested = request.args.get("versionId")
    if requested is None:
        return next((version for version in model.versions if version.is_local), None)
    version_id = parse_id(requested, "version")
    version = next((version for version in model.versions if version.id == version_id), None)
    if version is None:
        raise NotFound("Version not found")
    return version


def _send_first_file(version: VersionView | None) -> Response:
    """Send the first file of a version that can be opened: a file may have gone since the last scan, its copy not.

    A part of a model of several files is no copy of its main file.
    """
    error = NotFound("Version file not available locally" if version else "Model or file not found")
    for file in version.files if version else ():
        if not file.is_present or file.path is None or not is_main_file(file.header):
            continue
        try:
            opened = open_indexed(file.root, file.path, stores().settings.models_dir)
        except NotFound as not_found:
            error = not_found
            continue
        sha256 = file.hashes.get("SHA256") if _is_as_hashed(opened, file) else None
        return send_opened_file(opened, file.path.rpartition(b"/")[2], sha256)
    raise error


def _is_as_hashed(opened: OpenFile, file: FileView) -> bool:
    """Whether the hashes of the index are those of these bytes: the file may have been replaced since."""
    stat = opened.size_bytes, opened.mtime_ns, opened.inode
    return file.is_hashed and stat == (file.size_bytes, file.mtime_ns, file.inode)
