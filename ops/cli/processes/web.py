"""The command ``web`` of the Procfile."""

import importlib
import os
import sys
import tempfile

import click

from ops.infra.files.private_files import set_private_umask
from ops.infra.settings import load_settings
from ops.processes.supervisor import is_gated
from ops.processes.web_command import gunicorn_command, raise_open_files_limit


@click.command()
def web() -> None:
    """Run the HTTP server in the foreground."""
    set_private_umask()
    settings = load_settings()
    if settings.web_concurrency > 1:
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="darkroom-metrics-"))
    if not is_gated():
        importlib.import_module("ops.infra.redis_check").check_redis(settings)
    raise_open_files_limit()
    # gunicorn takes this process's place: gevent must patch the standard library before any other import, which is too
    # late here. The process id stays the same.
    os.execv(sys.executable, gunicorn_command(settings, "api.wsgi:app"))  # noqa: S606 - our own command, no shell
