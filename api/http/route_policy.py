"""Policies of routes: who may call a route, which rate limit counts it, how its errors look and are described.

Blueprints declare policies next to their routes (``api.http.blueprint``). The request hooks of this package look up the
policy of the current endpoint, so none of them needs a list of endpoint names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from flask import current_app, request

from schemas.accounts.caller import Scope
from schemas.errors import ServiceError
from schemas.fields import ResponseSchema

ErrorFormat = Callable[[ServiceError], dict[str, Any]]
# The schema of the error bodies of each format in OpenAPI.
ERROR_SCHEMAS: dict[ErrorFormat, type[ResponseSchema]] = {}


class Access(StrEnum):
    """How a route identifies its caller."""

    # A key, or the session of a browser that has signed in with one.
    KEY = "key"
    # No key needed; requests are counted by address.
    ANONYMOUS = "anonymous"
    # The same, unless a setting admits callers without a key; the blueprint identifies and counts the caller itself.
    KEY_OR_SETTING = "key_or_setting"
    # The view authenticates and counts the request itself.
    CHECKED_BY_VIEW = "checked_by_view"


class RateLimit(StrEnum):
    """The rate limit that counts a route's requests; the values are the policy names in RateLimit headers."""

    SUBMIT = "submit"
    GENERAL = "requests"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """What the request hooks need to know about a route.

    ``access`` and ``error_format`` default to those of the blueprint, and ``scope`` to ``read`` for GET and HEAD and
    ``generate`` otherwise. Routes that are polled many times a second are not logged; the metrics count them. A view
    that ``streams_body`` reads the request body itself instead of getting it parsed. With GALLERY_PUBLIC, GET requests
    to a route that ``reads_gallery`` need neither a key nor a session: see ``api.http.context.optional_caller``.
    """

    access: Access | None = None
    scope: Scope | None = None
    rate_limit: RateLimit = RateLimit.GENERAL
    is_logged: bool = True
    streams_body: bool = False
    reads_gallery: bool = False
    error_format: ErrorFormat | None = None


def described_by(schema: type[ResponseSchema]) -> Callable[[ErrorFormat], ErrorFormat]:
    """Return a decorator of an error format: ``schema`` describes its bodies."""

    def register(build_body: ErrorFormat) -> ErrorFormat:
        ERROR_SCHEMAS[build_body] = schema
        return build_body

    return register


# The OpenAPI security of a route with Access.KEY.
KEY_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}, {"session": []}]
# What a route of Access.KEY_OR_SETTING takes: its clients send keys as passwords, if they send any.
OPTIONAL_KEY_SECURITY: list[dict[str, list[str]]] = [{}, {"basic": []}, *KEY_SECURITY]
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CHANGING_SCOPES = (Scope.GENERATE, Scope.LIBRARY, Scope.GALLERY)
DEFAULT = RoutePolicy()
# Bodies may have pictures, so the view reads them, after the caller has been identified.
SUBMISSION = RoutePolicy(scope=Scope.GENERATE, rate_limit=RateLimit.SUBMIT, streams_body=True)


def changes_something() -> bool:
    """Whether the current request may change something: by its method, or because its route does so by GET too.

    GET submits jobs in the Weights API, and reserves ids and upload URLs in the generaitiv API.
    """
    return request.method not in SAFE_METHODS or current_policy().scope in CHANGING_SCOPES


def current_policy() -> RoutePolicy:
    """Return the policy of the current request's route; the default one if no route matched."""
    policies = cast(dict[str, RoutePolicy], current_app.extensions["route_policies"])
    return policies.get(request.endpoint or "", DEFAULT)
