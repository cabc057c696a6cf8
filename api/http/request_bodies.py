"""The reading of request bodies: whatever a client sends, a body is read, or refused with what is wrong.

Put into the application by ``create_app``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from flask import Flask, Request, current_app, request
from flask.json.provider import DefaultJSONProvider
from gunicorn.http.errors import ParseException

from schemas.errors import Invalid

View = TypeVar("View", bound=Callable[..., Any])


class StrictJSONProvider(DefaultJSONProvider):
    """JSON as Flask reads it; text that Python cannot read for its depth is not valid either."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """The value that the text means."""
        try:
            return super().loads(s, **kwargs)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error


class StrictRequest(Request):
    """A request whose body, if it is no JSON, is the client's fault and told as such."""

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        """Say what is wrong with the body."""
        if e is None:
            return super().on_json_loading_failed(None)
        raise Invalid(problems=[f"The body is not valid JSON in UTF-8: {str(e)[:100].rstrip('.')}."])


def init_body_parsing(app: Flask) -> None:
    """Read every body before a view does."""
    app.json = StrictJSONProvider(app)
    app.json.sort_keys = False
    app.request_class = StrictRequest
    app.before_request(_read_body)


def streams_body(view: View) -> View:
    """A view that reads the request's body itself, within limits of its own: see ``api.http.multipart``."""
    view.streams_body = True  # type: ignore[attr-defined] # functions bear what is written on them
    return view


def require_json() -> None:
    """For views whose fields may all be left out: a body that is not called JSON is not read, and would be lost.

    Raises:
        UnsupportedMediaType: so it is.
    """
    if not request.is_json:
        request.get_json()


@contextmanager
def body_errors() -> Iterator[None]:
    """Tell the client of a body that does not end as it should."""
    try:
        yield
    except (OSError, ParseException) as error:
        raise Invalid(problems=["The body ended too early or is badly framed."]) from error


def _read_body() -> None:
    view = current_app.view_functions.get(request.endpoint or "")
    if request.method in ("GET", "HEAD") or hasattr(view, "streams_body"):
        # Some clients announce JSON on requests that have no body.
        return
    with body_errors():
        request.get_data(cache=True, parse_form_data=not request.is_json)
    if request.is_json and request.get_data():
        request.get_json()
