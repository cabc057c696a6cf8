"""The WSGI application that gunicorn loads in each of its workers."""

import sys

import structlog

from api import create_app
from ops.infra.files.private_files import set_private_umask
from ops.infra.logging import configure_logging, log_uncaught_exceptions
from ops.infra.settings import SettingsError, load_settings
from ops.processes.supervisor import await_start
from ops.processes.tracing import configure_tracing
from stores import open_stores
from stores.environment.shared_settings import check_now_or_later
from stores.queue.process_monitor import EXIT_CODES, make_monitors

await_start()
try:
    set_private_umask()
    settings = load_settings()
    configure_logging("web", level=settings.log_level, style=settings.log_format, secrets=[settings.api_key])
    log_uncaught_exceptions()
    configure_tracing("web")
    check_later = check_now_or_later(settings)
    stores = open_stores(settings)
except SettingsError as error:
    sys.stderr.write(f"darkroom web: {error}\n")
    # gunicorn would print a traceback of any other exception, and start the next worker.
    sys.exit(EXIT_CODES["web"])
app = create_app(stores)
for monitor in make_monitors(stores, "web", check_later):
    monitor.start()
structlog.get_logger(__name__).info("process.ready")
