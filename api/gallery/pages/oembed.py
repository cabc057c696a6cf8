"""oEmbed (https://oembed.com): describes the pages of the gallery to programs that embed links.

Pictures are of the type ``photo`` and videos of the type ``video``. Everything else is of the type ``link``, explicit
pictures too. A reader needs a key or a session, unless GALLERY_PUBLIC is set.
"""

from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from flask import Response, abort, jsonify, request
from markupsafe import Markup

from api.gallery.pages.entries import build_collection, build_owner, build_token
from api.gallery.pages.pictures import Picture
from api.gallery.pages.resources import NO_PROFILE, find_collection, find_owner, find_token
from api.gallery.pages.sharing import SharedFile, share_picture, share_thumbnail
from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.error_responses import native_body
from api.http.route_policy import Access, RoutePolicy
from schemas.errors import Invalid, NotFound
from schemas.gallery.encodings import is_address
from schemas.gallery.pages import Page
from schemas.gallery.tokens import Token, TokenMedia

CACHE_AGE_S = 300
PROVIDER_NAME = "Darkroom"
MAX_URL_LENGTH = 2000
MAX_DIGITS = 6
UNKNOWN_PAGE = "url: is not the address of a page of this gallery."
VIDEO = Markup('<video controls loop playsinline width="{width}" height="{height}" src="{url}"></video>')


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest width and height that the client shows; None for any."""

    width: int | None
    height: int | None

    @classmethod
    def from_query(cls) -> Self:
        """Read ``maxwidth`` and ``maxheight``; raise Invalid if one is not a number of pixels."""
        return cls(_read_pixels("maxwidth"), _read_pixels("maxheight"))

    def contain(self, file: SharedFile) -> bool:
        """Return whether a picture of known size fits."""
        if not file.width or not file.height:
            return False
        return file.width <= (self.width or file.width) and file.height <= (self.height or file.height)

    def scale(self, width: int, height: int) -> tuple[int, int]:
        """Return the largest size of these proportions that fits, and not larger than this one."""
        factor = min(1.0, (self.width or width) / width, (self.height or height) / height)
        return max(1, round(width * factor)), max(1, round(height * factor))


def _read_pixels(name: str) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS and int(text)):
        raise Invalid(f"{name}: must be a number of pixels of 1 or more.")
    return int(text)


blueprint = Blueprint("oembed", __name__, access=Access.KEY, error_format=native_body, error_prefixes=("/oembed",))


@blueprint.route("/oembed", policy=RoutePolicy(reads_gallery=True))
def describe() -> Response:
    """Describe the page at ``url``, with pictures of at most ``maxwidth`` by ``maxheight`` pixels."""
    if request.args.get("format", "json") != "json":
        abort(501, "Only format=json is supported.")
    parts = _page_parts(request.args.get("url", ""))
    bounds = Bounds.from_query()
    match parts:
        case ["c", _, token_id]:
            body = _describe_token(find_token(token_id), bounds)
        case ["c", slug]:
            body = _describe_collection(slug, bounds)
        case ["u", address]:
            body = _describe_owner(address)
        case ["gallery"] | ["gallery", "collections"]:
            body = {"type": "link", "title": "Gallery"}
        case _:
            raise NotFound(UNKNOWN_PAGE)
    provider = {"provider_name": PROVIDER_NAME, "provider_url": f"{stores().settings.public_url}/gallery"}
    response = jsonify({"version": "1.0", "cache_age": CACHE_AGE_S} | provider | body)
    response.headers["Cache-Control"] = "no-cache"
    # Pages of any origin may read it: browsers send no cookie with such a request.
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _page_parts(url: str) -> list[str]:
    """Return the parts of the path of a page of this server."""
    if not url:
        raise Invalid("url: is missing.")
    if len(url) > MAX_URL_LENGTH:
        raise Invalid(f"url: longer than {MAX_URL_LENGTH} characters.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise NotFound(UNKNOWN_PAGE) from None
    for base in (stores().settings.public_url, request.host_url.rstrip("/")):
        expected = urlsplit(base)
        prefix, is_same_host = f"{expected.path}/", parts.netloc.lower() == expected.netloc.lower()
        if parts.scheme == expected.scheme and is_same_host and parts.path.startswith(prefix):
            return [unquote(part) for part in parts.path.removeprefix(prefix).rstrip("/").split("/")]
    raise NotFound(UNKNOWN_PAGE)


def _describe_token(token: Token, bounds: Bounds) -> dict[str, Any]:
    entry, owner = build_token(token), find_owner(token.creator)
    url = stores().settings.public_url
    body = {"title": entry.name, "author_name": owner.name, "author_url": f"{url}/{owner.path}"}
    return body | _thumbnail(share_thumbnail(url, entry.picture), bounds) | _content(entry.picture, token.media, bounds)


def _content(picture: Picture, media: TokenMedia, bounds: Bounds) -> dict[str, Any]:
    """Return the type of a token's description, and its picture or video if one fits into the bounds."""
    url = stores().settings.public_url
    if picture.kind == "video":
        if picture.is_explicit or not (picture.whole and picture.width and picture.height):
            return {"type": "link"}
        width, height = bounds.scale(picture.width, picture.height)
        video = VIDEO.format(url=f"{url}/{picture.whole}", width=width, height=height)
        return {"type": "video", "html": video, "width": width, "height": height}
    files = filter(None, (share_picture(url, picture, media), share_thumbnail(url, picture)))
    file = next((file for file in files if bounds.contain(file)), None)
    return {"type": "photo", "url": file.url, "width": file.width, "height": file.height} if file else {"type": "link"}


def _describe_collection(slug: str, bounds: Bounds) -> dict[str, Any]:
    collection = find_collection(slug)
    owner = find_owner(collection.address_of_owner)
    url = stores().settings.public_url
    body = {"type": "link", "title": build_collection(collection, owner).name}
    body |= {"author_name": owner.name, "author_url": f"{url}/{owner.path}"}
    tokens = stores().gallery.tokens.list_of_collection(collection, Page(size=1)).items
    cover = share_thumbnail(url, build_token(tokens[0]).picture) if tokens else None
    return body | _thumbnail(cover, bounds)


def _describe_owner(address: str) -> dict[str, Any]:
    profile = stores().gallery.profiles.get_by_address(address) if is_address(address) else None
    if profile is None:
        raise NotFound(NO_PROFILE)
    return {"type": "link", "title": build_owner(profile.address, profile).name}


def _thumbnail(file: SharedFile | None, bounds: Bounds) -> dict[str, Any]:
    if file is None or not bounds.contain(file):
        return {}
    return {"thumbnail_url": file.url, "thumbnail_width": file.width, "thumbnail_height": file.height}
