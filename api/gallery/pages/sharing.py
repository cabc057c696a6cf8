"""The description of a page for chats and search engines: OpenGraph fields, and the URL of its oEmbed document.

Explicit pictures are never part of it: a chat would show them without a click.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from api.gallery.pages.entries import CollectionEntry, Owner, TokenEntry
from api.gallery.pages.formats import shorten
from api.gallery.pages.pictures import Picture
from schemas.gallery.tokens import MediaStatus, TokenMedia
from schemas.gallery.urls import asset_url

MAX_DESCRIPTION_LENGTH = 200
# Formats and sizes that chats show; other pictures are shared as their thumbnail.
SHAREABLE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
MAX_SHARED_BYTES = 5_000_000
THUMBNAIL_SIDE = 512
THUMBNAIL_TYPE = "image/webp"


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A picture or video with its absolute URL; the size is None if it is unknown."""

    url: str
    type: str
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class Sharing:
    """The description of a page. ``is_large`` places the picture above the text instead of next to it."""

    title: str
    description: str
    url: str
    oembed_url: str
    type: str = "website"
    image: SharedFile | None = None
    video: SharedFile | None = None
    is_large: bool = False
    is_explicit: bool = False


def describe_page(base_url: str, path: str, title: str, description: str, image: SharedFile | None = None) -> Sharing:
    """Describe a page of a list; ``image`` is one of its pictures."""
    url = f"{base_url}/{path}"
    return Sharing(title, description, url, oembed_url(base_url, path), image=image, is_large=True)


def describe_collection(base_url: str, entry: CollectionEntry, cover: SharedFile | None) -> Sharing:
    """Describe a collection; ``cover`` is the picture of one of its tokens."""
    text = entry.description or f"{entry.count_text} by {entry.owner_name}"
    return Sharing(
        title=entry.name,
        description=shorten(text, MAX_DESCRIPTION_LENGTH),
        url=f"{base_url}/{entry.path}",
        oembed_url=oembed_url(base_url, entry.path),
        image=None if entry.is_explicit else cover,
        is_large=True,
        is_explicit=entry.is_explicit,
    )


def describe_owner(base_url: str, owner: Owner) -> Sharing:
    """Describe a profile."""
    return Sharing(
        title=owner.name,
        description=shorten(owner.bio or f"Collections of {owner.name}", MAX_DESCRIPTION_LENGTH),
        url=f"{base_url}/{owner.path}",
        oembed_url=oembed_url(base_url, owner.path),
        type="profile",
        image=SharedFile(f"{base_url}/{owner.image}", "image/png", 64, 64) if owner.image else None,
    )


def describe_token(base_url: str, entry: TokenEntry, media: TokenMedia, owner: Owner) -> Sharing:
    """Describe a token with its picture, and with its video."""
    picture = entry.picture
    text = entry.description or f"by {owner.name}, in {entry.collection_name}"
    return Sharing(
        title=entry.name,
        description=shorten(text, MAX_DESCRIPTION_LENGTH),
        url=f"{base_url}/{entry.path}",
        oembed_url=oembed_url(base_url, entry.path),
        type="video.other" if picture.kind == "video" and not picture.is_explicit else "article",
        image=share_picture(base_url, picture, media),
        video=_share_video(base_url, picture),
        is_large=True,
        is_explicit=picture.is_explicit,
    )


def share_picture(base_url: str, picture: Picture, media: TokenMedia) -> SharedFile | None:
    """Return the file by which a picture is shared: itself, or its thumbnail; None if it is explicit or missing."""
    if picture.is_explicit or media.status is not MediaStatus.READY:
        return None
    if media.type in SHAREABLE_TYPES and media.asset and (media.size_bytes or 0) <= MAX_SHARED_BYTES:
        return SharedFile(asset_url(base_url, media.asset), media.type, media.width, media.height)
    return share_thumbnail(base_url, picture)


def share_thumbnail(base_url: str, picture: Picture) -> SharedFile | None:
    """Return the thumbnail of a picture, with its size; None if it is explicit or missing."""
    if picture.is_explicit or not picture.thumb:
        return None
    width, height = _thumbnail_size(picture)
    return SharedFile(f"{base_url}/{picture.thumb}", THUMBNAIL_TYPE, width, height)


def oembed_url(base_url: str, path: str) -> str:
    """Return the URL of the oEmbed description of a page."""
    return f"{base_url}/oembed?{urlencode({'url': f'{base_url}/{path}', 'format': 'json'})}"


def _share_video(base_url: str, picture: Picture) -> SharedFile | None:
    if picture.kind != "video" or picture.is_explicit or not picture.whole:
        return None
    return SharedFile(f"{base_url}/{picture.whole}", picture.type, picture.width, picture.height)


def _thumbnail_size(picture: Picture) -> tuple[int | None, int | None]:
    if not picture.width or not picture.height:
        return None, None
    scale = min(1.0, THUMBNAIL_SIDE / max(picture.width, picture.height))
    return max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
