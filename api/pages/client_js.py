"""The JavaScript client as an ES module, for pages of any origin."""

from pathlib import Path

from flask import Blueprint, Response, send_file

from api.http.rate_limits import count_anonymous

CLIENT_FILE = Path(__file__).parent / "static" / "client.js"

blueprint = Blueprint("clients", __name__)
blueprint.before_request(count_anonymous)


@blueprint.route("/client.js")
def javascript() -> Response:
    """Send the module."""
    response = send_file(CLIENT_FILE, mimetype="text/javascript", max_age=300)
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response
