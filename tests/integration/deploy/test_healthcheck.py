"""What containers and load balancers ask: whether a process works, whatever else fails."""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ops.infra.settings import ROOT, Settings
from tests.integration.conftest import AppClient, close_app, open_app, serve_app

HEALTHCHECK = ROOT / "ops" / "deploy" / "healthcheck"


@pytest.fixture
def isolated(settings: Settings, tmp_path: Path) -> Iterator[AppClient]:
    """An app whose Redis does not answer."""
    nowhere = f"unix://{tmp_path / 'none.sock'}?db=0"
    client = open_app(replace(settings, redis_url=nowhere, broker_url=nowhere))
    yield client
    close_app(client)


def check(**environment: str) -> int:
    """Run the health check of the image; return its exit code."""
    command = [str(HEALTHCHECK)]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, timeout=60, check=False
    )
    return done.returncode


def test_web_is_alive_without_redis(isolated: AppClient) -> None:
    """``/health`` is degraded and ``/health/live`` is not, with or without a key."""
    assert isolated.client.get("/health").status_code == 503
    for answer in (isolated.client.get("/health/live"), isolated.get("/health/live")):
        assert (answer.status_code, answer.json, answer.headers["Cache-Control"]) == (200, {"status": "OK"}, "no-store")
    with serve_app(isolated.client.application) as url:
        assert check(PORT=str(urlsplit(url).port)) == 0
    assert check(PORT=str(urlsplit(url).port)) == 1


def test_a_process_without_http_is_judged_by_its_file(tmp_path: Path) -> None:
    """A file that is older than a minute means that its process hangs."""
    file = tmp_path / "alive"
    file.touch()
    assert check(LIVENESS_FILE=str(file)) == 0
    minute_ago = time.time() - 61
    os.utime(file, (minute_ago, minute_ago))
    assert check(LIVENESS_FILE=str(file)) == 1
