"""The front: validates requests, enqueues jobs, reads states. A view is ten lines or fewer.

Built by ``api.wsgi`` for gunicorn and by the tests.
"""

from collections.abc import Callable
from re import Pattern
from typing import Any

from flask import Flask
from flask_cors import CORS

from api import docs, errors, generaitiv, home, jobs, metrics, pictures, sites, sockets, streams, studio, weights
from api.bodies import read_bodies_carefully
from api.requests import watch_requests
from api.routing import JobIdConverter
from api.surface import Surface
from ops.version import VERSION
from stores import Stores

LARGEST_BODY_BYTES = 1024 * 1024
PREFLIGHT_KEPT_S = 600


class Front(Flask):
    """Flask whose views and hooks are plain functions, so that it need not ask for each, on every request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is."""
        return func


def _let_browsers_call(app: Flask, origins: tuple[str, ...]) -> None:
    """Keys are sent in headers and never by themselves, so that any page may call what its user has a key for."""
    headers = ["Authorization", "Content-Type", "X-API-Key"]
    resources: dict[str | Pattern[str], dict[str, Any]] = {r"/v1/.*": {"origins": "*", "send_wildcard": True}}
    if origins:
        resources[r"/.*"] = {"origins": list(origins)}
    CORS(app, resources=resources, allow_headers=headers, max_age=PREFLIGHT_KEPT_S)


def create_app(stores: Stores) -> Flask:
    """The application on top of ``stores``."""
    app = Front(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=LARGEST_BODY_BYTES,
        API_TITLE="Darkroom",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS=docs.SPEC_OPTIONS,
    )
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.converters["job_id"] = JobIdConverter
    app.extensions["stores"] = stores
    _let_browsers_call(app, stores.settings.cors_origins)
    errors.register(app)
    watch_requests(app)
    read_bodies_carefully(app)
    surface = app.extensions["openapi"] = Surface(app)
    for part in (weights, pictures, jobs, streams, generaitiv, sites, metrics):
        surface.register_blueprint(part.blueprint)
    for page in (home, docs, studio, sockets):
        app.register_blueprint(page.blueprint)
    return app
