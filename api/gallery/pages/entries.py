"""Collections, tokens and their owners as the templates show them."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.gallery.pages import formats
from api.gallery.pages.formats import Day, Row
from api.gallery.pages.pictures import Picture, build_picture
from schemas.gallery.collections import Collection, CollectionStatus
from schemas.gallery.documents.token_metadata import without_private_prompt
from schemas.gallery.profiles import Profile
from schemas.gallery.tokens import Listing, Token
from schemas.gallery.urls import asset_url, profile_picture_url

MAX_COVERS = 3
MAX_ALT_LENGTH = 300
BASIS_POINTS_PER_PERCENT = 100
AVATAR_COLOURS = 6
UNTITLED = "Untitled"
TWITTER_HOSTS = ("twitter.com", "x.com")


@dataclass(frozen=True, slots=True)
class Owner:
    """A person: name, page and avatar. ``hue`` chooses the colour of the avatar of a person without a picture."""

    address: str
    name: str
    path: str
    image: str | None
    initial: str
    hue: int
    bio: str
    link: str
    link_label: str
    twitter: str
    twitter_label: str


@dataclass(frozen=True, slots=True)
class CollectionEntry:
    """A collection. ``covers`` are paths of small pictures."""

    slug: str
    name: str
    path: str
    description: str
    count_text: str
    owner_name: str
    covers: tuple[str, ...]
    created: Day
    royalty: str
    is_explicit: bool
    is_archived: bool
    twitter: str
    twitter_label: str


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """A token. ``alt`` describes its picture; ``listing`` and ``file_rows`` are lines of description lists."""

    token_id: str
    name: str
    path: str
    collection_name: str
    collection_path: str
    description: str
    alt: str
    picture: Picture
    created: Day
    edition: str
    attributes: tuple[Row, ...]
    listing: tuple[Row, ...]
    file_rows: tuple[Row, ...]
    metadata_path: str


def build_owner(address: str, profile: Profile | None) -> Owner:
    """Return the person with an address; a caller without a profile has only the address."""
    name = (profile.username if profile else None) or formats.format_address(address)
    link = formats.format_link(profile.link) if profile else None
    twitter, label = _twitter(profile.twitter if profile else None)
    letters = [letter for letter in name if letter.isalnum()] if profile and profile.username else []
    return Owner(
        address=address,
        name=name,
        path=f"u/{address}",
        image=profile_picture_url("", profile.image).removeprefix("/") if profile and profile.image else None,
        initial=letters[0].upper() if letters else "0x",
        hue=int(address[-6:], 16) % AVATAR_COLOURS,
        bio=profile.bio if profile else "",
        link=link[0] if link else "",
        link_label=link[1] if link else "",
        twitter=twitter,
        twitter_label=label,
    )


def build_collection(collection: Collection, owner: Owner, covers: Sequence[Token] = ()) -> CollectionEntry:
    """Return a collection; ``covers`` are some of its tokens, which it shows unless it has a picture of its own."""
    own = asset_url("", collection.thumbnail).removeprefix("/") if collection.thumbnail else ""
    thumbs = [build_picture(token.media, is_explicit=collection.explicit).thumb for token in covers]
    twitter, label = _twitter(collection.twitter)
    percent = collection.royalty_fee / BASIS_POINTS_PER_PERCENT
    return CollectionEntry(
        slug=collection.slug,
        name=collection.name or UNTITLED,
        path=f"c/{collection.slug}",
        description=collection.description,
        count_text=formats.format_count(collection.token_count, "picture"),
        owner_name=owner.name,
        covers=(own,) if own else tuple(thumb for thumb in thumbs if thumb)[:MAX_COVERS],
        created=formats.format_day(collection.created_at),
        royalty=f"{percent:g} %" if percent else "",
        is_explicit=collection.explicit,
        is_archived=collection.status is CollectionStatus.ARCHIVED,
        twitter=twitter,
        twitter_label=label,
    )


def build_token(token: Token, *, is_owner: bool = False) -> TokenEntry:
    """Return a token; its owner sees what tells a private prompt, and gets advice where the picture is missing."""
    token = token if is_owner else without_private_prompt(token)
    name = token.name or UNTITLED
    picture = build_picture(token.media, is_explicit=token.collection.explicit, is_owner=is_owner)
    return TokenEntry(
        token_id=token.token_id,
        name=name,
        path=f"c/{token.collection.slug}/{token.token_id}",
        collection_name=token.collection.name or UNTITLED,
        collection_path=f"c/{token.collection.slug}",
        description=token.description,
        alt=formats.shorten(f"{name}. {token.description}" if token.description else name, MAX_ALT_LENGTH),
        picture=picture,
        created=formats.format_day(token.created_at),
        edition=formats.format_edition(token.amount),
        attributes=tuple(formats.format_attribute(attribute) for attribute in token.attributes),
        listing=_listing_rows(token.listing) if token.listing else (),
        file_rows=tuple(_file_rows(token, picture)),
        metadata_path=f"token/{token.token_id.removeprefix('0x')}.json",
    )


def _twitter(url: str | None) -> tuple[str, str]:
    """Return the address of an account and its handle; empty texts if it is no link."""
    link = formats.format_link(url)
    if link is None:
        return "", ""
    host, _, handle = link[1].partition("/")
    return link[0], f"@{handle}" if host in TWITTER_HOSTS and handle else link[1]


def _listing_rows(listing: Listing) -> tuple[Row, ...]:
    amount = formats.format_edition(listing.amount)
    return (
        Row("Price", formats.format_price(int(listing.price, 16))),
        Row("From", formats.format_listing_time(listing.start)),
        Row("Until", formats.format_listing_time(listing.end)),
        Row("Amount", amount.removeprefix("Edition of ") or "1"),
    )


def _file_rows(token: Token, picture: Picture) -> list[Row]:
    media, rows = token.media, []
    if picture.whole:
        size = f", {formats.format_size(media.size_bytes)}" if media.size_bytes else ""
        kind = (media.type or "").rpartition("/")[2].upper()
        rows.append(Row("Picture", f"{media.width} by {media.height} {kind}{size}"))
        if media.frames and media.frames > 1:
            rows.append(Row("Frames", f"{media.frames:,}"))
    if media.sha256:
        rows.append(Row("SHA-256", media.sha256, is_code=True))
    rows.append(Row("Token", token.token_id, is_code=True))
    return rows
