"""Routes for tokens: lists, changes, order, offers and deletion. ``api.gallery.new_tokens`` creates them."""

from typing import Any

from flask import Response, jsonify

from api.gallery.conditional_json import conditional_json
from api.gallery.documents.responses import RefreshedToken, TokenPage, TokenView
from api.gallery.lookups import EDIT, READ, find_collection, find_token, own_token, read_page
from api.gallery.serializers import page_view, token_view
from api.gallery.token_changes import change_token
from api.gallery.upload_urls import check_on_read
from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.request_bodies import require_json
from api.http.route_policy import Access
from schemas.gallery.requests.bodies import ListingBody, ListQuery, TokenChange, TokenMove
from schemas.gallery.tokens import Listing

blueprint = Blueprint("gallery_tokens", __name__, access=Access.KEY, description="The gallery: tokens.")


@blueprint.route("", methods=["GET"], policy=READ, endpoint="listing")
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, TokenPage)
@blueprint.sends(304)
def list_tokens(query: dict[str, Any]) -> Response:
    """The latest tokens of all collections that are not archived."""
    return conditional_json(page_view(stores().gallery.tokens.list_latest(read_page(query)), token_view))


@blueprint.route("/<token_id>", methods=["GET"], policy=READ, endpoint="read")
@blueprint.response(200, TokenView, description="The token.")
@blueprint.sends(304)
def read(token_id: str) -> Response:
    """A token."""
    token = find_token(token_id)
    check_on_read(token)
    return conditional_json(token_view(token))


@blueprint.route("/<token_id>", methods=["PATCH"], policy=EDIT, endpoint="change")
@blueprint.arguments(TokenChange)
@blueprint.response(200, TokenView, description="The changed token.")
@blueprint.alt_response(
    409, description="The picture cannot be stored without its metadata, so the prompt stays public."
)
def change(body: dict[str, Any], token_id: str) -> Response:
    """Change the name, description, amount or attributes of a token of yours, or whether its prompt is private.

    Making a prompt private also takes the metadata out of the picture, because programs write the prompt there.
    """
    require_json()
    return jsonify(token_view(change_token(own_token(token_id), body)))


@blueprint.route("/<token_id>", methods=["DELETE"], policy=EDIT, endpoint="delete")
@blueprint.response(204, description="The token and its picture are deleted.")
def delete(token_id: str) -> Response:
    """Delete one of your tokens permanently."""
    stores().gallery.tokens.delete(caller().id, own_token(token_id).token_id)
    return Response(status=204)


@blueprint.route("/<token_id>/move", methods=["POST"], policy=EDIT, endpoint="move")
@blueprint.arguments(TokenMove)
@blueprint.response(200, TokenView, description="The token in its new place.")
@blueprint.alt_response(409, description="`before` is not in that collection.")
def move(body: dict[str, Any], token_id: str) -> Response:
    """Move a token of yours to another `collection` of yours, and there `before` another token or to the end."""
    require_json()
    collection_id = find_collection(body["collection"]).id if "collection" in body else None
    moved = stores().gallery.tokens.move(
        caller().id, own_token(token_id).token_id, collection_id=collection_id, before=body.get("before")
    )
    return jsonify(token_view(moved))


@blueprint.route("/<token_id>/refresh", methods=["POST"], policy=EDIT, endpoint="refresh")
@blueprint.response(200, RefreshedToken)
def refresh(token_id: str) -> Response:
    """Check the upload of one of your tokens, or make the derived files of its picture again."""
    tokens = stores().gallery.tokens
    requested = tokens.request_refresh(caller().id, own_token(token_id).token_id)
    outcome = stores().gallery_media.pictures.refresh(requested.token_id)
    view = token_view(tokens.find(requested.token_id))
    return jsonify(view | {"refresh": {"done": outcome.done, "message": outcome.message}})


@blueprint.route("/<token_id>/listing", methods=["PUT"], policy=EDIT, endpoint="set_listing")
@blueprint.arguments(ListingBody)
@blueprint.response(200, TokenView, description="The token with its `listing`.")
def set_listing(listing: Listing, token_id: str) -> Response:
    """Say at which price, from when to when, and how many of a token you offer. The gallery itself sells nothing."""
    require_json()
    return jsonify(token_view(stores().gallery.tokens.set_listing(caller().id, own_token(token_id).token_id, listing)))


@blueprint.route("/<token_id>/listing", methods=["DELETE"], policy=EDIT, endpoint="remove_listing")
@blueprint.response(200, TokenView, description="The token without a `listing`.")
def remove_listing(token_id: str) -> Response:
    """Withdraw an offer."""
    return jsonify(token_view(stores().gallery.tokens.set_listing(caller().id, own_token(token_id).token_id, None)))
