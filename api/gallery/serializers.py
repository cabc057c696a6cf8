"""JSON of the gallery in the native API: profiles, collections, tokens and pages of them."""

from collections.abc import Callable
from typing import Any, TypeVar

from api.gallery.lookups import is_own, visible_token
from api.http.context import stores
from schemas.gallery.collections import Collection
from schemas.gallery.encodings import VIRTUAL_CONTRACT, iso_time, json_number, token_uri
from schemas.gallery.pages import Listed
from schemas.gallery.profiles import Profile
from schemas.gallery.tokens import Listing, Token, TokenMedia
from schemas.gallery.urls import (
    asset_url,
    collection_page_url,
    collection_thumbnail_url,
    profile_page_url,
    profile_picture_url,
    token_page_url,
)

T = TypeVar("T")


def page_view(listed: Listed[T], serialize: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    """Return a page: its items, the cursor of the next page, and how many items the filter hides in the list."""
    items = [serialize(item) for item in listed.items]
    return {"items": items, "nextCursor": listed.next_cursor, "hidden": listed.hidden}


def profile_view(profile: Profile) -> dict[str, Any]:
    """Return a profile."""
    public_url = stores().settings.public_url
    return {
        "address": profile.address,
        "username": profile.username,
        "bio": profile.bio,
        "link": profile.link,
        "twitter": profile.twitter,
        "twitterVerified": profile.twitter_verified,
        "pictureUrl": profile_picture_url(public_url, profile.image) if profile.image else None,
        "url": profile_page_url(public_url, profile.address),
        "createdAt": iso_time(profile.created_at),
        "modifiedAt": iso_time(profile.modified_at),
    }


def collection_view(collection: Collection) -> dict[str, Any]:
    """Return a collection."""
    public_url, thumbnail = stores().settings.public_url, collection.thumbnail
    return {
        "slug": collection.slug,
        "name": collection.name,
        "description": collection.description,
        "explicit": collection.explicit,
        "status": collection.status,
        "royaltyFee": collection.royalty_fee,
        "owner": collection.address_of_owner,
        "contract": VIRTUAL_CONTRACT,
        "virtualAddress": collection.virtual_address,
        "tokenCount": collection.token_count,
        "pictureUrl": asset_url(public_url, thumbnail) if thumbnail else None,
        "thumbnailUrl": collection_thumbnail_url(public_url, thumbnail) if thumbnail else None,
        "url": collection_page_url(public_url, collection.slug),
        "createdAt": iso_time(collection.created_at),
        "modifiedAt": iso_time(collection.modified_at),
    }


def token_view(token: Token) -> dict[str, Any]:
    """Return a token; its job, ``promptPrivate`` and what tells a private prompt are there for its owner only."""
    public_url, token = stores().settings.public_url, visible_token(token)
    collection = token.collection
    requested_at = token.refresh_requested_at
    view = {
        "tokenId": token.token_id,
        "name": token.name,
        "description": token.description,
        "amount": token.amount,
        "attributes": list(token.attributes),
        "collection": {
            "slug": collection.slug,
            "name": collection.name,
            "explicit": collection.explicit,
            "virtualAddress": collection.virtual_address,
        },
        "creator": token.creator,
        "status": token.status,
        "moderationScore": json_number(token.moderation_score),
        "model": token.model,
        "workloadId": token.workload_id,
        "media": media_view(token.media),
        "listing": listing_view(token.listing) if token.listing else None,
        "tokenUri": token_uri(public_url, token.token_id),
        "url": token_page_url(public_url, collection.slug, token.token_id),
        "refreshRequestedAt": None if requested_at is None else iso_time(requested_at),
        "createdAt": iso_time(token.created_at),
        "modifiedAt": iso_time(token.modified_at),
    }
    return view | ({"promptPrivate": token.is_prompt_private} if is_own(token) else {})


def media_view(media: TokenMedia) -> dict[str, Any]:
    """Return the picture of a token; ``reason`` says why it is missing."""
    return {
        "status": media.status,
        "reason": media.reason,
        "sha256": media.sha256,
        "type": media.type,
        "width": media.width,
        "height": media.height,
        "frames": media.frames,
        "sizeBytes": media.size_bytes,
        "url": _asset_url(media.asset),
        "thumbUrl": _asset_url(media.thumb),
        "previewUrl": _asset_url(media.preview),
        "posterUrl": _asset_url(media.poster),
    }


def listing_view(listing: Listing) -> dict[str, str]:
    """Return an offer: the price in wei, the times in Unix seconds."""
    return {"price": listing.price, "startTime": listing.start, "endTime": listing.end, "amount": listing.amount}


def _asset_url(name: str | None) -> str | None:
    return asset_url(stores().settings.public_url, name) if name else None
