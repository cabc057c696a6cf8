"""A front that also serves any file below its roots, for tests of how files are sent. Started by gunicorn, by name."""

from flask import Flask, Response, request

from api import create_app
from api.library.file_response import send_opened_file
from ops.infra.settings import load_settings
from stores import open_stores
from stores.library.safe_open import open_within


def application() -> Flask:
    """The front of this process's environment."""
    return add_file_route(create_app(open_stores(load_settings())))


def add_file_route(app: Flask) -> Flask:
    """``app``, with a file at ``/files/PATH``, where PATH is in hexadecimal."""
    roots = app.extensions["stores"].settings.models_dir

    @app.route("/files/<place>")
    def _file(place: str) -> Response:
        relative = bytes.fromhex(place)
        return send_opened_file(
            open_within(roots[0], relative, roots), relative.split(b"/")[-1], request.args.get("sha256")
        )

    return app
