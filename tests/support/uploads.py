"""A front with one more view, which takes a file and says what came in; gunicorn serves it in tests."""

import hashlib
from typing import Any

from flask import Flask

from api import create_app
from api.http.multipart import inspect_upload, receive_upload
from api.http.request_bodies import streams_body
from ops.infra.settings import load_settings
from stores import Stores, open_stores


def app_with_uploads(stores: Stores) -> Flask:
    """The front, and ``POST /upload`` and ``POST /picture``."""
    app = create_app(stores)
    app.add_url_rule("/upload", "upload", upload, methods=["POST"])
    app.add_url_rule("/picture", "picture", picture, methods=["POST"])
    return app


@streams_body
def upload() -> dict[str, Any]:
    """What has come in."""
    with receive_upload() as got:
        digest = hashlib.sha256()
        while piece := got.file.read(1024 * 1024):
            digest.update(piece)
        return {"sizeBytes": got.size_bytes, "sha256": digest.hexdigest(), "fields": dict(got.fields)}


@streams_body
def picture() -> dict[str, Any]:
    """What a courier says of it."""
    with receive_upload() as got:
        return inspect_upload(got).to_json()


def serve() -> Flask:
    """The application of a process of its own."""
    return app_with_uploads(open_stores(load_settings()))
