"""The files of the gallery's pictures, by public names that cannot be guessed and whose bytes never change."""

from http import HTTPStatus

from flask import Response, request

from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.error_responses import error_response
from api.http.route_policy import Access, RateLimit, RoutePolicy
from schemas.errors import PreconditionFailed, RangeNotSatisfiable, ServiceError
from schemas.gallery.assets import Asset
from schemas.http.conditional_requests import ConditionalHeaders, RangeDecision, Representation, decide

HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    # A browser shows the file and runs nothing in it, whatever its bytes look like.
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Content-Disposition": "inline",
    # Pages of any origin may show pictures and read their pixels.
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
    "Accept-Ranges": "bytes",
}
ERRORS: dict[int, type[ServiceError]] = {error.status: error for error in (PreconditionFailed, RangeNotSatisfiable)}
BINARY = {"type": "string", "format": "binary"}
POLICY = RoutePolicy(rate_limit=RateLimit.STATUS, is_logged=False)

blueprint = Blueprint(
    "gallery_files",
    __name__,
    access=Access.ANONYMOUS,
    description="Files of the gallery's pictures. They need no key: their names cannot be guessed.",
)


@blueprint.route("/images/asset/<name>", policy=POLICY, endpoint="asset")
@blueprint.response(200, BINARY, description="The file. Byte ranges are supported.", content_type="image/*")
@blueprint.alt_response(200, schema=BINARY, description="The file.", content_type="video/*")
@blueprint.sends(206, 304, PreconditionFailed, RangeNotSatisfiable)
def send_asset(name: str) -> Response:
    """A picture of the gallery, or a thumbnail, preview or poster of one."""
    return _send(stores().gallery.assets.find(name))


@blueprint.route("/profile/64x64/<stem>.png", policy=POLICY, endpoint="profile_icon")
@blueprint.route("/collection_thumbnail/64x64/<stem>.png", policy=POLICY, endpoint="collection_icon")
@blueprint.response(200, BINARY, description="A still PNG of 64 by 64 pixels.", content_type="image/png")
@blueprint.sends(206, 304, PreconditionFailed, RangeNotSatisfiable)
def send_icon(stem: str) -> Response:
    """The icon of a profile's or a collection's picture."""
    return _send(stores().gallery.assets.find(f"{stem}.png"))


def _send(asset: Asset) -> Response:
    representation = Representation(f'"{asset.sha256}"', None, asset.size_bytes)
    decision = decide(ConditionalHeaders.from_headers(request.method, request.headers.get), representation)
    if error := ERRORS.get(decision.status):
        response = error_response(error())
    elif decision.status == HTTPStatus.NOT_MODIFIED:
        response = Response(status=decision.status, headers=HEADERS)
    else:
        response = _content_response(asset, decision)
    response.headers["ETag"] = representation.etag
    if decision.content_range:
        response.headers["Content-Range"] = decision.content_range
    return response


def _content_response(asset: Asset, decision: RangeDecision) -> Response:
    response = Response(status=decision.status, mimetype=asset.type, headers=HEADERS)
    if request.method != "HEAD":
        is_part = decision.count < asset.size_bytes
        part = (decision.first, decision.first + decision.count) if is_part else None
        response.response = stores().media.open(asset.media_key, part).chunks
    response.content_length = decision.count
    return response
