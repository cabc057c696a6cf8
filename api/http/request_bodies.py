"""Reading of request bodies: every body is parsed before the view runs, or rejected with a precise message."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, Request, request
from flask.json.provider import DefaultJSONProvider
from gunicorn.http.errors import ParseException

from api.http.route_policy import current_policy
from schemas.errors import Invalid


class StrictJSONProvider(DefaultJSONProvider):
    """Flask's JSON, with excessive nesting reported as invalid JSON."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse ``s``; raises ValueError."""
        try:
            return super().loads(s, **kwargs)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error


class StrictRequest(Request):
    """A request that reports invalid JSON as an ``Invalid`` error."""

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        """Report where the JSON is invalid; None means that the content type is not JSON."""
        if e is None:
            return super().on_json_loading_failed(None)
        raise Invalid(problems=[f"The body is not valid JSON in UTF-8: {str(e)[:100].rstrip('.')}."])


def init_body_parsing(app: Flask) -> None:
    """Parse the body of every request before its view runs, except for views that stream it."""
    app.json = StrictJSONProvider(app)
    app.json.sort_keys = False
    app.request_class = StrictRequest
    app.before_request(_read_body)


def require_json() -> None:
    """Require ``Content-Type: application/json``; otherwise a body of only optional fields would be silently ignored.

    Raises:
        UnsupportedMediaType: the body has another type.
    """
    if not request.is_json:
        request.get_json()


@contextmanager
def body_errors() -> Iterator[None]:
    """Translate errors of reading the body into ``Invalid``."""
    try:
        yield
    except (OSError, ParseException) as error:
        raise Invalid(problems=["The body ended early or is badly framed."]) from error


def _read_body() -> None:
    # Some clients send a JSON content type with requests that have no body.
    if request.method in ("GET", "HEAD") or current_policy().streams_body:
        return
    with body_errors():
        request.get_data(cache=True, parse_form_data=not request.is_json)
    if request.is_json and request.get_data():
        request.get_json()
