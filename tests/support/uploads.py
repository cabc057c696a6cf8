"""A front with one more view, which takes a file and says what came in; gunicorn serves it in tests."""

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
    """The front, and ``POST /upload`` and ``POST /picture``."""
    app = create_app(stores)
    blueprint = Blueprint("uploads", __name__, access=Access.CHECKED_BY_VIEW)
    for view in (upload, picture):
        blueprint.add_url_rule(
            f"/{view.__name__}", view_func=view, methods=["POST"], policy=RoutePolicy(streams_body=True)
        )
    app.register_blueprint(blueprint)
    return app


def upload() -> dict[str, Any]:
    """What has come in."""
    with receive_upload() as got:
        digest = hashlib.sha256()
        while piece := got.file.read(1024 * 1024):
            digest.update(piece)
        return {"sizeBytes": got.size_bytes, "sha256": digest.hexdigest(), "fields": dict(got.fields)}


def picture() -> dict[str, Any]:
    """What a courier says of it."""
    with receive_upload() as got:
        return inspect_upload(got).to_json()


def serve() -> Flask:
    """The application of a process of its own."""
    return app_with_uploads(open_stores(load_settings()))
