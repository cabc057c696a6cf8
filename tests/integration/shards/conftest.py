"""Two real Redis servers, of which one can be killed and started again, and an app on both."""

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import create_app
from ops.infra.redis import connect
from ops.infra.settings import Settings
from ops.processes.embedded_redis import SOCKET_NAME, server_command
from schemas.jobs.job import JobRequest
from stores import Stores, open_stores
from stores.shards import allotments
from stores.shards.allotments import Allotter
from tests.conftest import TIMEOUT_S, answers_ping, create_tables, eventually, settings_in
from tests.integration.conftest import described_client

RECIPE = """
title = "{name}"
description = "A page."
url = "http://127.0.0.1:1/"
consent = {{ ownership = "own" }}
limits = {{ concurrency = {concurrency}, min_interval_s = {interval}, daily = {daily} }}
steps = [{{ type = "navigate", url = "{{{{url}}}}" }}, {{ type = "click", selectors = ["#paint"], submits = true }}]
observe.done.selectors = ["#result"]
"""
SITES = {"free": (0, 0, 0), "single": (1, 0, 0), "triple": (3, 0, 0), "slow": (0, 0.5, 0), "rare": (0, 0, 3)}
MAX_QUEUE_SIZE = 40


@dataclass
class RedisProcess:
    """A server on a socket."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"unix://{self.folder / SOCKET_NAME}?db=0"

    def start(self) -> None:
        """Start it, with what it has written before."""
        socket = self.folder / SOCKET_NAME
        socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(server_command(self.folder, socket))
        client = connect(self.url, retries=0)
        eventually(lambda: answers_ping(client))
        client.close()

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class Installation:
    """An app on two servers, a caller of each, and what the clock does for both."""

    processes: list[RedisProcess]
    stores: Stores
    client: FlaskClient
    allotter: Allotter
    keys: list[str] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)

    def of(self, number: int) -> Stores:
        """The stores of one server alone."""
        return self.stores.servers.members[number].plain

    def get(self, number: int, path: str) -> Any:
        """GET by the caller of a server."""
        return self.client.get(path, headers={"x-api-key": self.keys[number]})

    def submit(self, number: int, site: str = "free") -> Any:
        """Submit a job by the caller of a server."""
        body = {"prompt": "a quiet lake at dawn", "site": site}
        return self.client.post("/api/v1/jobs", json=body, headers={"x-api-key": self.keys[number]})

    def create(self, number: int, site: str = "free") -> str:
        """Create a job of the caller of a server; return its id."""
        stores = self.stores.servers.members[number]
        job_id = stores.jobs.create_id()
        stores.jobs.create(job_id, self.callers[number], JobRequest(site, "a quiet lake at dawn"), "r")
        return job_id

    def divide(self, rounds: int = 3) -> None:
        """Let the clock divide the limits."""
        for _ in range(rounds):
            assert self.allotter.divide()

    def running(self, site: str) -> int:
        """How many jobs of a site run on both."""
        return sum(int(self.of(number).redis.zcard(f"dr:leases:{site}")) for number in (0, 1))


@pytest.fixture(scope="module")
def processes() -> Iterator[list[RedisProcess]]:
    """Two servers."""
    with tempfile.TemporaryDirectory(prefix="dr-a") as first, tempfile.TemporaryDirectory(prefix="dr-b") as second:
        started = [RedisProcess(Path(first)), RedisProcess(Path(second))]
        yield started
        for process in started:
            process.kill()


@pytest.fixture
def installation(
    base_settings: Settings, processes: list[RedisProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """An app on empty servers, whose limits have been divided."""
    # A server that answers late on a busy machine is not lost; one that was killed refuses at once.
    monkeypatch.setattr(allotments, "ANSWER_TIMEOUT_S", TIMEOUT_S)
    for process in processes:
        if process.process is None:
            process.start()
        client = connect(process.url)
        client.flushall()
        client.close()
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    for name, (concurrency, interval, daily) in SITES.items():
        text = RECIPE.format(name=name, concurrency=concurrency, interval=interval, daily=daily)
        (recipes / f"{name}.toml").write_text(text)
    urls = ",".join(process.url for process in processes)
    settings = replace(
        settings_in(tmp_path, base_settings, urls),
        recipes_dir=recipes,
        site="free",
        max_queue_size=MAX_QUEUE_SIZE,
        job_deadline_s=1,
    )
    create_tables(settings.database_url)
    stores = open_stores(settings)
    allotter = Allotter(stores.servers.of_each([each.plain for each in stores.servers.members]), settings)
    found = Installation(processes, stores, described_client(create_app(stores)), allotter)
    _add_callers(found)
    found.divide()
    yield found
    allotter.close()
    stores.close()


def _add_callers(installation: Installation) -> None:
    stores, by_number = installation.stores, dict[int, tuple[str, str]]()
    while len(by_number) < 2:
        key = stores.api_keys.create("a caller")
        caller = stores.api_keys.authenticate(key)
        assert caller
        by_number.setdefault(stores.servers.home(caller.id), (caller.id, key))
    installation.callers = [by_number[number][0] for number in (0, 1)]
    installation.keys = [by_number[number][1] for number in (0, 1)]
