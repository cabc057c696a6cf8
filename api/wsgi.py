"""The application object that gunicorn loads in each of its workers."""

import gc

import structlog

from api import create_app
from ops.infra.logging import configure_logging
from ops.infra.settings import load_settings
from stores import open_stores

settings = load_settings()
configure_logging("web", level=settings.log_level, style=settings.log_format)
app = create_app(open_stores(settings))
# What is loaded by now stays for ever. Looking through it for garbage again and again would hold every client up, each
# time for longer than anything else does here.
gc.collect()
gc.freeze()
structlog.get_logger(__name__).info("process.ready")
