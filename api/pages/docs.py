"""The pages that explain the API: readable, made from the OpenAPI description, without any request elsewhere."""

import re
from typing import Any

from flask import Blueprint, Response, current_app, render_template
from markupsafe import Markup, escape

from api.http.rate_limits import count_anonymous
from api.http.session_cookie import COOKIE_NAME
from schemas.errors import error_classes
from schemas.http.content_security_policy import CONTENT_SECURITY_POLICY

SPEC_OPTIONS: dict[str, Any] = {
    "info": {
        "description": "Submit a prompt, watch previews arrive, fetch the picture. "
        "The native surface lies below /api/v1; the routes at the root are those of the Weights API.",
        "license": {"name": "MIT"},
    },
    "components": {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE_NAME},
        }
    },
    "security": [{"bearer": []}, {"key": []}],
}

blueprint = Blueprint(
    "docs", __name__, static_folder="static", template_folder="templates", static_url_path="/docs/static"
)
blueprint.before_request(count_anonymous)


@blueprint.route("/docs")
def docs() -> Response:
    """The API, described for people."""
    spec: dict[str, Any] = current_app.extensions["openapi"].spec.to_dict()
    page = render_template(
        "docs.html", spec=spec, groups=_operations_by_tag(spec), errors=error_classes(), name_of=_schema_name
    )
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


@blueprint.app_template_filter("code")
def _code_filter(text: str | None) -> Markup:
    """``text`` as HTML, with what stands between backticks as code."""
    # Escaped first: nothing of the text itself becomes HTML.
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text or ""))))  # noqa: S704


def _operations_by_tag(spec: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """The operations by tag: method, path and description of each."""
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {tag["name"]: [] for tag in spec.get("tags", [])}
    for path, methods in spec["paths"].items():
        shared = methods.get("parameters", [])
        for method, operation in methods.items():
            if isinstance(operation, dict):
                known = {"parameters": [*shared, *operation.get("parameters", [])]}
                groups.setdefault(operation["tags"][0], []).append((method.upper(), path, operation | known))
    return groups


def _schema_name(schema: dict[str, Any]) -> str:
    """A schema in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        kind = " or ".join(kind)
    return f"list of {_schema_name(schema['items'])}" if kind == "array" and "items" in schema else str(kind)
