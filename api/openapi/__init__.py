"""The OpenAPI description of all registered blueprints, at ``/openapi.json``: flask-smorest with extensions."""

import json
import threading
from functools import cached_property
from typing import Any

import flask_smorest
from flask import Flask, Response, request
from marshmallow import fields
from werkzeug.exceptions import HTTPException

from api.http.error_responses import http_error_response
from api.http.routing import JobIdConverter
from api.openapi.examples import add_examples
from api.openapi.field_properties import describe_query_list, describe_special, describe_text
from api.openapi.groups import GROUPS, GROUPS_BY_BLUEPRINT
from api.openapi.operations import RouteDescriptions
from api.openapi.paths import HEX_ID

MAX_AGE_S = 60
# Of flask-smorest, which registers them in any case.
UNUSED_SCHEMAS = ("Error", "PaginationMetadata")


class Api(flask_smorest.Api):  # type: ignore[misc] # flask-smorest has no types
    """The description; ``document`` is complete once all blueprints are registered."""

    # Each API has its own error format: ``api.openapi.operations``.
    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask) -> None:
        self._described: list[tuple[Any, str, Any]] = []
        self._lock = threading.Lock()
        super().__init__(app, spec_kwargs={"extra_plugins": [RouteDescriptions(app)]})
        self.register_field(fields.Url, "string", "uri")
        self.register_converter(JobIdConverter, lambda _: dict(HEX_ID))
        for describe in (describe_special, describe_text):
            self.ma_plugin.converter.add_attribute_function(describe)
        self.ma_plugin.converter.add_parameter_attribute_function(describe_query_list)

    def register_blueprint(self, blp: Any, *, parameters: Any = None, **options: Any) -> None:
        """Register the routes of a blueprint at once, and their descriptions when the document is first asked for.

        Descriptions take longer than all the rest of a start.
        """
        name = options.get("name", blp.name)
        self._app.extensions["flask-smorest"]["blp_name_to_api"][name] = self
        self._app.register_blueprint(blp, **options)
        self._described.append((blp, name, parameters))

    @property
    def document(self) -> dict[str, Any]:
        """The whole document."""
        with self._lock:
            return self._document

    @cached_property
    def _document(self) -> dict[str, Any]:
        for blueprint, name, parameters in self._described:
            blueprint.register_views_in_doc(self, self._app, self.spec, name=name, parameters=parameters)
            self.spec.tag({"name": name, "description": blueprint.description})
        document: dict[str, Any] = self.spec.to_dict()
        used = {tag for path in document["paths"].values() for tag in _tags(path)}
        others = [tag for tag in document.get("tags", []) if tag["name"] not in GROUPS_BY_BLUEPRINT]
        known = [{"name": group.title, "description": group.description} for group in GROUPS]
        document["tags"] = [tag for tag in (*known, *others) if tag["name"] in used]
        for name in UNUSED_SCHEMAS:
            document["components"]["schemas"].pop(name, None)
        return add_examples(document)

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Use the error format of the API instead of flask-smorest's."""
        return http_error_response(error)

    def _openapi_json(self) -> Response:
        response = Response(self._text, mimetype="application/json")
        response.add_etag()
        response.cache_control.max_age = MAX_AGE_S
        return response.make_conditional(request)  # type: ignore[return-value] # it returns the response itself

    @cached_property
    def _text(self) -> str:
        return json.dumps(self.document, ensure_ascii=False)


def _tags(path: dict[str, Any]) -> list[str]:
    return [tag for operation in path.values() if isinstance(operation, dict) for tag in operation.get("tags", ())]
