"""The command ``up``: checks what is needed, starts everything on this machine, says when it is ready."""

import contextlib
import errno
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click
import httpx
import structlog
from redis import AuthenticationError, RedisError

from ops.infra.browser_install import BrowserNotFoundError, find_or_install_browser
from ops.infra.logging import configure_logging
from ops.infra.redis import connect
from ops.infra.settings import ROOT, Settings, SettingsError, load_settings
from ops.processes.embedded_redis import fsync_append_only_file, server_command, socket_path
from ops.processes.instance_file import AlreadyRunningError, Instance, single_instance, write_instance
from ops.processes.supervisor import Program, Supervisor
from ops.processes.temp_dirs import remove_stale_temp_dirs
from ops.processes.web_command import free_port
from stores import build_address_policy
from stores.accounts.owner_key import KEY_FILE, OwnerKey
from stores.accounts.rate_limits import parse_default_rates
from stores.sites.recipes import Recipes

REDIS_TIMEOUT_S = 10.0
READY_TIMEOUT_S = 90.0
POLL_INTERVAL_S = 0.1
SYNC_INTERVAL_S = 1.0
MAX_DRAIN_GRACE_S = 5
SETTINGS_EXIT_CODE = 2
ROLES = ("web", "worker", "courier", "clock")
log = structlog.get_logger(__name__)
EXAMPLE_PROMPT = "a lighthouse at dusk, oil painting"


class StartError(Exception):
    """Something is in the way; the message is one line that says what."""


class StopRequested(Exception):
    """SIGTERM or Ctrl-C."""


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one. Default: PORT or 3000."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder for everything that is kept. Default: DATA_DIR or .darkroom.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes, a browser each."
)
def up(port: int | None, data: Path | None, workers: int) -> None:
    """Run everything on this machine until Ctrl-C."""
    try:
        _apply_options(port, data)
        settings = load_settings()
        configure_logging("up", level=settings.log_level, style=settings.log_format)
        _check_data_folder(settings.data_dir)
        with single_instance(settings.data_dir):
            _check_port(settings)
            Recipes.from_settings(settings)
            build_address_policy(settings)
            parse_default_rates(settings)
            OwnerKey.from_settings(settings).read()
            _run(settings, _browser(settings), workers)
    except (SettingsError, BrowserNotFoundError, AlreadyRunningError, StartError) as error:
        click.echo(f"darkroom: {error}", err=True)
        sys.exit(SETTINGS_EXIT_CODE)


def _browser(settings: Settings) -> str | None:
    """The browser's program; None where browsers are elsewhere."""
    if settings.browser_endpoint:
        return None
    return str(find_or_install_browser(settings.browser, click.echo).path)


def _apply_options(port: int | None, data: Path | None) -> None:
    """The options become the environment of all the processes."""
    if data is not None:
        os.environ["DATA_DIR"] = str(data.expanduser().absolute())
    if port is not None:
        os.environ["PORT"] = str(port or free_port())


def _check_data_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
            taken = error.errno == errno.EADDRINUSE
            reason = "is taken; choose another with --port" if taken else f"cannot be used: {error.strerror}"
            raise StartError(f"Port {settings.port} on {settings.host} {reason}.") from error


def _run(settings: Settings, browser: str | None, workers: int) -> None:
    redis_url, redis = _redis_program(settings)
    supervisor = Supervisor(_environment(settings, redis_url, browser))
    try:
        with _stop_on_signals():
            if redis:
                supervisor.start(redis)
            _await_redis(supervisor, redis_url)
            _migrate(supervisor, settings)
            for program in _programs(workers):
                supervisor.start(program)
            _await_ready(supervisor, settings)
            write_instance(settings.data_dir, Instance(os.getpid(), settings.public_url, redis_url))
            _announce(settings)
            _supervise(supervisor, settings.data_dir)
    except StopRequested:
        click.echo("Stopping.")
    finally:
        _ignore_signals()
        supervisor.stop()
        remove_stale_temp_dirs(settings.data_dir)


def _supervise(supervisor: Supervisor, data_dir: Path) -> None:
    """Mend what dies and bring the embedded server's file to the disk, until a signal comes."""
    synced_at = 0.0
    while True:
        supervisor.restart_dead()
        if time.monotonic() - synced_at >= SYNC_INTERVAL_S:
            # The server starts its file anew now and then; the next round finds the new one.
            with contextlib.suppress(OSError):
                fsync_append_only_file(data_dir)
            synced_at = time.monotonic()
        time.sleep(POLL_INTERVAL_S)


def _redis_program(settings: Settings) -> tuple[str, Program | None]:
    """The address of Redis, and the embedded server unless REDIS_URL names one of the user's own."""
    if "REDIS_URL" in os.environ:
        return settings.redis_url, None
    path = socket_path(settings.data_dir)
    path.unlink(missing_ok=True)
    command = server_command(settings.data_dir, path)
    return f"unix://{path}?db=0", Program("redis", command, stop_last=True, death_signal=signal.SIGTERM)


def _environment(settings: Settings, redis_url: str, browser: str | None) -> dict[str, str]:
    ours = {
        "DATA_DIR": str(settings.data_dir),
        "REDIS_URL": redis_url,
        "HOST": settings.host,
        "PORT": str(settings.port),
        **({"BROWSER": browser} if browser else {}),
        "DRAIN_GRACE_S": str(min(settings.drain_grace_s, MAX_DRAIN_GRACE_S)),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    if settings.recipes_dir:
        ours["RECIPES_DIR"] = str(settings.recipes_dir)
    if settings.models_dir:
        ours["MODELS_DIR"] = os.pathsep.join(map(str, settings.models_dir))
    return {**os.environ, **ours}


def _programs(workers: int) -> Iterator[Program]:
    lines = _procfile()
    for role in ROLES:
        for number in range(workers if role == "worker" else 1):
            name = f"{role}.{number + 1}" if role == "worker" and workers > 1 else role
            yield Program(name, ["sh", "-c", f"cd {shlex.quote(str(ROOT))} && exec {lines[role]}"])


def _procfile() -> dict[str, str]:
    lines = [line.partition(":") for line in (ROOT / "Procfile").read_text().splitlines() if ":" in line]
    return {name.strip(): command.strip() for name, _, command in lines}


def _migrate(supervisor: Supervisor, settings: Settings) -> None:
    environment = supervisor.environment
    done = subprocess.run(
        ["sh", "-c", _procfile()["release"]], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise StartError(f"The database at {_without_password(settings.database_url)} cannot be used: {last[0]}")


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else url


def _await_redis(supervisor: Supervisor, redis_url: str) -> None:
    client = connect(redis_url, retries=0)
    deadline = time.monotonic() + REDIS_TIMEOUT_S
    while time.monotonic() < deadline and "redis" not in supervisor.exit_codes():
        try:
            if client.ping():
                return
        except AuthenticationError as error:
            raise StartError("REDIS_URL: the server refuses its user name or password.") from error
        except RedisError:
            log.debug("redis.not_yet")
        time.sleep(POLL_INTERVAL_S)
    if "REDIS_URL" in os.environ:
        raise StartError("REDIS_URL: the server it names does not answer.")
    raise StartError("The embedded Redis server did not start; redis.log in the data folder says why.")


def _await_ready(supervisor: Supervisor, settings: Settings) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    address = f"http://{_connectable_host(settings.host)}:{settings.port}/health"
    while time.monotonic() < deadline:
        if SETTINGS_EXIT_CODE in supervisor.exit_codes().values():
            raise StartError("A setting is wrong; the line above says which.")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(address, timeout=2, trust_env=False).status_code == httpx.codes.OK:
                return
        supervisor.restart_dead()
        time.sleep(POLL_INTERVAL_S)
    raise StartError(f"No worker was ready within {READY_TIMEOUT_S:g} s; the log above says why.")


def _connectable_host(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _announce(settings: Settings) -> None:
    url = settings.public_url
    file = settings.data_dir / KEY_FILE
    key = '"$API_KEY"' if settings.api_key else f"\"$(grep -o '[0-9a-f]\\{{64\\}}' {shlex.quote(str(file))})\""
    click.echo(f"\nDarkroom is ready at {url}\n")
    click.echo(f"  key     {'in API_KEY' if settings.api_key else file}")
    click.echo(f"  studio  {url}/studio/\n  docs    {url}/docs\n\nTry it:\n")
    click.echo(
        f"  curl -sG {url}/generateImage -H x-api-key:{key} --data-urlencode prompt={shlex.quote(EXAMPLE_PROMPT)}\n"
    )


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
