"""Finds the page of a list, the collection or the token that a gallery request names."""

from dataclasses import replace
from typing import Any

from flask import Response, request, url_for

from api.http.context import caller, optional_caller, stores
from api.http.route_policy import RoutePolicy
from schemas.accounts.caller import Scope
from schemas.errors import Forbidden
from schemas.gallery.collections import Collection
from schemas.gallery.documents.token_metadata import without_private_prompt
from schemas.gallery.encodings import parse_token_id
from schemas.gallery.pages import Page
from schemas.gallery.tokens import Token

READ = RoutePolicy(reads_gallery=True)
EDIT = RoutePolicy(scope=Scope.GALLERY)
PERMANENT_REDIRECT = 308


def read_page(query: dict[str, Any]) -> Page:
    """Return the page of a ListQuery."""
    return Page(query.get("cursor"), 0, query["limit"], query["explicit"])


def find_collection(slug: str) -> Collection:
    """Return the collection of a slug, of an earlier slug, or of a virtual address; raises NotFound."""
    return stores().gallery.collections.find(slug).collection


def own_collection(slug: str) -> Collection:
    """Return a collection of the caller; raises NotFound, and Forbidden for another caller's."""
    collection = find_collection(slug)
    if collection.owner != caller().id:
        raise Forbidden(f"The collection {collection.slug!r} belongs to another caller.")
    return collection


def find_token(token_id: str) -> Token:
    """Return a token; raises NotFound."""
    return stores().gallery.tokens.find(parse_token_id(token_id))


def own_token(token_id: str) -> Token:
    """Return a token of the caller; raises NotFound, and Forbidden for another caller's."""
    token = find_token(token_id)
    if token.owner != caller().id:
        raise Forbidden("The token belongs to another caller.")
    return token


def is_own(token: Token) -> bool:
    """Whether the token is the reader's."""
    reader = optional_caller()
    return reader is not None and reader.id == token.owner


def visible_token(token: Token) -> Token:
    """Return the token as the reader may see it: only its owner sees its job, and what tells a private prompt."""
    return token if is_own(token) else replace(without_private_prompt(token), workload_id=None)


def redirect_to_slug(slug: str) -> Response:
    """Return a redirect of this request to the present slug of its collection."""
    path = url_for(request.endpoint or "", **{**(request.view_args or {}), "slug": slug})
    query = request.query_string.decode("latin-1")
    return Response(
        status=PERMANENT_REDIRECT,
        headers={"Location": f"{path}?{query}" if query else path, "Cache-Control": "no-cache"},
    )
