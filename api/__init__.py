"""The front: validates requests, enqueues jobs, reads states. A view is ten lines or fewer."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from api.accounts import keys, quota, sessions
from api.compat import generaitiv, weights
from api.http import error_responses, metrics
from api.http.request_bodies import init_body_parsing
from api.http.request_log import init_request_log
from api.http.session_cookie import init_cookie_renewal
from api.http.url_converters import JobIdConverter
from api.jobs import event_streams, images, websockets
from api.jobs import views as jobs
from api.library import images as model_images
from api.library import models, scans_and_report
from api.openapi import Api
from api.pages import client_js, docs, home, studio
from api.sites import views as sites
from api.webhooks import deliveries
from api.webhooks import views as webhooks
from ops.infra.version import VERSION
from stores import Stores

MAX_BODY_BYTES = 1024 * 1024
PREFLIGHT_CACHE_TTL_S = 600
ALLOWED_HEADERS = ["Authorization", "Content-Type", "X-API-Key", "Idempotency-Key", "Last-Event-ID"]
# What pages of other origins may read of an answer's headers.
EXPOSED_HEADERS = [
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-ID",
    "Idempotent-Replayed",
]


class App(Flask):
    """Flask whose views and hooks are plain functions, so that it need not ask for each, on every request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is."""
        return func


def _allow_all_origins(response: Response) -> Response:
    """Let any page call the generaitiv API: keys are sent by hand there, so a page has none but its user's own."""
    if f"{request.path}/".startswith(error_responses.GENERAITIV):
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED_HEADERS)
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "GET, POST, OPTIONS")
            response.headers["Access-Control-Allow-Headers"] = ", ".join(ALLOWED_HEADERS)
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_CACHE_TTL_S)
    return response


def create_app(stores: Stores) -> Flask:
    """The application on top of ``stores``."""
    app = App(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
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
    if stores.settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=stores.settings.trusted_proxies, x_proto=0)  # type: ignore[method-assign] # Flask's own way
    app.after_request(_allow_all_origins)
    if stores.settings.cors_origins:
        origins = list(stores.settings.cors_origins)
        CORS(app, origins=origins, allow_headers=ALLOWED_HEADERS, expose_headers=EXPOSED_HEADERS)
    error_responses.init_error_handlers(app)
    init_request_log(app)
    init_body_parsing(app)
    init_cookie_renewal(app)
    surface = app.extensions["openapi"] = Api(app)
    for part in (weights, images, jobs, event_streams, webhooks, deliveries, quota, generaitiv, sites, metrics):
        surface.register_blueprint(part.blueprint)
    for part in (keys, sessions, scans_and_report):
        surface.register_blueprint(part.blueprint)
    for part in (models, model_images):
        for blueprint in part.blueprints:
            surface.register_blueprint(blueprint)
    surface.register_blueprint(webhooks.public)
    for page in (home, docs, studio, websockets, client_js):
        app.register_blueprint(page.blueprint)
    return app
