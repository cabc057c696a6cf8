"""The root: the Make section for browsers, and for programs a JSON document with name, version and links."""

from flask import Response, jsonify

from api.console.page import HOME_PATH, page_blueprint, require_sign_in
from api.console.sign_in import sign_in_page
from api.console.views.make import make_page
from api.http.context import prefers_html, stores
from api.http.rate_limits import count_anonymous
from ops.infra.version import VERSION
from schemas.errors import Unauthorized

blueprint = page_blueprint("home")


@blueprint.route(HOME_PATH)
def home() -> Response:
    """Send the page or the document."""
    response = _page() if prefers_html() else _document()
    response.headers["Vary"] = "Accept, Cookie"
    return response


def _page() -> Response:
    try:
        require_sign_in()
    except Unauthorized:
        return sign_in_page(HOME_PATH)
    return make_page()


def _document() -> Response:
    count_anonymous()
    url = stores().settings.public_url
    links = {name: f"{url}/{name}" for name in ("docs", "openapi.json", "studio", "health")}
    return jsonify({"name": "Darkroom", "version": VERSION, "links": links})
