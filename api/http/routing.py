"""Routing: the converter of job ids, and the methods of paths that a route with a parameter matches too.

``/api/v1/jobs/cancel`` takes POST. Without this module, GET would reach the route ``/api/v1/jobs/<job_id>``, and
``Allow`` would name the methods of both.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter, Rule

EXTENSION = "methods_by_rule"


class LazyRule(Rule):
    """A rule that compiles its builders of URLs when they are first used.

    That takes half of the time in which an application is made, and nearly all rules are only matched.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: FBT002 - werkzeug's signature
        compile_builder = cache(partial(super()._compile_builder, append_unknown))

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            return compile_builder()(rule, **values)

        return build


class JobIdConverter(BaseConverter):
    """A job id: 32 lower-case hexadecimal digits. Other paths at the root do not match the image routes."""

    regex = "[0-9a-f]{32}"


def init_allowed_methods(app: Flask) -> None:
    """Refuse requests with a method of another route that happens to match; call it before routes are registered."""
    app.before_request(_refuse_method_of_other_route)


def collect_methods(app: Flask) -> None:
    """Record the methods of each rule; call it once all routes are registered."""
    methods: dict[str, set[str]] = defaultdict(set)
    for rule in app.url_map.iter_rules():
        if not rule.websocket:
            methods[rule.rule] |= rule.methods or set()
    app.extensions[EXTENSION] = dict(methods)


def options_response() -> Response:
    """Return the response to OPTIONS: the methods of the rule that matched, of whatever blueprint."""
    response = current_app.response_class()
    rule = request.url_rule.rule if request.url_rule else ""
    response.allow.update(sorted(_methods_by_rule().get(rule, ())))
    return response


def _refuse_method_of_other_route() -> None:
    # A path without parameters equals its rule; any other path is not a key.
    methods = _methods_by_rule().get(request.path) or _methods_by_rule().get(request.path.rstrip("/"))
    is_websocket = request.url_rule is not None and request.url_rule.websocket
    if methods and request.method not in methods and not is_websocket:
        raise MethodNotAllowed(sorted(methods))


def _methods_by_rule() -> Mapping[str, set[str]]:
    methods: Mapping[str, set[str]] = current_app.extensions[EXTENSION]
    return methods
