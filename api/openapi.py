"""How flask-smorest is used here: it documents routes and parses bodies; errors go our way."""

import flask_smorest
from flask import Response
from werkzeug.exceptions import HTTPException

from api.http.error_responses import http_error_response


class Api(flask_smorest.Api):  # type: ignore[misc] # flask-smorest has no types
    """The OpenAPI description of all registered blueprints."""

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Errors have one shape a surface, whoever raises them."""
        return http_error_response(error)
