"""Routes for collections: lists, creation, changes, deletion, and the order of their tokens."""

from typing import Any

from flask import Response, jsonify

from api.gallery.conditional_json import conditional_json
from api.gallery.documents.responses import CollectionPage, CollectionView, TokenPage
from api.gallery.lookups import EDIT, READ, find_collection, own_collection, read_page, redirect_to_slug
from api.gallery.serializers import collection_view, page_view, token_view
from api.gallery.token_pictures import own_picture
from api.http.blueprint import Blueprint
from api.http.context import caller, optional_caller, stores
from api.http.request_bodies import require_json
from api.http.route_policy import Access
from schemas.errors import Invalid, Unauthorized
from schemas.gallery.collections import NewCollection
from schemas.gallery.encodings import is_address
from schemas.gallery.pages import Listed
from schemas.gallery.profiles import Profile
from schemas.gallery.requests.bodies import (
    CollectionChange,
    CollectionListQuery,
    ListQuery,
    NewCollectionBody,
    TokenOrder,
)

ME = "me"

blueprint = Blueprint(
    "gallery_collections", __name__, access=Access.KEY, description="The gallery: collections of tokens."
)


@blueprint.route("", methods=["GET"], policy=READ, endpoint="listing")
@blueprint.arguments(CollectionListQuery, location="query")
@blueprint.response(200, CollectionPage)
@blueprint.sends(304)
def list_collections(query: dict[str, Any]) -> Response:
    """The latest collections; with `owner` those of one address, or with `owner=me` your own, also archived ones."""
    collections, page = stores().gallery.collections, read_page(query)
    if "owner" not in query:
        return conditional_json(page_view(collections.list_latest(page), collection_view))
    profile, reader = _profile(query["owner"]), optional_caller()
    if profile is None:
        return conditional_json(page_view(Listed((), None, 0), collection_view))
    is_own = reader is not None and reader.id == profile.caller_id
    listed = collections.list_of_owner(profile.address, page, with_archived=is_own)
    return conditional_json(page_view(listed, collection_view))


@blueprint.route("", methods=["POST"], policy=EDIT, endpoint="add")
@blueprint.arguments(NewCollectionBody)
@blueprint.response(201, CollectionView, description="The collection.")
@blueprint.alt_response(409, description="The slug is taken; `suggestion` in the details is free.")
def create(body: dict[str, Any]) -> Response:
    """Create a collection. Without a `slug` it gets one from its name."""
    require_json()
    response = jsonify(collection_view(stores().gallery.collections.create(caller().id, NewCollection(**body))))
    response.status_code = 201
    return response


@blueprint.route("/<slug>", methods=["GET"], policy=READ, endpoint="read")
@blueprint.response(200, CollectionView, description="The collection.")
@blueprint.sends(304)
@blueprint.alt_response(308, description="The collection was renamed; Location has its current slug.")
def read(slug: str) -> Response:
    """A collection, by its slug or its virtual address."""
    found = stores().gallery.collections.find(slug)
    if found.moved_from:
        return redirect_to_slug(found.collection.slug)
    return conditional_json(collection_view(found.collection))


@blueprint.route("/<slug>", methods=["PATCH"], policy=EDIT, endpoint="change")
@blueprint.arguments(CollectionChange)
@blueprint.response(200, CollectionView, description="The changed collection.")
@blueprint.alt_response(409, description="The slug is taken; `suggestion` in the details is free.")
def change(body: dict[str, Any], slug: str) -> Response:
    """Change a collection of yours. A new slug keeps the old one as a redirect. `picture` is a token of yours."""
    require_json()
    collection = own_collection(slug)
    changes = {name: value for name, value in body.items() if name != "picture"}
    update = stores().gallery.collections.update
    if "picture" not in body:
        return jsonify(collection_view(update(caller().id, collection.id, changes)))
    with own_picture(body["picture"]) as name:
        return jsonify(collection_view(update(caller().id, collection.id, changes | {"thumbnail": name})))


@blueprint.route("/<slug>", methods=["DELETE"], policy=EDIT, endpoint="delete")
@blueprint.response(204, description="The collection is deleted, and its slugs are free.")
@blueprint.alt_response(409, description="The collection has tokens: move or delete them, or set `status` to ARCHIVED.")
def delete(slug: str) -> Response:
    """Delete a collection of yours that is empty."""
    stores().gallery.collections.delete(caller().id, own_collection(slug).id)
    return Response(status=204)


@blueprint.route("/<slug>/tokens", methods=["GET"], policy=READ, endpoint="tokens")
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, TokenPage)
@blueprint.sends(304)
@blueprint.alt_response(308, description="The collection was renamed; Location has its current slug.")
def list_tokens(query: dict[str, Any], slug: str) -> Response:
    """The tokens of a collection, in its order."""
    found = stores().gallery.collections.find(slug)
    if found.moved_from:
        return redirect_to_slug(found.collection.slug)
    listed = stores().gallery.tokens.list_of_collection(found.collection, read_page(query))
    return conditional_json(page_view(listed, token_view))


@blueprint.route("/<slug>/order", methods=["PUT"], policy=EDIT, endpoint="order")
@blueprint.arguments(TokenOrder)
@blueprint.response(204, description="The tokens have this order.")
@blueprint.alt_response(409, description="One of the tokens is not in the collection; no token was moved.")
def reorder(body: dict[str, Any], slug: str) -> Response:
    """Put tokens of a collection of yours into an order among themselves; the others keep their places."""
    require_json()
    stores().gallery.tokens.reorder(caller().id, find_collection(slug).id, body["token_ids"])
    return Response(status=204)


def _profile(owner: str) -> Profile | None:
    """Return the profile of an address, or of the caller for ``me``; None for an unknown address."""
    profiles, reader = stores().gallery.profiles, optional_caller()
    if owner == ME:
        if reader is None:
            raise Unauthorized
        return profiles.get_or_create(reader.id)
    if not is_address(owner):
        raise Invalid(problems=[f"owner: neither an address nor {ME!r} (given: {owner!r})."])
    return profiles.get_by_address(owner)
