"""The metadata of tokens at the address that their ``token_uri`` names: ``/token/{64 hexadecimal digits}.json``."""

from flask import Response

from api.gallery.conditional_json import conditional_json
from api.gallery.documents.responses import TokenMetadata
from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.error_responses import native_body
from api.http.route_policy import Access, RoutePolicy
from schemas.errors import NotFound
from schemas.gallery.documents.token_metadata import MetadataUrls, build_metadata
from schemas.gallery.encodings import parse_token_id
from schemas.gallery.tokens import Token
from schemas.gallery.urls import asset_url, token_page_url

SUFFIX = ".json"
FILE_NAME = {
    "in": "path",
    "name": "file_name",
    "schema": {"type": "string", "pattern": r"^[0-9a-fA-F]{64}\.json$"},
    "description": "The token's id without `0x`, followed by `.json`.",
    "example": f"5aaeb6053f3e94c9b9a09f33669435e7ef1beaed{1:024x}.json",
}

blueprint = Blueprint(
    "gallery_metadata",
    __name__,
    access=Access.KEY,
    error_format=native_body,
    url_prefix="/token",
    description="The gallery: metadata of tokens.",
)


@blueprint.route("/<file_name>", policy=RoutePolicy(reads_gallery=True), parameters=[FILE_NAME])
@blueprint.response(200, TokenMetadata)
@blueprint.sends(304)
def read(file_name: str) -> Response:
    """The metadata of a token, by the schema of ERC-1155 and ERC-8495.

    The name of the file is the token's id in lower case, without `0x`, with `.json` behind it.
    """
    if not file_name.endswith(SUFFIX) or file_name.startswith("0x"):
        raise NotFound("The metadata of a token is at /token/ID.json, where ID has 64 hexadecimal digits without 0x.")
    token = stores().gallery.tokens.find(parse_token_id(f"0x{file_name.removesuffix(SUFFIX)}"))
    return conditional_json(build_metadata(token, metadata_urls(token)))


def metadata_urls(token: Token) -> MetadataUrls:
    """Return the URLs of a token's page and picture; a video has its poster as picture."""
    public_url, media = stores().settings.public_url, token.media
    page = token_page_url(public_url, token.collection.slug, token.token_id)
    is_video = bool(media.type and media.type.startswith("video/"))
    name = (media.poster or media.thumb) if is_video else media.asset
    animation = asset_url(public_url, media.asset) if is_video and media.asset else None
    return MetadataUrls(page, asset_url(public_url, name) if name else "", animation)
