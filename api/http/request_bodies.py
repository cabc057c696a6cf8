"""Reading of request bodies: every body is parsed before the view runs, or rejected with a precise message.

How long a body may take is limited by ``ops.processes.request_bodies``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, Request, request
from flask.json.provider import DefaultJSONProvider
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import RequestEntityTooLarge

from api.http.route_policy import Access, current_policy
from ops.processes.request_bodies import BodyTooSlowError
from schemas.errors import BodyTooSlow, Invalid

# Of a body: its text may be long, but a list of empty lists takes twenty times as much memory as its text.
MAX_JSON_VALUES = 200_000


class StrictJSONProvider(DefaultJSONProvider):
    """Flask's JSON, with excessive nesting and numbers of values reported as invalid JSON."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse ``s``; raises ValueError."""
        if (s.count(",") if isinstance(s, str) else s.count(b",")) > MAX_JSON_VALUES:
            raise ValueError(f"it has more than {MAX_JSON_VALUES:,} values")
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
    """Parse the body of every request before its view runs, except for views that stream it, or check the caller."""
    app.json = StrictJSONProvider(app)
    app.json.sort_keys = False
    app.request_class = StrictRequest
    app.before_request(_read_body_before_view)


def require_json() -> None:
    """Require ``Content-Type: application/json``; otherwise a body of only optional fields would be silently ignored.

    Raises:
        UnsupportedMediaType: the body has another type.
    """
    if not request.is_json:
        request.get_json()


@contextmanager
def body_errors() -> Iterator[None]:
    """Translate errors of reading the body into ``Invalid`` and ``BodyTooSlow``."""
    try:
        yield
    except (OSError, ParseException) as error:
        raise Invalid(problems=["The body ended early or is malformed."]) from error
    except BodyTooSlowError as error:
        raise BodyTooSlow from error


def read_body(max_bytes: int | None = None) -> None:
    """Read and parse the body, up to ``max_bytes`` or the usual limit.

    Views that check their caller themselves, or whose policy ``streams_body``, call this.

    Raises:
        RequestEntityTooLarge: it is longer.
        Invalid: it is not valid JSON, or badly framed.
        BodyTooSlow: it did not arrive in time.
    """
    try:
        if max_bytes is not None:
            request.max_content_length = max_bytes
        _parse_body()
    except RequestEntityTooLarge as error:
        if max_bytes is None:
            raise
        limit = max_bytes // (1024 * 1024)
        message = f"The body is larger than {limit} MiB; send pictures as files of a form, or upload them first."
        raise RequestEntityTooLarge(message) from error


def _parse_body() -> None:
    with body_errors():
        request.get_data(cache=True, parse_form_data=not request.is_json)
    if request.is_json and request.get_data():
        request.get_json()


def _read_body_before_view() -> None:
    policy = current_policy()
    is_left_to_view = policy.streams_body or policy.access in (Access.CHECKED_BY_VIEW, Access.KEY_OR_SETTING)
    # Some clients send a JSON content type with requests that have no body.
    if request.method not in ("GET", "HEAD") and request.routing_exception is None and not is_left_to_view:
        read_body()
