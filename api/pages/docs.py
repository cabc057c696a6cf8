"""The API reference: an HTML page of the OpenAPI description, on which every operation can be tried.

It loads nothing from other hosts. ``static/docs`` has the scripts; requests go with the reader's session or a key.
"""

import re
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, current_app, render_template
from markupsafe import Markup, escape

from api.http.rate_limits import count_anonymous
from api.http.route_policy import KEY_SECURITY
from api.http.session_cookie import COOKIE_NAME
from schemas.errors import error_classes
from schemas.http.content_security_policy import CONTENT_SECURITY_POLICY

SPEC_OPTIONS: dict[str, Any] = {
    "info": {
        "description": "Submit a prompt, watch previews arrive, fetch the picture. "
        "The native API is below /api/v1; the routes at the root are the Weights API. Each API has errors of its own: "
        "`NativeError`, `LibraryError`, `WeightsError`, `OpenAIError`, `GeneraitivError`, `SdapiError` and "
        "`JsonRpcError`.",
        "license": {"name": "MIT", "identifier": "MIT"},
    },
    "components": {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An API key."},
            "basic": {"type": "http", "scheme": "basic", "description": "An API key as the password; any user name."},
            "session": {
                "type": "apiKey",
                "in": "cookie",
                "name": COOKIE_NAME,
                "description": "The cookie of a signed-in browser. Requests that change something must come from a page"
                " of this server: `Sec-Fetch-Site` or `Origin` says so.",
            },
        }
    },
    "security": KEY_SECURITY,
}
HEADERS = {
    # Answers may be videos.
    "Content-Security-Policy": f"{CONTENT_SECURITY_POLICY}; media-src blob:",
    # Under "no-referrer", requests over plain HTTP would not say that they come from a page of this server.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
# Bounds of a schema that the reference shows, with their words.
BOUNDS = {
    "minimum": "from {}",
    "maximum": "to {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} entries",
    "pattern": "as {}",
}
HIDDEN_PATTERN_LENGTH = 60

blueprint = Blueprint(
    "docs", __name__, static_folder="static/docs", template_folder="templates", static_url_path="/docs/static"
)
blueprint.before_request(count_anonymous)


@blueprint.route("/docs")
def docs() -> Response:
    """Send the page, which is rendered once for each process."""
    pages: dict[str, str] = current_app.extensions.setdefault("docs", {})
    if "page" not in pages:
        pages["page"] = _render(current_app.extensions["openapi"].document)
    return Response(pages["page"], mimetype="text/html", headers=HEADERS)


def _render(spec: dict[str, Any]) -> str:
    return render_template(
        "docs.html", spec=spec, groups=_operations_by_tag(spec), errors=error_classes(), anchor=_anchor
    )


@blueprint.app_template_filter("code")
def _code_filter(text: str | None) -> Markup:
    """Return ``text`` as HTML, with the parts between backticks as code."""
    # Escaping comes first, so the only HTML is the code element.
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text or ""))))  # noqa: S704


@blueprint.app_template_filter("type_name")
def _type_name(schema: Mapping[str, Any]) -> Markup:
    """Return a short name of a schema as HTML; names of schemas are links to their fields."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return Markup(" or ").join(_type_name(choice) for choice in choices)
    types = schema.get("type", "any value")
    types = list(types) if isinstance(types, list) else [types]
    if "enum" in schema:
        return Markup(" or ").join(Markup("<code>{}</code>").format(value) for value in schema["enum"])
    names = [_list_name(schema) if each == "array" else escape(each) for each in types]
    return Markup(" or ").join(names) + (f" ({schema['format']})" if "format" in schema else "")


@blueprint.app_template_filter("bounds")
def _bounds(schema: Mapping[str, Any]) -> str:
    """Return the bounds of a schema in words."""
    shown = {name: schema[name] for name in BOUNDS if schema.get(name) not in (None, 0)}
    if len(str(shown.get("pattern", ""))) > HIDDEN_PATTERN_LENGTH:
        del shown["pattern"]
    parts = [BOUNDS[name].format(value) for name, value in shown.items()]
    return ", ".join(
        parts + ([f"{schema['default']} if absent"] if schema.get("default") not in (None, [], "") else [])
    )


def _list_name(schema: Mapping[str, Any]) -> Markup:
    return Markup("list of {}").format(_type_name(schema.get("items", {})))


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _operations_by_tag(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the groups of operations, in the order of the tags."""
    groups = {tag["name"]: {**tag, "operations": []} for tag in spec["tags"]}
    for path, methods in spec["paths"].items():
        shared = methods.get("parameters", [])
        for method, operation in methods.items():
            if isinstance(operation, dict):
                parameters = {"parameters": [*shared, *operation.get("parameters", [])]}
                shown = {"method": method.upper(), "path": path, **operation, **parameters}
                groups[operation["tags"][0]]["operations"].append(shown)
    return list(groups.values())
