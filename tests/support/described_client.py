"""A test client that compares every response with the OpenAPI description of its route, so that the two cannot differ.

The description leaves objects open, because clients ignore fields that they do not know. Here they are closed: a field
that is not described fails the test that gets it.
"""

import copy
import json
from functools import lru_cache
from typing import Any

import jsonschema_rs
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect
from werkzeug.test import TestResponse

from api.openapi.operations import describe_path

# Answers of the server itself, whatever the route.
UNDESCRIBED_STATUSES = {405}
JSON = "application/json"


class Description:
    """The description of an application, with closed objects."""

    def __init__(self, app: Flask) -> None:
        document = copy.deepcopy(app.extensions["openapi"].document)
        for schema in document["components"]["schemas"].values():
            close_objects(schema)
        self._document = document
        self._validator = lru_cache(maxsize=None)(self._build_validator)

    def problem(self, app: Flask, method: str, response: TestResponse) -> str:
        """Return how a response differs from its description; empty if it does not."""
        template = matched_path(app, method, response.request.path)
        operation = self._document["paths"].get(template, {}).get("get" if method == "HEAD" else method.lower())
        if operation is None or response.status_code in UNDESCRIBED_STATUSES:
            return ""
        problem = self._problem_of_body(operation, method, response)
        return f"{method} {template} {response.status_code}: {problem}" if problem else ""

    def _problem_of_body(self, operation: dict[str, Any], method: str, response: TestResponse) -> str:
        described = operation["responses"].get(str(response.status_code))
        if described is None:
            return f"the status is not described, only {', '.join(operation['responses'])}."
        content = described.get("content", {})
        # Statuses without a body have none, whatever their headers say.
        if method == "HEAD" or response.status_code in (204, 304) or (not content and not response.get_data()):
            return ""
        if not any(matches(response.mimetype, media_type) for media_type in content):
            return f"{response.mimetype!r} is not described, only {', '.join(content) or 'no body'}."
        if response.mimetype != JSON:
            return ""
        errors = list(self._validator(json.dumps(content[JSON]["schema"])).iter_errors(response.get_json()))
        return "; ".join(f"{list(error.instance_path)}: {error.message[:300]}" for error in errors[:5])

    def _build_validator(self, schema: str) -> Any:
        root = close_objects(json.loads(schema)) | {"components": self._document["components"]}
        return jsonschema_rs.Draft202012Validator(root, validate_formats=True)


def close_objects(schema: Any) -> Any:
    """Forbid properties that a schema does not name, in place; return it."""
    if isinstance(schema, list):
        for each in schema:
            close_objects(each)
    elif isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for key, value in schema.items():
            if key not in ("example", "examples", "default", "enum"):
                close_objects(value)
    return schema


def matched_path(app: Flask, method: str, path: str) -> str:
    """Return the path of the route that a request matches, as the description writes it; empty if there is none."""
    try:
        rule, _ = app.url_map.bind("localhost").match(path, method, return_rule=True)
    except (HTTPException, RequestRedirect):
        return ""
    return describe_path(rule)


def matches(media_type: str, pattern: str) -> bool:
    """Whether a media type is one of a pattern such as ``image/*``."""
    main, _, sub = pattern.partition("/")
    found, _, found_sub = media_type.partition("/")
    return main in ("*", found) and sub in ("*", found_sub)


_descriptions: dict[str, Description] = {}


class DescribedClient(FlaskClient):
    """The client; a response that its description does not allow fails the test."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send a request, as ``FlaskClient.open`` does."""
        response = super().open(*args, **kwargs)
        # One description serves all apps of a test run: building it takes a while.
        if not _descriptions:
            _descriptions["only"] = Description(self.application)
        problem = _descriptions["only"].problem(self.application, response.request.method, response)
        assert not problem, problem
        return response
