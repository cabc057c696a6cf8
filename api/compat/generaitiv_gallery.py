"""The gallery of the generaitiv API, below ``/v1``, for its existing clients.

These clients look at keys and not at the HTTP status, so every error has ``message`` and no key of a success.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from flask import Response, jsonify, request

from api.compat import gallery_responses as views
from api.compat import gallery_serializers
from api.compat.generaitiv_responses import SuccessText
from api.gallery.conditional_json import conditional_json
from api.gallery.lookups import is_own
from api.gallery.upload_urls import check_on_read
from api.http.blueprint import Blueprint
from api.http.context import caller, optional_caller, stores
from api.http.error_responses import generaitiv_body
from api.http.route_policy import Access, RoutePolicy
from schemas.accounts.caller import Scope
from schemas.errors import Forbidden, Invalid, NotFound
from schemas.gallery.collections import Collection
from schemas.gallery.encodings import is_address, is_virtual_contract, parse_token_id
from schemas.gallery.pages import MAX_OFFSET, Listed, Page
from schemas.gallery.requests.bodies import SeedListQuery, SeedToken
from schemas.gallery.tokens import NewToken, Token
from schemas.jobs.generaitiv_requests import parse_workload_id
from schemas.library.requests import load_body

READ = RoutePolicy(reads_gallery=True)
EDIT = RoutePolicy(scope=Scope.GALLERY)
LIST_MAX_AGE_S = 5
STALE_S = 30
# Clients of the list of a user's collections do not page.
MAX_COLLECTIONS_OF_USER = 1000
NO_SUCH_USER = "There is no user with that address."
T = TypeVar("T")
ANY_ADDRESS = {
    "in": "path",
    "name": "address",
    "schema": {"type": "string", "minLength": 1},
    "description": "The address of a person; others have no collections.",
    "example": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
}

blueprint = Blueprint(
    "generaitiv_gallery",
    __name__,
    access=Access.KEY,
    error_format=generaitiv_body,
    url_prefix="/v1",
    description="The generaitiv API: users, collections and tokens.",
)


@blueprint.route("/q/latest-tokens", policy=READ)
@blueprint.arguments(SeedListQuery, location="query")
@blueprint.response(200, views.LatestTokens)
@blueprint.sends(304)
def latest_tokens(query: dict[str, Any]) -> Response:
    """The latest tokens of all collections."""
    listed = _list(stores().gallery.tokens.list_latest, query)
    return conditional_json(
        {"result": _views(gallery_serializers.latest_token, listed), **_rest(listed)}, cache_control=_list_caching()
    )


@blueprint.route("/q/latest-collections", policy=READ)
@blueprint.arguments(SeedListQuery, location="query")
@blueprint.response(200, views.LatestCollections)
@blueprint.sends(304)
def latest_collections(query: dict[str, Any]) -> Response:
    """The latest collections."""
    listed = _list(stores().gallery.collections.list_latest, query)
    return conditional_json(
        {"result": _views(gallery_serializers.latest_collection, listed), **_rest(listed)},
        cache_control=_list_caching(),
    )


@blueprint.route("/tokens/collection/<slug>", policy=READ)
@blueprint.arguments(SeedListQuery, location="query")
@blueprint.response(200, views.TokensOfCollection)
@blueprint.sends(304)
def tokens_of_collection(query: dict[str, Any], slug: str) -> Response:
    """The tokens of a collection, in its order; of all collections for the address that they share."""
    tokens = stores().gallery.tokens
    if is_virtual_contract(slug):
        listed = _list(tokens.list_latest, query)
    else:
        collection = _find_collection(slug)
        listed = _list(lambda page: tokens.list_of_collection(collection, page), query)
    shown = _views(gallery_serializers.token_of_collection, listed)
    return conditional_json({"pageSize": len(shown), "result": shown, **_rest(listed)})


@blueprint.route("/u/<address>", policy=RoutePolicy(access=Access.ANONYMOUS))
@blueprint.response(200, views.UserView)
@blueprint.sends(304)
def read_user(address: str) -> Response:
    """A user; this needs no key."""
    profile = stores().gallery.profiles.get_by_address(address) if is_address(address) else None
    if profile is None:
        raise NotFound(NO_SUCH_USER)
    return conditional_json(gallery_serializers.user(profile, _public_url()))


@blueprint.route("/u/<address>/collections", policy=READ, parameters=[ANY_ADDRESS])
@blueprint.arguments(SeedListQuery, location="query")
@blueprint.response(200, views.CollectionsOfUser)
@blueprint.sends(304)
def collections_of_user(query: dict[str, Any], address: str) -> Response:
    """The collections of a user, the newest first; none for an unknown user. Yours include archived ones."""
    profile = stores().gallery.profiles.get_by_address(address) if is_address(address) else None
    if profile is None:
        return conditional_json({"collections": [], "next": None, "hidden": 0})
    reader, collections = optional_caller(), stores().gallery.collections
    is_own = reader is not None and reader.id == profile.caller_id
    if "page_size" not in request.args:
        query = query | {"page_size": MAX_COLLECTIONS_OF_USER}
    listed = _list(lambda page: collections.list_of_owner(profile.address, page, with_archived=is_own), query)
    shown = _views(gallery_serializers.collection_of_user, listed)
    return conditional_json({"collections": shown, **_rest(listed)})


@blueprint.route("/c/<slug>", policy=READ)
@blueprint.response(200, views.SingleCollection)
@blueprint.sends(304)
def read_collection(slug: str) -> Response:
    """A collection, by its slug, an earlier slug, or its virtual address."""
    if is_virtual_contract(slug):
        raise NotFound("All virtual collections share this address; ask for a slug or for a virtual_address.")
    return conditional_json(gallery_serializers.single_collection(_find_collection(slug), _public_url()))


@blueprint.route("/c/<slug>/<token_id>", policy=READ)
@blueprint.response(200, views.SingleToken)
@blueprint.sends(304)
def read_token(slug: str, token_id: str) -> Response:
    """A token of a collection, which is named by its slug, its virtual address, or the address that all share."""
    token = stores().gallery.tokens.find(parse_token_id(token_id))
    if not is_virtual_contract(slug) and _find_collection(slug).id != token.collection.id:
        raise NotFound(f"The token is not in the collection {slug[:100]!r}; it is in {token.collection.slug!r}.")
    check_on_read(token)
    return conditional_json(gallery_serializers.single_token(_without_secret_job(token), _public_url()))


@blueprint.route("/c/virtual/slug-from-id/<token_id>", policy=READ)
@blueprint.response(200, views.SlugView)
@blueprint.sends(304)
def read_slug(token_id: str) -> Response:
    """The slug of a token's collection."""
    return conditional_json({"slug": stores().gallery.tokens.find(parse_token_id(token_id)).collection.slug})


@blueprint.route("/c/virtual/next/<address>", policy=EDIT)
@blueprint.response(200, views.ReservedId)
@blueprint.alt_response(403, description="The address is not that of the key's owner.")
def next_token_id(address: str) -> Response:
    """Reserve an id for a new token of yours."""
    gallery = stores().gallery
    if gallery.profiles.get_or_create(caller().id).address.lower() != address.lower():
        raise Forbidden("This address is not yours; '/v1/consumer/user-info' has the address of your key.")
    response = jsonify({"tokenId": gallery.tokens.reserve_id(caller().id)})
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.route("/c/virtual/token/<slug>/<token_id>", methods=["POST"], policy=EDIT)
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": SeedToken}}})
@blueprint.response(200, SuccessText)
@blueprint.alt_response(403, description="The collection is not yours, or the id was not reserved by your key.")
@blueprint.alt_response(409, description="There is a token with this id.")
def create_token(slug: str, token_id: str) -> Response:
    """Create a token in a collection of yours, with an id that `/c/virtual/next/ADDRESS` has reserved."""
    # Existing clients send other content types, or none.
    fields = load_body(SeedToken(), request.get_json(force=True, silent=True))
    path_id = parse_token_id(token_id)
    if fields.pop("tokenId", path_id) != path_id:
        raise Invalid(problems=["tokenId: differs from the id in the URL."])
    fields["attributes"] = tuple(fields["attributes"])
    fields["description"] = fields["description"] or ""
    stores().gallery.tokens.create(caller().id, _find_collection(slug), path_id, NewToken(**fields))
    return jsonify({"success": "true"})


def _without_secret_job(token: Token) -> Token:
    """Return the token without its job for others, while the job's id leads to pictures without a key."""
    if (
        is_own(token)
        or not token.workload_id
        or not stores().results.has_original(parse_workload_id(token.workload_id))
    ):
        return token
    return replace(token, workload_id=None)


def _find_collection(slug: str) -> Collection:
    return stores().gallery.collections.find(slug).collection


def _list(read: Callable[[Page], Listed[T]], query: dict[str, Any]) -> Listed[T]:
    """Return a page of a list. A cursor of digits counts the items before the page."""
    cursor, size = query.get("cursor"), query["page_size"]
    page = Page(cursor, query["page"], size, query["explicit"])
    if cursor is None or not (cursor.isascii() and cursor.isdigit()):
        return read(page)
    skipped = int(cursor[: len(str(MAX_OFFSET)) + 1])
    if skipped > MAX_OFFSET:
        raise Invalid(problems=[f"cursor: counts more than {MAX_OFFSET} items; send 'next' of the previous page."])
    if skipped % size == 0:
        return read(replace(page, cursor=None, number=skipped // size))
    # A client that adds the lengths of unequal pages.
    listed = read(replace(page, cursor=None, number=0, size=skipped + size))
    return replace(listed, items=listed.items[skipped:])


def _views(serialize: Callable[[T, str], dict[str, Any]], listed: Listed[T]) -> list[dict[str, Any]]:
    return [serialize(item, _public_url()) for item in listed.items]


def _rest(listed: Listed[Any]) -> dict[str, Any]:
    return {"next": listed.next_cursor, "hidden": listed.hidden}


def _list_caching() -> str:
    """Return the caching of lists: shared caches may keep only what GALLERY_PUBLIC shows to readers without a key."""
    is_public = stores().settings.gallery_public and optional_caller() is None
    visibility = "public" if is_public else "private"
    return f"{visibility}, max-age={LIST_MAX_AGE_S}, stale-while-revalidate={STALE_S}"


def _public_url() -> str:
    return stores().settings.public_url
