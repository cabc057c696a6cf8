"""The gallery's pages: latest pictures, collections, one collection, one picture, one person.

A collection is at ``/c/SLUG``, a picture at ``/c/SLUG/TOKEN_ID``, a person at ``/u/ADDRESS``. Old slugs, addresses of
contracts and other spellings redirect there. JSON is below ``/v1`` and ``/api/v1/gallery``.
"""

from pathlib import Path
from typing import NoReturn

from flask import Response, g, send_from_directory
from werkzeug.wrappers import Response as BaseResponse

from api.gallery.pages.entries import build_collection, build_owner, build_token
from api.gallery.pages.listings import COLLECTIONS_PER_PAGE, PICTURES_PER_PAGE, requested_page
from api.gallery.pages.provenance import describe_provenance
from api.gallery.pages.resources import (
    NO_PROFILE,
    build_collection_listing,
    build_token_listing,
    find_collection,
    find_neighbours,
    find_owner,
    find_token,
    latest_collections,
    share_first,
)
from api.gallery.pages.responses import init_page_errors, page_response, redirect_to
from api.gallery.pages.sharing import describe_collection, describe_owner, describe_page, describe_token
from api.gallery.upload_urls import check_on_read
from api.http.auth import authenticate
from api.http.blueprint import Blueprint
from api.http.context import optional_caller, stores
from api.http.error_responses import native_body
from api.http.rate_limits import count_anonymous, count_caller
from api.http.route_policy import Access, RoutePolicy
from api.http.session_cookie import session_caller
from schemas.errors import NotFound
from schemas.gallery.encodings import is_address

STATIC_DIR = Path(__file__).parent / "static"
STATIC_MAX_AGE_S = 300
GALLERY_TEXT = "Pictures made with Darkroom."
READING = RoutePolicy(reads_gallery=True)

blueprint = Blueprint(
    "gallery_pages",
    __name__,
    access=Access.KEY,
    error_format=native_body,
    error_prefixes=("/gallery", "/c", "/u"),
    template_folder="templates",
)
init_page_errors(blueprint)


@blueprint.route("/gallery", policy=READING)
def show_pictures() -> Response:
    """The latest pictures of all collections."""
    page = requested_page(PICTURES_PER_PAGE)
    listed = stores().gallery.tokens.list_latest(page)
    collections = [] if page.cursor else latest_collections()
    return page_response(
        "gallery/pictures.html",
        section="pictures",
        listing=build_token_listing(listed, page),
        collections=collections,
        sharing=describe_page(
            stores().settings.public_url, "gallery", "Gallery", GALLERY_TEXT, share_first(listed.items)
        ),
    )


@blueprint.route("/gallery/collections", policy=READING)
def show_collections() -> Response:
    """All collections, the latest first."""
    page = requested_page(COLLECTIONS_PER_PAGE)
    listed = stores().gallery.collections.list_latest(page)
    return page_response(
        "gallery/collections.html",
        section="collections",
        listing=build_collection_listing(listed, page),
        sharing=describe_page(stores().settings.public_url, "gallery/collections", "Collections", GALLERY_TEXT),
    )


@blueprint.route("/c/<slug>", policy=READING)
def show_collection(slug: str) -> BaseResponse:
    """One collection."""
    collection = find_collection(slug)
    if slug != collection.slug:
        return redirect_to(f"c/{collection.slug}")
    page = requested_page(PICTURES_PER_PAGE)
    listed = stores().gallery.tokens.list_of_collection(collection, page)
    owner = find_owner(collection.address_of_owner)
    entry = build_collection(collection, owner, listed.items)
    return page_response(
        "gallery/collection.html",
        collection=entry,
        owner=owner,
        is_owner=_is_viewer(collection.owner),
        listing=build_token_listing(listed, page),
        sharing=describe_collection(stores().settings.public_url, entry, share_first(listed.items)),
    )


@blueprint.route("/c/<slug>/<token_id>", policy=READING)
def show_token(slug: str, token_id: str) -> BaseResponse:
    """One picture, with where it came from."""
    token = find_token(token_id)
    if (slug, token_id) != (token.collection.slug, token.token_id):
        return redirect_to(f"c/{token.collection.slug}/{token.token_id}")
    check_on_read(token)
    owner = find_owner(token.creator)
    entry = build_token(token, is_owner=_is_viewer(token.owner))
    return page_response(
        "gallery/token.html",
        token=entry,
        owner=owner,
        provenance=describe_provenance(token, is_owner=_is_viewer(token.owner)),
        neighbours=find_neighbours(token),
        sharing=describe_token(stores().settings.public_url, entry, token.media, owner),
    )


@blueprint.route("/u/<address>", policy=RoutePolicy(access=Access.CHECKED_BY_VIEW))
def show_profile(address: str) -> Response:
    """One person. The profile is public; the collections are shown to readers of the gallery."""
    _identify_viewer()
    profile = stores().gallery.profiles.get_by_address(address) if is_address(address) else None
    if profile is None:
        raise NotFound(NO_PROFILE)
    owner, listing = build_owner(profile.address, profile), None
    if optional_caller() or stores().settings.gallery_public:
        page = requested_page(COLLECTIONS_PER_PAGE)
        listed = stores().gallery.collections.list_of_owner(profile.address, page)
        listing = build_collection_listing(listed, page)
    return page_response(
        "gallery/profile.html",
        owner=owner,
        is_owner=_is_viewer(profile.caller_id),
        listing=listing,
        sharing=describe_owner(stores().settings.public_url, owner),
    )


@blueprint.route("/gallery/static/<path:name>", policy=RoutePolicy(access=Access.ANONYMOUS))
def static_file(name: str) -> Response:
    """A style sheet or an icon."""
    response = send_from_directory(STATIC_DIR, name, max_age=STATIC_MAX_AGE_S)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@blueprint.route("/gallery/<path:_rest>", policy=READING)
@blueprint.route("/c/<path:_rest>", policy=READING)
@blueprint.route("/u/<path:_rest>", policy=READING)
def refuse(_rest: str) -> NoReturn:
    """Addresses below these prefixes that lead nowhere; the error has the pages' look."""
    raise NotFound("No page has this address.")


def _identify_viewer() -> None:
    """Identify the caller if the request has a key or a session, and count the request."""
    caller = authenticate() or session_caller()
    if caller is None:
        count_anonymous()
    else:
        g.caller = caller
        count_caller(caller)


def _is_viewer(caller_id: str) -> bool:
    viewer = optional_caller()
    return viewer is not None and viewer.id == caller_id
