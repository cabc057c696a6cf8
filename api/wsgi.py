"""Owns the application object that gunicorn loads in each of its workers."""

import structlog

from api import create_app
from ops.logging import configure_logging
from ops.settings import load_settings
from stores import open_stores

settings = load_settings()
configure_logging("web", level=settings.log_level, style=settings.log_format)
app = create_app(open_stores(settings))
structlog.get_logger(__name__).info("process.ready")
