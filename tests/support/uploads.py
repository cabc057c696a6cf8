"""An app with routes that receive uploads and report what arrived. gunicorn starts it by name."""

import hashlib
from typing import Any

from flask import Flask

from api import create_app
from api.http.blueprint import Blueprint
from api.http.multipart import inspect_upload, receive_upload
from api.http.route_policy import Access, RoutePolicy
from ops.infra.settings import load_settings
from stores import Stores, open_stores


def app_with_uploads(stores: Stores) -> Flask:
    """The app, with ``POST /upload`` and ``POST /picture``."""
    app = create_app(stores)
    blueprint = Blueprint("uploads_of_tests", __name__, access=Access.CHECKED_BY_VIEW)
    for view in (upload, picture):
        blueprint.add_url_rule(
            f"/{view.__name__}", view_func=view, methods=["POST"], policy=RoutePolicy(streams_body=True)
        )
    app.register_blueprint(blueprint)
    return app


def upload() -> dict[str, Any]:
    """Report size, digest and fields of an upload."""
    with receive_upload() as received:
        digest = hashlib.sha256()
        while chunk := received.file.read(1024 * 1024):
            digest.update(chunk)
        return {"sizeBytes": received.size_bytes, "sha256": digest.hexdigest(), "fields": dict(received.fields)}


def picture() -> dict[str, Any]:
    """Report the result of the inspection."""
    with receive_upload() as received:
        return inspect_upload(received).to_json()


def serve() -> Flask:
    """The app with the settings of this process's environment."""
    return app_with_uploads(open_stores(load_settings()))
