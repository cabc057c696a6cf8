"""JSON of the gallery in the generaitiv API: each endpoint has a field set of its own, as its clients know it.

The same thing has different names in different views (``created_at`` and ``created``, ``creator`` and
``creator_address``). ``media`` is the one field that is new. Fields that a token does not have are null. Shared caches
may keep these answers, so they never have what tells a private prompt.
"""

from typing import Any

from schemas.gallery.collections import Collection
from schemas.gallery.documents.token_metadata import without_private_prompt
from schemas.gallery.encodings import CONTRACT_TYPE, VIRTUAL_CONTRACT, iso_time, json_number, token_uri
from schemas.gallery.profiles import Profile
from schemas.gallery.tokens import Listing, Token, TokenMedia
from schemas.gallery.urls import asset_url, collection_thumbnail_url, profile_picture_url

TOKEN_ENTITY = "TOKEN"  # noqa: S105 - a kind of record
# A virtual token exists once, whatever its amount says about how many may be made.
TOTAL = "1"


def latest_token(token: Token, public_url: str) -> dict[str, Any]:
    """Return a token as ``/q/latest-tokens`` has it."""
    token = without_private_prompt(token)
    return {
        "collection": VIRTUAL_CONTRACT,
        "tokenId": token.token_id,
        "creator": token.creator,
        "status": token.status,
        "explicit": token.collection.explicit,
        "virtual_address": token.collection.virtual_address,
        "content_moderation_score": json_number(token.moderation_score),
        "model": token.model,
        "slug": token.collection.slug,
        "metadata": _metadata(token, public_url),
        "created_at": iso_time(token.created_at),
        "listing": listing(token.listing) if token.listing else None,
        "media": media(token.media),
    }


def token_of_collection(token: Token, public_url: str) -> dict[str, Any]:
    """Return a token as ``/tokens/collection/SLUG`` has it."""
    token = without_private_prompt(token)
    requested_at = token.refresh_requested_at
    return {
        "metadata": _metadata(token, public_url),
        "token_refresh_requested_at": None if requested_at is None else iso_time(requested_at),
        "tokenId": token.token_id,
        "collection": VIRTUAL_CONTRACT,
        "status": token.status,
        "total": TOTAL,
        "entity": TOKEN_ENTITY,
        "name": token.name,
        "created": iso_time(token.created_at),
        "modified": iso_time(token.modified_at),
        "contract_type": CONTRACT_TYPE,
        "token_uri": token_uri(public_url, token.token_id),
        "amount": token.amount,
        "virtual_address": token.collection.virtual_address,
        "pk": TOKEN_ENTITY,
        "creator_address": token.creator,
        "media": media(token.media),
    }


def single_token(token: Token, public_url: str) -> dict[str, Any]:
    """Return a token as ``/c/SLUG/TOKEN`` has it."""
    token = without_private_prompt(token)
    return {
        "collection": VIRTUAL_CONTRACT,
        "tokenId": token.token_id,
        "amount": token.amount,
        "contract_type": CONTRACT_TYPE,
        "name": token.name,
        "token_uri": token_uri(public_url, token.token_id),
        "metadata": _metadata(token, public_url) | {"attributes": list(token.attributes)},
        "total": TOTAL,
        "creator_address": token.creator,
        "virtual_address": token.collection.virtual_address,
        "workload_id": token.workload_id,
        "media": media(token.media),
    }


def latest_collection(collection: Collection, public_url: str) -> dict[str, Any]:
    """Return a collection as ``/q/latest-collections`` has it, with its thumbnail in full size."""
    thumbnail = collection.thumbnail
    return {
        "address": VIRTUAL_CONTRACT,
        "name": collection.name,
        "slug": collection.slug,
        "description": collection.description,
        "owner": collection.address_of_owner,
        "explicit": collection.explicit,
        "image": asset_url(public_url, thumbnail) if thumbnail else None,
        "virtual": True,
        "created_at": iso_time(collection.created_at),
    }


def single_collection(collection: Collection, public_url: str) -> dict[str, Any]:
    """Return a collection as ``/c/SLUG`` has it."""
    thumbnail = collection.thumbnail
    return {
        "name": collection.name,
        "slug": collection.slug,
        "address": VIRTUAL_CONTRACT,
        "description": collection.description,
        "explicit": collection.explicit,
        "image": collection_thumbnail_url(public_url, thumbnail) if thumbnail else None,
        "twitter": collection.twitter,
        "twitter_verified": collection.twitter_verified,
        "owner": collection.address_of_owner,
        "virtual": True,
        "royalty_fee": collection.royalty_fee,
        "virtual_address": collection.virtual_address,
    }


def collection_of_user(collection: Collection, public_url: str) -> dict[str, Any]:
    """Return a collection as ``/u/ADDRESS/collections`` has it."""
    return single_collection(collection, public_url) | {
        "status": collection.status,
        "slugOrAddress": collection.slug or collection.virtual_address,
    }


def user(profile: Profile, public_url: str) -> dict[str, Any]:
    """Return a profile as ``/u/ADDRESS`` has it."""
    return {
        "username": profile.username,
        "bio": profile.bio,
        "link": profile.link,
        "image": profile_picture_url(public_url, profile.image) if profile.image else None,
        "address": profile.address,
        "twitter": profile.twitter,
        "twitter_verified": profile.twitter_verified,
    }


def listing(offer: Listing) -> dict[str, str]:
    """Return an offer, with its times under their names in JSON."""
    return {"price": offer.price, "startTime": offer.start, "endTime": offer.end, "amount": offer.amount}


def media(picture: TokenMedia) -> dict[str, Any]:
    """Return the state and the files of a token's picture; ``reason`` says why it is missing."""
    return {
        "status": picture.status,
        "reason": picture.reason,
        "sha256": picture.sha256,
        "width": picture.width,
        "height": picture.height,
        "frames": picture.frames,
    }


def _metadata(token: Token, public_url: str) -> dict[str, Any]:
    asset = token.media.asset
    image = asset_url(public_url, asset) if asset else None
    return {"name": token.name, "description": token.description, "image": image}
