"""An app with routes that receive uploads, or fail, and report what happened. gunicorn starts it by name."""

import hashlib
import logging
import threading
import warnings
from typing import Any

import gevent
from flask import Flask, request

from api import create_app
from api.http.blueprint import Blueprint
from api.http.context import stores as current_stores
from api.http.multipart import inspect_upload, receive_upload
from api.http.route_policy import Access, RoutePolicy
from ops.infra.logging import configure_logging, log_uncaught_exceptions
from ops.infra.settings import load_settings
from stores import Stores, open_stores


def app_with_uploads(stores: Stores) -> Flask:
    """The app, with ``POST`` routes for the views of this module."""
    app = create_app(stores)
    blueprint = Blueprint("uploads_of_tests", __name__, access=Access.CHECKED_BY_VIEW)
    for view in (upload, picture, read_object, fail):
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


def read_object() -> dict[str, Any]:
    """Read an object of the media store."""
    return {"sizeBytes": len(current_stores().media.get(request.args["key"]))}


def fail() -> dict[str, Any]:
    """Fail in every way that code of a web process can fail."""
    greenlet = gevent.spawn(_raise)
    greenlet.join()
    gevent.get_hub().threadpool.spawn(_raise).wait()
    thread = threading.Thread(target=_raise)
    thread.start()
    thread.join()
    warnings.warn("A warning.", stacklevel=1)
    logging.getLogger("gunicorn.error").error("A line of gunicorn.")
    raise RuntimeError(f"A view failed with {request.args.get('key')}.")


def _raise() -> None:
    raise RuntimeError("This failed.")


def serve() -> Flask:
    """The app with the settings of this process's environment."""
    settings = load_settings()
    configure_logging("web", level=settings.log_level, style=settings.log_format, secrets=[settings.api_key])
    log_uncaught_exceptions()
    return app_with_uploads(open_stores(settings))
