"""The upload part of the generaitiv API: a URL for a token's picture, and where that URL leads without a cloud.

Clients put the bytes from a browser, with any Content-Type, and report nothing afterwards.
"""

from flask import Response, jsonify

from api.compat.generaitiv_responses import SuccessText, UploadUrl
from api.gallery.upload_urls import issue_url, receive
from api.http.blueprint import Blueprint
from api.http.context import caller
from api.http.error_responses import generaitiv_body
from api.http.route_policy import Access, RoutePolicy
from schemas.accounts.caller import Scope
from schemas.errors import Forbidden, NotFound
from schemas.gallery.tokens import is_token_id

PICTURE = {
    "required": True,
    "content": {"*/*": {"schema": {"type": "string", "format": "binary", "description": "The bytes, of any type."}}},
}
SIGNATURE = [
    {"in": "query", "name": name, "required": True, "schema": {"type": "string"}, "description": "Of the signed URL."}
    for name in ("expires", "signature")
]

blueprint = Blueprint(
    "generaitiv_uploads",
    __name__,
    access=Access.KEY,
    error_format=generaitiv_body,
    url_prefix="/v1",
    description="The generaitiv API: uploads.",
)


@blueprint.route("/upload/token/<token_id>", policy=RoutePolicy(scope=Scope.GALLERY), endpoint="url_without_name")
@blueprint.route("/upload/token/<token_id>/<path:file_name>", policy=RoutePolicy(scope=Scope.GALLERY), endpoint="url")
@blueprint.response(200, UploadUrl, description="PUT the bytes of the picture there, once, within ten minutes.")
@blueprint.alt_response(429, description="Too many requests, or too many unfinished uploads.")
@blueprint.sends(Forbidden)
def get_url(token_id: str, file_name: str = "") -> Response:  # noqa: ARG001 - a name says nothing about the bytes
    """A signed URL for the picture of a token of yours; the file name is ignored."""
    if not is_token_id(token_id):
        raise NotFound("There is no such token: its id is '0x' and 64 hexadecimal digits.")
    response = jsonify({"url": issue_url(caller().id, token_id)})
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.route(
    "/upload/put/<nonce>",
    methods=["PUT"],
    policy=RoutePolicy(access=Access.ANONYMOUS, streams_body=True),
    endpoint="put",
)
@blueprint.doc(security=[], requestBody=PICTURE, parameters=SIGNATURE)
@blueprint.response(
    200, SuccessText, description="The bytes have arrived; the token shows them once they have been examined."
)
@blueprint.alt_response(409, description="The URL has been used.")
@blueprint.alt_response(410, description="The URL has expired.")
@blueprint.sends(Forbidden)
def put_picture(nonce: str) -> Response:
    """Upload a picture to a signed URL; this needs no key."""
    receive(nonce)
    return jsonify({"success": "true"})
