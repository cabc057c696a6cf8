"""The Models section: the library as a grid, one model with all that is known of it, and the state of the library."""

from typing import Any
from urllib.parse import urlencode

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from api.console.forms import go_to, require_scope
from api.console.page import render, section_blueprint
from api.console.sections import MODELS
from api.console.text_filters import add_text_filters
from api.console.views.model_fields import field_rows, parse_change
from api.http.context import caller, stores
from api.library.models import parse_id
from api.library.serializers import image_view, model_detail
from schemas.accounts.caller import Scope
from schemas.errors import Conflict, Invalid, ServiceError
from schemas.library.model_views import ImageView, ModelView, is_video
from schemas.library.requests import MAX_OFFSET
from schemas.library.search_query import MAX_QUERY_CHARS, SearchQuery, SortKey, SortOrder, parse_query, parse_sort_order
from stores.library.search import SearchFilter

PAGE_SIZE = 60
MAX_FACET_VALUES = 12
MAX_PROBLEMS = 100
MAX_VALUE_CHARS = 200
# Facets by the parameter of the address: the name in the store, and the title.
FACETS = {"category": "Category", "base_model": "Base model", "type": "Type", "tags": "Tag"}
SORTS = {
    SortKey.NEWEST: "Newest first",
    SortKey.NAME: "Name",
    SortKey.SIZE: "Largest first",
    SortKey.DOWNLOADS: "Downloads",
    SortKey.LIKES: "Likes",
}
SEARCH_HELP = (
    ("ink wash", "both words, in any text of the model"),
    ('"ink wash"', "the words next to each other"),
    ("-anime", "without this word"),
    ("base:sdxl", "base model contains sdxl; also name: and creator:"),
    ("type:lora, category:checkpoint, tag:style", "exactly this"),
    ("dim:>=32, size:<200mb, downloads:>1000, nsfw:0", "compared numbers"),
    ("has:notes", "also images, words, tags, metadata, civitai, problem"),
    ("is:duplicate", "also local, missing, pickle, hashed"),
    ("sort:-size", "order; + and - give the direction"),
)

blueprint = section_blueprint("models")
add_text_filters(blueprint)


@blueprint.route(MODELS.path)
def grid() -> Response:
    """Show the models that match ``search`` and the facets; the script shows all of them, page by page as needed."""
    query = _query()
    try:
        criteria, problem = _filter(query), None
    except Invalid as error:
        criteria, problem = _filter({}), error
    number = min(max(request.args.get("page", 1, type=int), 1), MAX_OFFSET // PAGE_SIZE)
    search = stores().library.search
    page = search.find_page(criteria, limit=PAGE_SIZE, offset=(number - 1) * PAGE_SIZE)
    facets = search.count_facets(criteria, MAX_FACET_VALUES)
    return render(
        "models/index.html",
        section=MODELS,
        title=MODELS.title,
        models=[_card(model) for model in stores().library.models.get_many(page.ids)],
        total=page.total,
        total_is_estimate=page.total_is_estimate,
        number=number,
        has_more=page.next_cursor is not None,
        query=query,
        api_query=_api_query(query),
        facets=facets.values,
        facets_are_estimates=facets.are_estimates,
        facet_titles=FACETS,
        sorts=SORTS,
        search_help=SEARCH_HELP,
        problem=problem,
        has_library=stores().has_library,
        scan=stores().scan_requests.latest(),
        without=_without(query),
        address=_address,
    )


@blueprint.route(f"{MODELS.path}/state")
def state() -> Response:
    """Show the figures of the library, its problems, and the progress of a scan; with ``part=scan`` only the last."""
    progress: dict[str, Any] = {
        "scan": stores().scan_requests.latest(),
        "hashing": stores().library.file_hashes.count_pending(),
    }
    if request.args.get("part") == "scan":
        return render("models/scan.html", **progress)
    maintenance = stores().library.maintenance
    after = max(request.args.get("after", 0, type=int), 0)
    problems, next_after = maintenance.list_problems(MAX_PROBLEMS, after)
    return render(
        "models/state.html",
        section=MODELS,
        title="State of the library",
        counts=maintenance.get_counts(),
        problems=[_problem(problem) for problem in problems],
        next_after=next_after,
        **progress,
        folders=_list_folders() if caller().has_scope(Scope.ADMIN) else [],
        has_library=stores().has_library,
        requested=request.args.get("requested"),
    )


def _list_folders() -> list[str]:
    """Return the folders of the library, also those of other machines."""
    return sorted({*map(str, stores().settings.models_dir), *(root.path for root in stores().library.roots.list_all())})


@blueprint.route(f"{MODELS.path}/scan", methods=["POST"])
def scan() -> BaseResponse:
    """Scan the library now; with ``full`` every file is read again."""
    require_scope(Scope.LIBRARY)
    if not stores().has_library:
        raise Conflict("There is no model library: MODELS_DIR is not set.")
    stores().scan_requests.request(full=bool(request.form.get("full")))
    return go_to(f"{MODELS.path}/state", requested="1")


@blueprint.route(f"{MODELS.path}/<model_id>")
def detail(model_id: str) -> Response:
    """Show a model with its versions, files, pictures, and the source of each field."""
    return _detail_page(stores().library.models.get(parse_id(model_id)))


@blueprint.route(f"{MODELS.path}/<model_id>", methods=["POST"])
def edit(model_id: str) -> BaseResponse:
    """Set one field of a model, or revert it to the value from its sources."""
    require_scope(Scope.LIBRARY)
    model = stores().library.models.get(parse_id(model_id))
    try:
        change = parse_change(request.form)
    except Invalid as error:
        return _detail_page(model, problem=error)
    stores().library.user_edits.write(model.id, change)
    return go_to(f"{MODELS.path}/{model.id}", done=next(iter(change)))


@blueprint.route(f"{MODELS.path}/<model_id>/images/<image_id>/delete", methods=["POST"])
def delete_image(model_id: str, image_id: str) -> BaseResponse:
    """Delete a picture that a person has added."""
    require_scope(Scope.LIBRARY)
    id_, picture_id = parse_id(model_id), parse_id(image_id, "image")
    deleted = stores().library.images.delete(id_, picture_id)
    for key in filter(None, (deleted.media_key, deleted.thumb_key)):
        stores().media.delete(key)
    return go_to(f"{MODELS.path}/{id_}")


def _detail_page(model: ModelView, problem: ServiceError | None = None) -> Response:
    view = model_detail(model)
    return render(
        "models/detail.html",
        section=MODELS,
        title=model.name,
        status=problem.status if problem else 200,
        model=view,
        rows=field_rows(model, view),
        versions=view["versions"],
        pictures=[_picture(image) for image in _pictures(model)],
        copies=_copies(view),
        make_address=_make_address(model, view),
        can_edit=caller().has_scope(Scope.LIBRARY),
        problem=problem,
        done=request.args.get("done", "")[:MAX_VALUE_CHARS],
    )


def _query() -> dict[str, str]:
    """Return the search in the address, in the form in which links repeat it."""
    limits = {"search": MAX_QUERY_CHARS, "sort": 20} | dict.fromkeys(FACETS, MAX_VALUE_CHARS)
    given = {name: request.args.get(name, "").strip()[:limit] for name, limit in limits.items()}
    return {name: value for name, value in given.items() if value}


def _filter(query: dict[str, str]) -> SearchFilter:
    search = parse_query(query["search"]) if "search" in query else SearchQuery()
    order = parse_sort_order(query["sort"]) if "sort" in query else search.order
    return SearchFilter(
        equal={name: query[name] for name in ("category", "base_model", "type") if name in query},
        query=search,
        order=order or SortOrder(SortKey.NEWEST, descending=True),
        tags=(query["tags"],) if "tags" in query else (),
    )


def _api_query(query: dict[str, str]) -> str:
    """Return the same search as a query of the API."""
    return urlencode({"baseModel" if name == "base_model" else name: value for name, value in query.items()})


def _without(query: dict[str, str]) -> dict[str, str]:
    """Return for each facet in the address the address without it."""
    return {name: _address({key: value for key, value in query.items() if key != name}) for name in query}


def _address(query: dict[str, str], **changes: str) -> str:
    return f"{MODELS.path}?{urlencode({**query, **changes})}"


def _card(model: ModelView) -> dict[str, Any]:
    hero = model.hero
    return {
        "id": model.id,
        "name": model.name,
        "kind": " · ".join(filter(None, (model.type, model.base_model))),
        "thumb": f"/api/v1/images/{hero.id}/thumb" if hero and not is_video(hero.path) else None,
    }


def _pictures(model: ModelView) -> list[ImageView]:
    return [*model.images, *(image for version in model.versions for image in version.images)]


def _picture(image: ImageView) -> dict[str, Any]:
    view = image_view(image)
    params = {name: value for name, value in (view["generationParams"] or {}).items() if _is_shown(value)}
    return view | {
        "address": f"/api/v1/images/{image.id}",
        "thumb": None if is_video(image.path) else f"/api/v1/images/{image.id}/thumb",
        "params": {name: value for name, value in params.items() if name != "prompt"},
    }


def _is_shown(value: Any) -> bool:
    return isinstance(value, str | int | float) and value not in ("", False)


def _copies(view: dict[str, Any]) -> set[str]:
    """Return the hashes of contents that several files on disk have."""
    files = [file for version in view["versions"] for file in version["files"] if file["isLocal"]]
    contents = [file["hashes"].get("SHA256") for file in files]
    return {content for content in contents if content and contents.count(content) > 1}


def _make_address(model: ModelView, view: dict[str, Any]) -> str | None:
    """Return the address of Make with this LoRA and its words; None for other types."""
    if "lora" not in model.category.lower() and "lora" not in model.type.lower():
        return None
    words = ", ".join(view["trainedWords"])
    return "/console/make?" + urlencode({"lora": model.name} | ({"prompt": words} if words else {}))


def _problem(problem: Any) -> dict[str, Any]:
    path, subject = (text.decode(errors="replace") for text in (problem.path, problem.subject))
    return {"path": subject or path, "code": problem.code, "message": problem.message, "found_at": problem.found_at}
