"""The model library's surface: models in lists and whole, what people write about them, their files.

The same views stand at two places: below ``/api/v1/models`` for keys, and below ``/api/models`` for who is signed in.
"""

from pathlib import Path
from typing import Any

from flask import Response, jsonify, request

from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.error_responses import library_body
from api.http.request_bodies import require_json
from api.http.route_policy import Access, RoutePolicy
from api.library.file_response import send_opened_file
from api.library.serializers import model_detail, model_summary
from schemas.accounts.caller import Scope
from schemas.errors import Invalid, NotFound
from schemas.library.model_views import FileView, ModelView, VersionView
from schemas.library.requests import MAX_ID, MAX_OFFSET, MAX_PAGE_SIZE, ModelChange, ModelListQuery
from schemas.library.search_query import SortKey, SortOrder, parse_query, parse_sort_order
from schemas.paging import KeysetCursor
from stores.library.safe_open import OpenFile, open_within
from stores.library.search import EQUALITY_COLUMNS, SearchFilter

MAX_ID_DIGITS = 16
VERSION_PARAMETER = {
    "in": "query",
    "name": "versionId",
    "schema": {"type": "integer"},
    "description": "Which version; otherwise the newest that is here.",
}


blueprint = Blueprint(
    "models", __name__, access=Access.KEY_OR_SESSION, error_format=library_body, description="The model library."
)


def parse_id(text: str, kind: str = "model") -> int:
    """The number of a model, version or picture; raises Invalid, and NotFound where it is larger than any."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_ID_DIGITS and int(text)):
        raise Invalid(f"Invalid {kind} ID")
    if int(text) > MAX_ID:
        raise NotFound(f"{kind.capitalize()} not found")
    return int(text)


@blueprint.route("", methods=["GET"])
@blueprint.arguments(ModelListQuery, location="query")
@blueprint.response(200, description="`items`, `total`, `page`, `limit`, `hasMore`, and `nextCursor`.")
def listing(query: dict[str, Any]) -> Response:
    """Models, filtered and sorted; `search` takes words and filters such as `base:sdxl -tag:style dim:>=32`."""
    return jsonify(_page(query))


@blueprint.route("/filters", methods=["GET"])
@blueprint.response(200, description="`categories`, `baseModels`, `types` and `tags`, the most frequent first.")
def filters() -> Response:
    """What there is to filter by."""
    return jsonify(stores().library.search.list_filter_values())


@blueprint.route("/<ident>", methods=["GET"])
@blueprint.response(200, description="The model with its versions, files and pictures.")
def read(ident: str) -> Response:
    """A model with all that is known of it; `sources` says who has said each field."""
    return jsonify(model_detail(stores().library.models.get(parse_id(ident))))


@blueprint.route("/<ident>", methods=["PATCH"], policy=RoutePolicy(scope=Scope.LIBRARY))
@blueprint.arguments(ModelChange)
@blueprint.response(200, description="The model as it is now.")
def change(body: dict[str, Any], ident: str) -> Response:
    """Write about a model. What you write wins over every source and stays; null takes it back."""
    require_json()
    model_id = parse_id(ident)
    stores().library.user_edits.write(model_id, body)
    return jsonify(model_detail(stores().library.models.get(model_id)))


@blueprint.route("/<ident>/download", methods=["GET"])
@blueprint.doc(parameters=[VERSION_PARAMETER])
@blueprint.response(200, description="The file, whole or in part.", content_type="application/octet-stream")
def download(ident: str) -> Response:
    """The model's file; ranges, conditions and HEAD are understood."""
    return _download(stores().library.models.get(parse_id(ident)))


def _page(query: dict[str, Any]) -> dict[str, Any]:
    limit = min(query["limit"], MAX_PAGE_SIZE)
    offset = (query["page"] - 1) * limit
    if offset > MAX_OFFSET:
        raise Invalid(problems=["page: too far; go on with 'cursor', from 'nextCursor' of the page before."])
    cursor = KeysetCursor.decode(query["cursor"]) if query.get("cursor") else None
    found = stores().library.search.find_page(_wanted(query), limit=limit, offset=offset, cursor=cursor)
    with_versions = "versions" in query["include"]
    shown = stores().library.models.get_many(found.ids, with_versions=with_versions)
    return {
        "items": [model_summary(model, with_versions=with_versions) for model in shown],
        "total": found.total,
        "page": query["page"],
        "limit": limit,
        "hasMore": found.next_cursor is not None,
        "nextCursor": found.next_cursor.encode() if found.next_cursor else None,
    }


def _wanted(query: dict[str, Any]) -> SearchFilter:
    asked = parse_query(query["search"])
    order = parse_sort_order(query["sort"]) if query.get("sort") else asked.order
    return SearchFilter(
        equal={name: query[name] for name in EQUALITY_COLUMNS if query.get(name)},
        query=asked,
        order=order or SortOrder(SortKey.NEWEST, descending=True),
        tags=query["tags"],
        tags_mode=query["tags_mode"],
        max_nsfw=query.get("most_nsfw"),
        has_metadata=query.get("has_metadata"),
    )


def _download(model: ModelView) -> Response:
    version = _version(model)
    error = NotFound("Version file not available locally" if version else "Model or file not found")
    for file in version.files if version else ():
        if not file.present or file.path is None:
            continue
        try:
            opened = open_within(_root(file), file.path, stores().settings.models_dir)
        except NotFound as gone:
            # Gone since the last scan; there may be another copy.
            error = gone
            continue
        return send_opened_file(
            opened, _name(file.path), file.hashes.get("SHA256") if _is_as_hashed(opened, file) else None
        )
    raise error


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _is_as_hashed(opened: OpenFile, file: FileView) -> bool:
    """Whether these are the bytes that the index knows: what has taken their place since has no hash yet."""
    now = opened.size_bytes, opened.mtime_ns, opened.inode
    return file.hashed and now == (file.size_bytes, file.mtime_ns, file.inode)


def _version(model: ModelView) -> VersionView | None:
    """The version that is asked for; else the newest that is here."""
    asked = request.args.get("versionId")
    if asked is None:
        return next((version for version in model.versions if version.is_local), None)
    ident = parse_id(asked, "version")
    found = next((version for version in model.versions if version.id == ident), None)
    if found is None:
        raise NotFound("Version not found")
    return found


def _root(file: FileView) -> Path:
    """The folder that the file is below; raises NotFound if MODELS_DIR does not name it any more."""
    root = next((one for one in stores().settings.models_dir if str(one) == file.root), None)
    if root is None:
        raise NotFound("The file's folder is not one of MODELS_DIR any more.")
    return root
