"""Owns the commands of the Procfile: each becomes its process, by name and not by import.

Called through ``ops.cli``.
"""

import os
import resource
import sys
import tempfile
from pathlib import Path

import click

from ops.database import migrate as migrate_database
from ops.settings import Settings, SettingsError, load_settings

CONNECTIONS_PER_PROCESS = 20_000
KEEP_ALIVE_S = 75
BACKLOG = 2048
# The most that gunicorn takes: a prompt of 4,000 plain characters fits; others are sent by POST.
LONGEST_REQUEST_LINE = 8190


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
    allow_many_connections()
    os.execv(sys.executable, front_command(settings, "api.wsgi:app"))  # noqa: S606 - our own program, no shell


def allow_many_connections() -> None:
    """Let this process and its children open as many files as the system allows: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS_PER_PROCESS
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def front_command(settings: Settings, application: str) -> list[str]:
    """The command that serves a WSGI application as the front is served."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    options = {
        "bind": f"{host}:{settings.port}",
        "workers": settings.web_concurrency,
        "worker-class": "ops.front.FrontWorker",
        "worker-connections": CONNECTIONS_PER_PROCESS,
        "keep-alive": KEEP_ALIVE_S,
        "backlog": BACKLOG,
        "graceful-timeout": 5,
        "limit-request-line": LONGEST_REQUEST_LINE,
        "log-level": "error",
        "worker-tmp-dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108 - gunicorn makes its own file there
    }
    words = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return [sys.executable, "-m", "gunicorn", *words, "--no-control-socket", application]


@click.command()
def worker() -> None:
    """Run a worker with a browser in the foreground."""
    _become("-m", "workers.boot", "worker")


@click.command()
def courier() -> None:
    """Run a courier (work that needs no browser) in the foreground."""
    _become("-m", "workers.boot", "courier")


@click.command()
def clock() -> None:
    """Run the clock (periodic sweeps) in the foreground."""
    _become("-m", "workers.boot", "clock")


def _become(*words: str) -> None:
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - our own program, no shell


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
