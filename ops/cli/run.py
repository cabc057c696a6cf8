"""The commands of the Procfile: each becomes its process, by name and not by import."""

import os
import sys
import tempfile

import click

from ops.infra.database import migrate as migrate_database
from ops.infra.settings import Settings, SettingsError, load_settings
from ops.processes.web_command import gunicorn_command, raise_open_files_limit


@click.command()
def migrate() -> None:
    """Bring the database's tables up to date (the Procfile's release step)."""
    migrate_database(_settings().database_url)


@click.command()
def web() -> None:
    """Run the HTTP front in the foreground."""
    settings = _settings()
    if settings.web_concurrency > 1:
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="darkroom-metrics-"))
    raise_open_files_limit()
    os.execv(sys.executable, gunicorn_command(settings, "api.wsgi:app"))  # noqa: S606 - our own program, no shell


@click.command()
def worker() -> None:
    """Run a worker with a browser in the foreground."""
    _become("-m", "workers.main", "worker")


@click.command()
def courier() -> None:
    """Run a courier (work that needs no browser) in the foreground."""
    _become("-m", "workers.main", "courier")


@click.command()
def clock() -> None:
    """Run the clock (periodic sweeps) in the foreground."""
    _become("-m", "workers.main", "clock")


def _become(*words: str) -> None:
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - our own program, no shell


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
