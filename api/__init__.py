"""The web application: validates requests, submits jobs, reads state. Views are thin; the work is in ``stores``."""

import re
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from api.accounts import keys, quota, sessions
from api.agents import views as agents
from api.compat import gallery_uploads, generaitiv, generaitiv_gallery, sdapi, weights
from api.compat.openai import images as openai_images
from api.compat.openai import models as openai_models
from api.compat.openai.blueprint import JOBS_HEADER
from api.console import assets, events, home, sign_in
from api.console.page import fallback
from api.console.views import SECTION_BLUEPRINTS
from api.gallery import asset_files, collections, new_tokens, profiles, tokens
from api.gallery.documents import archives, comparison, metadata, provenance
from api.gallery.pages import oembed
from api.gallery.pages import views as gallery_pages
from api.http import metrics
from api.http.auth import init_authorization
from api.http.error_responses import init_error_handlers
from api.http.request_bodies import init_body_parsing
from api.http.request_log import init_request_log, init_request_spans
from api.http.routing import JobIdConverter, LazyRule, collect_methods, init_allowed_methods, options_response
from api.http.session_cookie import init_cookie_renewal
from api.jobs import event_streams, images, uploads, websockets
from api.jobs import views as job_views
from api.jobs.direct.status import DirectStatus
from api.jobs.direct.submission import DirectSubmission
from api.jobs.hang_up import CANCEL_HEADER
from api.library import images as model_images
from api.library import models, scans_and_report
from api.openapi import Api
from api.pages import client_js, design, docs, health, studio
from api.sites import views as site_views
from api.webhooks import deliveries
from api.webhooks import views as webhook_views
from ops.infra.version import VERSION
from stores import Stores

MAX_BODY_BYTES = 1024 * 1024
PREFLIGHT_CACHE_TTL_S = 600
ALLOWED_HEADERS = ["Authorization", "Content-Type", "X-API-Key", "Idempotency-Key", "Last-Event-ID", CANCEL_HEADER]
ALLOWED_HEADERS += ["Mcp-Session-Id", "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"]
EXPOSED_HEADERS = [
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-ID",
    "Idempotent-Replayed",
    JOBS_HEADER,
    "Mcp-Session-Id",
    "WWW-Authenticate",
]
# The packages of OpenAI describe themselves in headers of their own.
PACKAGE_HEADER = re.compile(r"(?:x-stainless|openai)-[a-z0-9-]{1,40}", re.ASCII | re.IGNORECASE)
OPENAI_HEADERS = [
    "x-should-retry",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
]

API_PARTS = (
    health,
    weights,
    images,
    job_views,
    uploads,
    event_streams,
    webhook_views,
    deliveries,
    quota,
    generaitiv,
    generaitiv_gallery,
    metadata,
    site_views,
    metrics,
    keys,
    sessions,
    scans_and_report,
    gallery_uploads,
    openai_images,
    openai_models,
    asset_files,
)
GALLERY_BLUEPRINTS = (
    (profiles.blueprint, "gallery"),
    (collections.blueprint, "gallery/collections"),
    (new_tokens.blueprint, "gallery/collections"),
    (tokens.blueprint, "gallery/tokens"),
    (provenance.blueprint, "gallery/tokens"),
    (archives.blueprint, "gallery"),
)
LIBRARY_BLUEPRINTS = (
    (models.blueprint, "models"),
    (model_images.blueprint, "models/<model_id>/images"),
    (model_images.image_blueprint, "images"),
)
PAGES = (
    docs,
    studio,
    design,
    websockets,
    client_js,
    assets,
    events,
    home,
    sign_in,
    gallery_pages,
    comparison,
    oembed,
)


class App(Flask):
    """Flask without support for async views, and with rules that take less time to make."""

    url_rule_class = LazyRule

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``func`` unchanged; Flask inspects each view and hook on every request otherwise."""
        return func

    def make_default_options_response(self) -> Response:
        """Return the response to OPTIONS."""
        return options_response()


def create_app(stores: Stores) -> Flask:
    """Create the application on top of ``stores``."""
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
    if proxies := stores.settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=1)  # type: ignore[method-assign] # Flask's own way
    app.after_request(_allow_all_origins)
    if stores.settings.cors_origins:
        origins = list(stores.settings.cors_origins)
        CORS(app, origins=origins, allow_headers=ALLOWED_HEADERS, expose_headers=EXPOSED_HEADERS)
    init_error_handlers(app)
    # Hooks run in this order before a request, and in the opposite order after it.
    init_request_log(app)
    init_request_spans(app)
    init_allowed_methods(app)
    # The key is checked before the body is read.
    init_authorization(app)
    init_body_parsing(app)
    init_cookie_renewal(app)
    _register_blueprints(app)
    collect_methods(app)
    # For the web server: see ops.processes.gunicorn_worker.
    app.extensions["direct_answers"] = {"GET": DirectStatus(app).answer, "POST": DirectSubmission(app).answer}
    return app


def _register_blueprints(app: Flask) -> None:
    """Register the routes of the API description, then the routes that are not part of it."""
    api = app.extensions["openapi"] = Api(app)
    for part in API_PARTS:
        api.register_blueprint(part.blueprint)
    for blueprint, path in GALLERY_BLUEPRINTS:
        api.register_blueprint(blueprint, url_prefix=f"/api/v1/{path}")
    for blueprint, path in LIBRARY_BLUEPRINTS:
        # The second prefix is that of the library's original web UI.
        api.register_blueprint(blueprint, url_prefix=f"/api/v1/{path}")
        api.register_blueprint(blueprint, name=f"{blueprint.name}_of_session", url_prefix=f"/api/{path}")
    api.register_blueprint(webhook_views.public)
    for blueprint in (*sdapi.blueprints, agents.blueprint):
        api.register_blueprint(blueprint)
    for page in PAGES:
        app.register_blueprint(page.blueprint)
    for section in SECTION_BLUEPRINTS:
        app.register_blueprint(section)
    app.register_blueprint(fallback)


def _allow_all_origins(response: Response) -> Response:
    """Allow pages of any origin to call the APIs below ``/v1``.

    This is safe because these APIs take keys in headers only: a page has no key but the one that its user entered.
    """
    if f"{request.path}/".startswith(f"{generaitiv.blueprint.url_prefix}/"):
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = ", ".join([*EXPOSED_HEADERS, *OPENAI_HEADERS])
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "GET, POST, OPTIONS")
            requested = request.headers.get("Access-Control-Request-Headers", "").split(",")
            of_packages = [name.strip() for name in requested if PACKAGE_HEADER.fullmatch(name.strip())]
            response.headers["Access-Control-Allow-Headers"] = ", ".join([*ALLOWED_HEADERS, *of_packages])
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_CACHE_TTL_S)
    return response
