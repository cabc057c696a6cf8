"""The serving of the JavaScript client, to pages of any origin: it is code, and nobody's secret."""

from pathlib import Path

from flask import Blueprint, Response, send_file

from api.http.rate_limits import count_anonymous

CLIENT_FILE = Path(__file__).parent / "static" / "client.js"

blueprint = Blueprint("clients", __name__)
blueprint.before_request(count_anonymous)


@blueprint.route("/client.js")
def javascript() -> Response:
    """An ES module."""
    response = send_file(CLIENT_FILE, mimetype="text/javascript", max_age=300)
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response
