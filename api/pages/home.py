"""The JSON document at the root: name, version and links."""

from flask import Blueprint, Response, jsonify

from api.http.context import stores
from api.http.rate_limits import count_anonymous
from ops.infra.version import VERSION

blueprint = Blueprint("home", __name__)
blueprint.before_request(count_anonymous)


@blueprint.route("/")
def home() -> Response:
    """Send the document."""
    url = stores().settings.public_url
    links = {name: f"{url}/{name}" for name in ("docs", "openapi.json", "studio", "health")}
    return jsonify({"name": "Darkroom", "version": VERSION, "links": links})
