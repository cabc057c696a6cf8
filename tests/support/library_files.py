"""An app that also serves any file below its roots, for tests of downloads. gunicorn starts it by name."""

from flask import Flask, Response, request

from api import create_app
from api.library.file_response import send_opened_file
from ops.infra.settings import load_settings
from stores import open_stores
from stores.library.safe_open import open_within


def application() -> Flask:
    """The app with the settings of this process's environment."""
    return add_file_route(create_app(open_stores(load_settings())))


def add_file_route(app: Flask) -> Flask:
    """Add ``/files/PATH`` to ``app``, where PATH is in hexadecimal."""
    roots = app.extensions["stores"].settings.models_dir

    @app.route("/files/<hex_path>")
    def _file(hex_path: str) -> Response:
        relative = bytes.fromhex(hex_path)
        return send_opened_file(
            open_within(roots[0], relative, roots), relative.split(b"/")[-1], request.args.get("sha256")
        )

    return app
