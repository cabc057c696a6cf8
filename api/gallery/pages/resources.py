"""Reads records from the stores and converts them for the templates."""

from collections.abc import Sequence

from api.gallery.lookups import is_own
from api.gallery.pages.entries import (
    MAX_COVERS,
    CollectionEntry,
    Owner,
    TokenEntry,
    build_collection,
    build_owner,
    build_token,
)
from api.gallery.pages.listings import Listing
from api.gallery.pages.sharing import SharedFile, share_picture
from api.http.context import stores
from schemas.gallery.collections import Collection
from schemas.gallery.pages import ExplicitFilter, Listed, Page
from schemas.gallery.tokens import Token

MAX_NEIGHBOURS = 8
MAX_LATEST = 6
NO_PROFILE = "No profile has this address."


def find_collection(slug: str) -> Collection:
    """Return the collection with this slug, old slug or virtual address; raise NotFound if there is none."""
    return stores().gallery.collections.find(slug).collection


def find_token(token_id: str) -> Token:
    """Return a token by its id in any case; raise NotFound if there is none."""
    return stores().gallery.tokens.find(token_id.lower())


def find_owner(address: str) -> Owner:
    """Return the person with this address."""
    return build_owner(address, stores().gallery.profiles.get_by_address(address))


def find_neighbours(token: Token) -> list[TokenEntry]:
    """Return the first other pictures of the token's collection."""
    collection = find_collection(token.collection.slug)
    listed = stores().gallery.tokens.list_of_collection(collection, Page(size=MAX_NEIGHBOURS + 1))
    others = [other for other in listed.items if other.id != token.id][:MAX_NEIGHBOURS]
    return [build_token(other, is_owner=is_own(other)) for other in others]


def collection_entries(collections: Sequence[Collection]) -> list[CollectionEntry]:
    """Return collections with their owners and covers."""
    owners = {address: find_owner(address) for address in {item.address_of_owner for item in collections}}
    return [build_collection(item, owners[item.address_of_owner], _find_covers(item)) for item in collections]


def latest_collections() -> list[CollectionEntry]:
    """Return the latest collections that have something to show to all readers."""
    page = Page(size=2 * MAX_LATEST, explicit=ExplicitFilter.EXCLUDE)
    latest = stores().gallery.collections.list_latest(page).items
    return collection_entries([collection for collection in latest if collection.token_count][:MAX_LATEST])


def build_token_listing(listed: Listed[Token], page: Page) -> Listing:
    """Return a page of tokens as the templates show it."""
    has_explicit = any(token.collection.explicit for token in listed.items)
    entries = [build_token(token, is_owner=is_own(token)) for token in listed.items]
    return Listing.build(listed, page, entries, has_explicit=has_explicit)


def build_collection_listing(listed: Listed[Collection], page: Page) -> Listing:
    """Return a page of collections as the templates show it."""
    has_explicit = any(collection.explicit for collection in listed.items)
    return Listing.build(listed, page, collection_entries(listed.items), has_explicit=has_explicit)


def share_first(tokens: Sequence[Token]) -> SharedFile | None:
    """Return the first picture that can be shared."""
    url = stores().settings.public_url
    files = (share_picture(url, build_token(token).picture, token.media) for token in tokens)
    return next(filter(None, files), None)


def _find_covers(collection: Collection) -> tuple[Token, ...]:
    if collection.explicit or collection.thumbnail or not collection.token_count:
        return ()
    return stores().gallery.tokens.list_of_collection(collection, Page(size=MAX_COVERS)).items
