"""The design tokens that all pages share: a style sheet of custom properties."""

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

from api.http.rate_limits import count_anonymous

DESIGN_DIR = Path(__file__).parent / "static" / "design"
MAX_AGE_S = 300

blueprint = Blueprint("design", __name__)
blueprint.before_request(count_anonymous)


@blueprint.route("/design/<path:name>")
def file(name: str) -> Response:
    """Send a style sheet."""
    return send_from_directory(DESIGN_DIR, name, max_age=MAX_AGE_S)
