"""The command ``up``: check the prerequisites, start all processes on this machine, and supervise them until Ctrl-C.

The first processes start before everything has been checked, and wait at a gate: they load their code meanwhile. For
the same reason this module imports little; ``start_checks`` has what takes long to load.
"""

import contextlib
import errno
import importlib
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click

from ops.cli.groups import StartError
from ops.infra.browser_install import find_or_install_browser
from ops.infra.files.private_files import prepare_data_folder, restrict_stored_files, set_private_umask
from ops.infra.logging import configure_logging
from ops.infra.setting_sources import remember_given_variables
from ops.infra.settings import ROOT, Settings, load_settings, next_database
from ops.processes.code_loading import paused_collections
from ops.processes.embedded_redis import fsync_append_only_file, server_command, socket_path
from ops.processes.instance_file import Instance, single_instance, write_instance
from ops.processes.supervisor import Program, StartGate, Supervisor
from ops.processes.temp_dirs import remove_stale_temp_dirs
from ops.processes.web_command import free_port

POLL_INTERVAL_S = 0.1
FSYNC_INTERVAL_S = 1.0
# Users who press Ctrl-C do not wait as long as a deployment may.
MAX_DRAIN_GRACE_S = 5
# Without these nothing is ready; the other roles start once it is.
FIRST_ROLES, OTHER_ROLES = ("web", "worker"), ("background", "clock")
EXAMPLE_PROMPT = "a lighthouse at dusk, oil painting"


class StopRequested(Exception):
    """SIGTERM, SIGHUP or Ctrl-C."""


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 chooses a free one. Default: PORT or 3000."
)
@click.option("--data", type=click.Path(path_type=Path), help="Folder for all data. Default: DATA_DIR or .darkroom.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Number of worker processes, each with a browser.",
)
@click.option("--share-link", is_flag=True, help="Print a sign-in link for browsers on other machines, at PUBLIC_URL.")
@click.option("--site", metavar="URL", help="Find out which program answers at this URL, and make it the default site.")
def up(port: int | None, data: Path | None, workers: int, *, share_link: bool, site: str | None) -> None:
    """Run everything on this machine until Ctrl-C."""
    remember_given_variables()
    _apply_options(port, data)
    settings = load_settings()
    configure_logging("up", level=settings.log_level, style=settings.log_format, secrets=[settings.api_key])
    set_private_umask()
    _check_data_folder(settings.data_dir)
    restrict_stored_files(settings.data_dir)
    with single_instance(settings.data_dir):
        _check_port(settings)
        if site or settings.site_url:
            settings = importlib.import_module("ops.cli.processes.site_selection").select_site(settings, site)
        _run(settings, _browser_program(settings), workers, share_link=share_link)


def _start_checks() -> Any:
    with paused_collections():
        return importlib.import_module("ops.cli.processes.start_checks")


def _browser_program(settings: Settings) -> str | None:
    """Return the browser's path; None if BROWSER_ENDPOINT names remote browsers."""
    if settings.browser_endpoint:
        return None
    return str(find_or_install_browser(settings.browser, click.echo).path)


def _apply_options(port: int | None, data: Path | None) -> None:
    """Put the options into the environment, from which all processes read their settings."""
    if data is not None:
        os.environ["DATA_DIR"] = str(data.expanduser().absolute())
    if port is not None:
        os.environ["PORT"] = str(port or free_port())


def _check_data_folder(folder: Path) -> None:
    try:
        prepare_data_folder(folder)
        (folder / ".probe").write_bytes(b"")
        (folder / ".probe").unlink()
    except OSError as error:
        raise StartError(f"The data folder {folder} cannot be written: {error.strerror}.") from error


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            reason = "is taken; choose another with --port" if is_taken else f"cannot be used: {error.strerror}"
            raise StartError(f"Port {settings.port} on {settings.host} {reason}.") from error


def _run(settings: Settings, browser: str | None, workers: int, *, share_link: bool) -> None:
    redis_url, redis = _redis_program(settings)
    gate = StartGate()
    supervisor = Supervisor(_environment(settings, redis_url, browser), gate=gate)
    try:
        with _stop_on_signals():
            if redis:
                supervisor.start(redis)
            for program in _programs(FIRST_ROLES, workers):
                supervisor.start(program)
            checks = _start_checks()
            checks.check_settings(settings)
            checks.await_redis(supervisor, redis_url, _broker_url(settings, redis_url))
            checks.prepare_database(_procfile()["release"], supervisor.environment, settings)
            gate.open()
            checks.await_ready(supervisor, settings, redis_url)
            for program in _programs(OTHER_ROLES):
                supervisor.start(program)
            write_instance(settings.data_dir, Instance(os.getpid(), settings.public_url, redis_url))
            _announce(settings, *checks.sign_in_link_and_key_file(settings, redis_url, is_shared=share_link))
            _supervise(supervisor, settings.data_dir)
    except StopRequested:
        click.echo("Stopping.")
    finally:
        _ignore_signals()
        supervisor.stop()
        remove_stale_temp_dirs(settings.data_dir)


def _supervise(supervisor: Supervisor, data_dir: Path) -> None:
    """Restart dead processes and flush the embedded server's file once a second, until a signal arrives."""
    flushed_at = 0.0
    while True:
        supervisor.restart_dead()
        if time.monotonic() - flushed_at >= FSYNC_INTERVAL_S:
            # The server replaces the file when it rewrites it; the next round finds the new one.
            with contextlib.suppress(OSError):
                fsync_append_only_file(data_dir)
            flushed_at = time.monotonic()
        time.sleep(POLL_INTERVAL_S)


def _redis_program(settings: Settings) -> tuple[str, Program | None]:
    """Return the URL of Redis, and the embedded server unless REDIS_URL names another one."""
    if "REDIS_URL" in os.environ:
        return settings.redis_url, None
    path = socket_path(settings.data_dir)
    path.unlink(missing_ok=True)
    command = server_command(settings.data_dir, path)
    # SIGTERM, not SIGKILL, lets the server write its file if the supervisor dies.
    return f"unix://{path}?db=0", Program("redis", command, stop_last=True, death_signal=signal.SIGTERM)


def _broker_url(settings: Settings, redis_url: str) -> str:
    return settings.broker_url if "BROKER_URL" in os.environ else next_database(redis_url)


def _environment(settings: Settings, redis_url: str, browser: str | None) -> dict[str, str]:
    changes = {
        "DATA_DIR": str(settings.data_dir),
        "REDIS_URL": redis_url,
        "HOST": settings.host,
        "PORT": str(settings.port),
        **({"BROWSER": browser} if browser else {}),
        # One file says nothing of several processes. A health check asks the web process instead.
        "LIVENESS_FILE": "",
        "DRAIN_GRACE_S": str(min(settings.drain_grace_s, MAX_DRAIN_GRACE_S)),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    # The processes run in ROOT, where relative paths would mean other folders.
    if settings.recipes_dir:
        changes["RECIPES_DIR"] = str(settings.recipes_dir)
    if settings.models_dir:
        changes["MODELS_DIR"] = os.pathsep.join(map(str, settings.models_dir))
    return {**os.environ, **changes}


def _programs(roles: Iterable[str], workers: int = 1) -> Iterator[Program]:
    commands = _procfile()
    for role in roles:
        for number in range(workers if role == "worker" else 1):
            name = f"{role}.{number + 1}" if role == "worker" and workers > 1 else role
            yield Program(name, ["sh", "-c", f"cd {shlex.quote(str(ROOT))} && exec {commands[role]}"])


def _procfile() -> dict[str, str]:
    lines = [line.partition(":") for line in (ROOT / "Procfile").read_text().splitlines() if ":" in line]
    return {name.strip(): command.strip() for name, _, command in lines}


def _announce(settings: Settings, link: str, file: Path) -> None:
    url = settings.public_url
    key = '"$API_KEY"' if settings.api_key else f"\"$(grep -o '[0-9a-f]\\{{64\\}}' {shlex.quote(str(file))})\""
    prompt = shlex.quote(EXAMPLE_PROMPT)
    click.echo(f"\nDarkroom is ready at {url}\n")
    click.echo(f"  open    {link}\n          signs in the first browser that opens it within ten minutes")
    click.echo(f"  key     {'in API_KEY' if settings.api_key else file}")
    click.echo(f"  studio  {url}/studio/\n  docs    {url}/docs\n\nTry it:\n")
    click.echo(f"  curl -sG {url}/generateImage -H x-api-key:{key} --data-urlencode prompt={prompt}\n")


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        _ignore_signals()
        raise StopRequested

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    yield


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
