"""The HTML page of the API reference, rendered from the OpenAPI description. It loads nothing from other hosts."""

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
        "The native API is below /api/v1; the routes at the root are the Weights API.",
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
    """Send the page."""
    spec: dict[str, Any] = current_app.extensions["openapi"].spec.to_dict()
    page = render_template(
        "docs.html", spec=spec, groups=_operations_by_tag(spec), errors=error_classes(), schema_name=_schema_name
    )
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


@blueprint.app_template_filter("code")
def _code_filter(text: str | None) -> Markup:
    """Return ``text`` as HTML, with the parts between backticks as code."""
    # Escaping comes first, so the only HTML is the code element.
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text or ""))))  # noqa: S704


def _operations_by_tag(spec: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Return method, path and description of each operation, by tag."""
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {tag["name"]: [] for tag in spec.get("tags", [])}
    for path, methods in spec["paths"].items():
        shared = methods.get("parameters", [])
        for method, operation in methods.items():
            if isinstance(operation, dict):
                parameters = {"parameters": [*shared, *operation.get("parameters", [])]}
                groups.setdefault(operation["tags"][0], []).append((method.upper(), path, operation | parameters))
    return groups


def _schema_name(schema: dict[str, Any]) -> str:
    """Return a short name of a schema."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    type_ = schema.get("type", "any")
    if isinstance(type_, list):
        type_ = " or ".join(type_)
    return f"list of {_schema_name(schema['items'])}" if type_ == "array" and "items" in schema else str(type_)
