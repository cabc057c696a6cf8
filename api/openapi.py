"""flask-smorest with this application's error responses."""

import flask_smorest
from flask import Response
from werkzeug.exceptions import HTTPException

from api.http.error_responses import http_error_response


class Api(flask_smorest.Api):  # type: ignore[misc] # flask-smorest has no types
    """The OpenAPI description of all registered blueprints, at ``/openapi.json``."""

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Use the error format of the API instead of flask-smorest's."""
        return http_error_response(error)
