"""Owns a Darkroom of a bench's own: only the processes that the bench needs, on loopback, gone at the end."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from redis import Redis, RedisError

from ops.browser import find_or_install_browser
from ops.database import migrate
from ops.embedded import SOCKET_NAME, server_command
from ops.logging import configure_logging
from ops.processes import front_command
from ops.settings import ROOT, Settings, load_settings
from ops.supervisor import Program, Supervisor
from ops.up import free_port
from stores import Stores, open_stores

KEY = "b" * 64
START_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.02
MANY = "1000000"


@dataclass(frozen=True, slots=True)
class Stack:
    """A running Darkroom: its stores, its address, its processes."""

    settings: Settings
    stores: Stores
    supervisor: Supervisor

    @property
    def redis(self) -> Redis:
        """The connection to its Redis."""
        return self.stores.redis

    def client(self) -> httpx.Client:
        """A client with the owner's key."""
        return httpx.Client(base_url=self.settings.public_url, headers={"x-api-key": KEY}, timeout=60, trust_env=False)

    def memory_bytes(self, name: str) -> int:
        """What a program and everything below it hold, shared pages counted in part."""
        return tree_memory_bytes(self.supervisor.pid(name))


@contextmanager
def stack(*roles: str, **environment: str) -> Iterator[Stack]:
    """A Darkroom of ``roles`` (``web``, ``worker``, ``courier``, ``clock``, ``empty``), ready."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="dr-bench-") as name:
        folder = Path(name)
        os.environ.update(_environment(folder, environment))
        settings = load_settings()
        configure_logging("bench", level="error")
        supervisor = Supervisor(os.environ)
        stores = open_stores(settings)
        try:
            supervisor.start(Program("redis", server_command(folder, folder / SOCKET_NAME), last=True))
            wait_until(lambda: _answers(stores.redis))
            migrate(settings.database_url)
            for role in roles:
                supervisor.start(Program(role, _command(role, settings)))
            wait_until(lambda: _ready(roles, settings, stores))
            yield Stack(settings, stores, supervisor)
        finally:
            supervisor.stop()
            stores.close()
            os.environ.clear()
            os.environ.update(before)


def _environment(folder: Path, more: dict[str, str]) -> dict[str, str]:
    ours = {
        "DATA_DIR": str(folder),
        "PORT": str(free_port()),
        "HOST": "127.0.0.1",
        "API_KEY": KEY,
        "MAX_QUEUE_SIZE": MANY,
        "LIMIT_QUEUED_IMAGES": MANY,
        "LOG_LEVEL": "warning",
        "BROWSER": str(find_or_install_browser(os.environ.get("BROWSER"), print).path),
        "PYTHONPATH": str(ROOT),
    }
    return ours | more


def _command(role: str, settings: Settings) -> list[str]:
    applications = {"web": "api.wsgi:app", "empty": "api.empty:app"}
    if role in applications:
        return front_command(settings, applications[role])
    return [front_command(settings, "")[0], "-m", "workers.boot", role]


def _ready(roles: tuple[str, ...], settings: Settings, stores: Stores) -> bool:
    if "worker" in roles and not any(worker.ready for worker in stores.fleet.alive()):
        return False
    if not {"web", "empty"} & set(roles):
        return True
    try:
        return httpx.get(f"{settings.public_url}/", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def wait_until(look: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
    """Wait until ``look`` says yes.

    Raises:
        TimeoutError: it did not.
    """
    deadline = time.monotonic() + timeout_s
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError("the bench's own Darkroom was not ready in time")
        time.sleep(POLL_INTERVAL_S)


def tree_memory_bytes(pid: int) -> int:
    """What a process and all below it hold, shared pages counted in part."""
    total = 0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
        except psutil.Error:
            continue
        total += getattr(memory, "pss", 0) or memory.rss
    return total
