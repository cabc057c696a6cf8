"""The bundled demo page, with the same content security policy as in the workers' browsers."""

from pathlib import Path

from flask import Blueprint, Response, redirect, send_file
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from api.http.rate_limits import count_anonymous
from ops.infra.settings import SHIPPED_RECIPES
from schemas.http.content_security_policy import CONTENT_SECURITY_POLICY
from stores.sites.static_sites import guess_content_type, resolve_file

STUDIO_DIR: Path = SHIPPED_RECIPES / "studio"

blueprint = Blueprint("studio", __name__)
blueprint.before_request(count_anonymous)


@blueprint.route("/studio", strict_slashes=True)
def studio() -> BaseResponse:
    """Redirect to the folder: the URLs in the page are relative to it."""
    return redirect("/studio/")


@blueprint.route("/studio/", defaults={"name": ""}, strict_slashes=True)
@blueprint.route("/studio/<path:name>")
def file(name: str) -> Response:
    """Send a file of the page."""
    path = resolve_file(STUDIO_DIR, name)
    if path is None:
        raise NotFound
    response = send_file(path, mimetype=guess_content_type(path), max_age=60)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
