"""The Gallery section: the caller's collections, the pictures in them, and their order."""

from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from api.console.forms import go_to, require_scope
from api.console.page import render, section_blueprint
from api.console.sections import GALLERY
from api.console.text_filters import add_text_filters
from api.gallery.lookups import own_collection, own_token
from api.gallery.new_tokens import add_job_picture
from api.gallery.pages.entries import build_token
from api.gallery.pages.resources import collection_entries
from api.gallery.token_changes import change_token
from api.http.context import caller, stores
from schemas.accounts.caller import Scope
from schemas.errors import Conflict, Invalid, NotFound, ServiceError
from schemas.gallery.collections import Collection, CollectionStatus, NewCollection
from schemas.gallery.pages import Page
from schemas.gallery.requests.bodies import CollectionChange, NewCollectionBody, TokenChange
from schemas.gallery.tokens import Token
from schemas.library.requests import load_body

COLLECTIONS_PER_PAGE = 48
TOKENS_PER_PAGE = 100
MAX_JOBS = 48

blueprint = section_blueprint("gallery")
add_text_filters(blueprint)


@blueprint.route(GALLERY.path)
def overview() -> Response:
    """Show the collections of the caller, also archived ones, and the form for a new one."""
    return _overview_page()


@blueprint.route(GALLERY.path, methods=["POST"])
def create() -> BaseResponse:
    """Create a collection and show it."""
    require_scope(Scope.GALLERY)
    try:
        fields = load_body(NewCollectionBody(), _texts("name", "description") | {"explicit": _is_checked("explicit")})
        collection = stores().gallery.collections.create(caller().id, NewCollection(**fields))
    except (Invalid, Conflict) as error:
        return _overview_page(problem=error)
    return go_to(f"{GALLERY.path}/{collection.slug}")


@blueprint.route(f"{GALLERY.path}/<slug>")
def show(slug: str) -> Response:
    """Show a collection: its pictures in their order, jobs whose pictures can be added, and its settings."""
    return _collection_page(own_collection(slug))


@blueprint.route(f"{GALLERY.path}/<slug>", methods=["POST"])
def change(slug: str) -> BaseResponse:
    """Change name, description, and whether the collection is explicit or archived."""
    require_scope(Scope.GALLERY)
    collection = own_collection(slug)
    status = CollectionStatus.ARCHIVED if _is_checked("archived") else CollectionStatus.ACTIVE
    texts = _texts("name", "description") | {"explicit": _is_checked("explicit"), "status": status.value}
    try:
        changes = load_body(CollectionChange(), texts)
        changed = stores().gallery.collections.update(caller().id, collection.id, changes)
    except (Invalid, Conflict) as error:
        return _collection_page(collection, problem=error)
    return go_to(f"{GALLERY.path}/{changed.slug}", done="changed")


@blueprint.route(f"{GALLERY.path}/<slug>/delete", methods=["POST"])
def delete(slug: str) -> BaseResponse:
    """Delete an empty collection."""
    require_scope(Scope.GALLERY)
    collection = own_collection(slug)
    try:
        stores().gallery.collections.delete(caller().id, collection.id)
    except Conflict as error:
        return _collection_page(collection, problem=error)
    return go_to(GALLERY.path, deleted=collection.name)


@blueprint.route(f"{GALLERY.path}/<slug>/pictures", methods=["POST"])
def add(slug: str) -> BaseResponse:
    """Keep the picture of a job in the collection."""
    require_scope(Scope.GALLERY)
    collection = own_collection(slug)
    fields = {"is_prompt_private": _is_checked("private")}
    try:
        token = add_job_picture(collection, fields, request.form.get("job", ""), 1)
    except ServiceError as error:
        return _collection_page(collection, problem=error)
    return redirect_to_token(collection.slug, token.token_id, "added")


@blueprint.route(f"{GALLERY.path}/<slug>/pictures/<token_id>", methods=["POST"])
def change_picture(slug: str, token_id: str) -> BaseResponse:
    """Change name, description and privacy of a picture."""
    require_scope(Scope.GALLERY)
    collection, token = _own_picture(slug, token_id)
    try:
        changes = load_body(TokenChange(), _texts("name", "description") | {"promptPrivate": _is_checked("private")})
        change_token(token, changes)
    except ServiceError as error:
        return _collection_page(collection, problem=error)
    return redirect_to_token(collection.slug, token.token_id, "changed")


@blueprint.route(f"{GALLERY.path}/<slug>/pictures/<token_id>/move", methods=["POST"])
def move_picture(slug: str, token_id: str) -> BaseResponse:
    """Move a picture to before another one, or to the end."""
    require_scope(Scope.GALLERY)
    collection, token = _own_picture(slug, token_id)
    try:
        stores().gallery.tokens.move(caller().id, token.token_id, before=request.form.get("before") or None)
    except Conflict as error:
        return _collection_page(collection, problem=error)
    return redirect_to_token(collection.slug, token.token_id, "moved")


@blueprint.route(f"{GALLERY.path}/<slug>/pictures/<token_id>/delete", methods=["POST"])
def delete_picture(slug: str, token_id: str) -> BaseResponse:
    """Delete a picture permanently."""
    require_scope(Scope.GALLERY)
    collection, token = _own_picture(slug, token_id)
    stores().gallery.tokens.delete(caller().id, token.token_id)
    return go_to(f"{GALLERY.path}/{collection.slug}", done="deleted")


def redirect_to_token(slug: str, token_id: str, done: str) -> BaseResponse:
    """Return the redirect to a picture's place in its collection."""
    response = go_to(f"{GALLERY.path}/{slug}", done=done)
    response.location = f"{response.location}#picture-{token_id}"
    return response


def _overview_page(problem: ServiceError | None = None) -> Response:
    page = Page(cursor=request.args.get("cursor") or None, size=COLLECTIONS_PER_PAGE)
    profile = stores().gallery.profiles.get_or_create(caller().id)
    listed = stores().gallery.collections.list_of_owner(profile.address, page, with_archived=True)
    return render(
        "gallery/index.html",
        section=GALLERY,
        title=GALLERY.title,
        status=problem.status if problem else 200,
        collections=collection_entries(listed.items),
        next_cursor=listed.next_cursor,
        address=profile.address,
        form=request.form if problem else {},
        problem=problem,
        deleted=request.args.get("deleted", "")[:100],
    )


def _collection_page(collection: Collection, problem: ServiceError | None = None) -> Response:
    page = Page(cursor=request.args.get("cursor") or None, size=TOKENS_PER_PAGE)
    listed = stores().gallery.tokens.list_of_collection(collection, page)
    return render(
        "gallery/collection.html",
        section=GALLERY,
        title=collection.name,
        status=problem.status if problem else 200,
        collection=collection,
        pictures=_picture_views(listed.items, is_last=listed.next_cursor is None),
        next_cursor=listed.next_cursor,
        jobs=_kept_candidates(),
        public_url=f"{stores().settings.public_url}/c/{collection.slug}",
        is_public=stores().settings.gallery_public,
        problem=problem,
        done=request.args.get("done"),
    )


def _picture_views(tokens: tuple[Token, ...], *, is_last: bool) -> list[dict[str, Any]]:
    """Return pictures with the moves that are possible: the token before which each would be."""
    views = []
    for index, token in enumerate(tokens):
        earlier = tokens[index - 1].token_id if index else None
        # Behind the last one is the end, unless another page follows.
        following = [*(other.token_id for other in tokens[index + 1 :]), *([""] if is_last else [])][1:2]
        later = following[0] if following else None
        entry = build_token(token, is_owner=True)
        views.append({"entry": entry, "is_private": token.is_prompt_private, "earlier": earlier, "later": later})
    return views


def _kept_candidates() -> list[dict[str, Any]]:
    """Return the caller's latest completed jobs, whose pictures are still there."""
    jobs, _ = stores().jobs.list_page(caller().id, None, MAX_JOBS)
    return [{"id": job.id, "prompt": job.request.prompt} for job, _ in jobs if job.results]


def _own_picture(slug: str, token_id: str) -> tuple[Collection, Token]:
    """Return a picture of a collection of the caller; raises NotFound and Forbidden."""
    collection, token = own_collection(slug), own_token(token_id)
    if token.collection.id != collection.id:
        raise NotFound("The picture is in another collection.")
    return collection, token


def _texts(*names: str) -> dict[str, Any]:
    """Return fields of the sent form; browsers send line breaks as CR and LF."""
    return {name: request.form.get(name, "").replace("\r\n", "\n").strip() for name in names}


def _is_checked(name: str) -> bool:
    return bool(request.form.get(name))
