"""The commands ``migrate`` and ``web`` of the Procfile."""

import contextlib
import os
import sys
import tempfile

import click

from ops.infra.database import migrate as migrate_database
from ops.infra.files.private_files import prepare_data_folder, restrict_stored_files, set_private_umask
from ops.infra.redis_check import check_redis
from ops.infra.settings import load_settings
from ops.processes.web_command import gunicorn_command, raise_open_files_limit


@click.command()
def migrate() -> None:
    """Upgrade the database tables (the Procfile's release step)."""
    set_private_umask()
    settings = load_settings()
    # Tables on a server need no data folder; what SQLite cannot create is reported when it is opened.
    with contextlib.suppress(OSError):
        prepare_data_folder(settings.data_dir)
        restrict_stored_files(settings.data_dir)
    migrate_database(settings.database_url)


@click.command()
def web() -> None:
    """Run the HTTP server in the foreground."""
    set_private_umask()
    settings = load_settings()
    if settings.web_concurrency > 1:
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="darkroom-metrics-"))
    check_redis(settings)
    raise_open_files_limit()
    # gunicorn takes this process's place: gevent must patch the standard library before any other import, which is too
    # late here. The process id stays the same.
    os.execv(sys.executable, gunicorn_command(settings, "api.wsgi:app"))  # noqa: S606 - our own command, no shell
