"""A temporary Darkroom for benchmarks and fault injection: chosen processes on loopback, removed at the end."""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from ops.infra.browser_install import find_or_install_browser
from ops.infra.database import migrate
from ops.infra.settings import ROOT, Settings, load_settings
from ops.processes.embedded_redis import SOCKET_NAME, server_command
from ops.processes.supervisor import Program, Supervisor
from ops.processes.web_command import free_port, gunicorn_command
from ops.testbed.skewed_clock import write_offset
from ops.testbed.tcp_relay import TcpRelay
from schemas.errors import Unavailable
from stores import Stores, open_stores
from stores.redis.client import StoreClient

KEY = "b" * 64
START_TIMEOUT_S = 120.0
MAX_RESTART_DELAY_S = 2.0
POLL_INTERVAL_S = 0.02
# Higher than any test reaches.
UNREACHABLE_LIMIT = "1000000"
APPLICATIONS = {"web": "api.wsgi:app", "empty": "ops.bench.baselines.empty_app:app"}


@dataclass(frozen=True, slots=True)
class Stack:
    """A running Darkroom: its settings, its stores and its processes."""

    settings: Settings
    stores: Stores
    supervisor: Supervisor
    relay: TcpRelay | None = None

    @property
    def redis(self) -> StoreClient:
        """The connection of the stores to Redis."""
        return self.stores.redis

    def set_clock(self, name: str, seconds: float) -> None:
        """Set the system clock of a process wrong by so many seconds, for its successors too."""
        write_offset(_clock_file(self.settings.data_dir, name), seconds)

    def client(self, key: str = KEY) -> httpx.Client:
        """Return an HTTP client with ``key``, by default the owner's."""
        return httpx.Client(base_url=self.settings.public_url, headers={"x-api-key": key}, timeout=60, trust_env=False)

    def memory_bytes(self, name: str) -> int:
        """Return the memory of a program and its descendants, as ``tree_memory_bytes`` counts it."""
        return tree_memory_bytes(self.supervisor.pid(name))


@contextmanager
def run_stack(
    *roles: str,
    use_relay: bool = False,
    redis_servers: int = 1,
    data_dir: Path | None = None,
    settable_clocks: bool = False,
    **environment: str,
) -> Iterator[Stack]:
    """Yield a Darkroom with the processes ``roles``, ready: ``web``, ``worker``, ``background``, ``clock``, ``empty``.

    ``empty`` is the web server with an empty Flask application. Several processes of one role are numbered:
    ``worker.1``, ``worker.2``. With ``use_relay`` all connections to Redis go through a relay that can cut them.
    With several ``redis_servers`` callers are distributed among them.
    The data goes to ``data_dir``, by default a temporary one. With ``settable_clocks`` each process has a clock of its
    own, see ``Stack.set_clock``.
    ``environment`` holds settings; the environment of this process is changed until the block ends.
    """
    before = dict(os.environ)
    with _open_folder(data_dir) as folder, _open_relay(folder, use_relay) as relay:
        redis = {"REDIS_URL": f"redis://127.0.0.1:{relay.port}/0"} if relay else {}
        redis_folders = [folder / f"redis.{number}" if number else folder for number in range(redis_servers)]
        if redis_servers > 1:
            redis = {"REDIS_URL": ",".join(f"unix://{each / SOCKET_NAME}?db=0" for each in redis_folders)}
        os.environ.update(_environment(folder) | redis | environment)
        settings = load_settings()
        supervisor = Supervisor(os.environ, max_restart_delay_s=MAX_RESTART_DELAY_S)
        stores = open_stores(settings)
        try:
            for each in redis_folders:
                each.mkdir(exist_ok=True)
                name = "redis" if each == folder else each.name
                supervisor.start(Program(name, server_command(each, each / SOCKET_NAME), stop_last=True))
            wait_until(lambda: all(map(_is_redis_ready, stores.servers.members)))
            migrate(settings.database_url)
            for role in roles:
                command = _command(role.partition(".")[0], settings)
                if settable_clocks:
                    write_offset(_clock_file(folder, role), 0)
                    command = _with_settable_clock(command, _clock_file(folder, role))
                supervisor.start(Program(role, command))
            kinds = [role.partition(".")[0] for role in roles]
            wait_until(lambda: _is_ready(kinds, settings, stores))
            yield Stack(settings, stores, supervisor, relay)
        finally:
            supervisor.stop()
            stores.close()
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def _open_folder(data_dir: Path | None) -> Iterator[Path]:
    if data_dir:
        yield data_dir
        return
    with tempfile.TemporaryDirectory(prefix="dr-stack-") as name:
        yield Path(name)


def _clock_file(folder: Path, name: str) -> Path:
    return folder / f"clock of {name}"


def _with_settable_clock(command: list[str], file: Path) -> list[str]:
    python, option, *module = command
    return [python, option, "ops.testbed.skewed_clock", str(file), *module]


@contextmanager
def _open_relay(folder: Path, use_relay: bool) -> Iterator[TcpRelay | None]:
    if not use_relay:
        yield None
        return
    relay = TcpRelay(folder / SOCKET_NAME)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()


def _environment(folder: Path) -> dict[str, str]:
    return {
        "DATA_DIR": str(folder),
        "PORT": str(free_port()),
        "HOST": "127.0.0.1",
        "API_KEY": KEY,
        "MAX_QUEUE_SIZE": UNREACHABLE_LIMIT,
        "LIMIT_QUEUED_IMAGES": UNREACHABLE_LIMIT,
        "RATE_LIMIT_SUBMIT": "unlimited",
        "RATE_LIMIT": "unlimited",
        "RATE_LIMIT_ADDRESS": "unlimited",
        "LOG_LEVEL": "warning",
        "BROWSER": str(find_or_install_browser(os.environ.get("BROWSER"), print).path),
        "PYTHONPATH": str(ROOT),
    }


def _command(role: str, settings: Settings) -> list[str]:
    if role in APPLICATIONS:
        return gunicorn_command(settings, APPLICATIONS[role])
    return [sys.executable, "-m", "ops", role]


def _is_redis_ready(stores: Stores) -> bool:
    try:
        stores.ping_redis()
    except Unavailable:
        return False
    return True


def _is_ready(roles: list[str], settings: Settings, stores: Stores) -> bool:
    if sum(worker.ready for worker in stores.workers.list_alive()) < roles.count("worker"):
        return False
    if not set(APPLICATIONS) & set(roles):
        return True
    try:
        return httpx.get(f"{settings.public_url}/", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
    """Wait until ``condition`` returns True; raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"a condition was not met within {timeout_s:g} s")
        time.sleep(POLL_INTERVAL_S)


def kill_tree(pid: int) -> None:
    """Send SIGKILL to a process and all its descendants."""
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        # Descendants end when their parent does.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def tree_memory_bytes(pid: int) -> int:
    """Return the memory of a process and its descendants: PSS, which divides shared pages, or RSS without it."""
    total = 0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
        except psutil.Error:
            continue
        total += getattr(memory, "pss", 0) or memory.rss
    return total
