"""The log of a web process under gunicorn: JSON lines only, and no key in them."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from ops.infra.settings import ROOT, Settings
from ops.processes.web_command import free_port, gunicorn_command
from tests.conftest import answers_http, eventually
from tests.integration.conftest import AppClient, process_environment

OWN_KEY = 'Owner\'s key: 100% "secret"/éß?&=+'


@dataclass(frozen=True)
class WebLog:
    """A web process and its log."""

    url: str
    path: Path

    def lines(self) -> list[dict[str, Any]]:
        """Every line, which must be JSON."""
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.fixture
def web(app: AppClient, settings: Settings, tmp_path: Path) -> Iterator[WebLog]:
    """The app, with routes that fail, under gunicorn."""
    settings, log = replace(settings, port=free_port()), tmp_path / "web.log"
    environment = process_environment(settings, {"port": settings.port, "media_url": settings.media_url})
    environment |= {"API_KEY": OWN_KEY, "LOG_LEVEL": "info", "PYTHONPATH": str(ROOT)}
    command = gunicorn_command(settings, "tests.support.uploads:serve()")
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{settings.port}"
    try:
        eventually(lambda: answers_http(url))
        yield WebLog(url, log)
    finally:
        process.terminate()
        process.wait(60)


def post(web: WebLog, path: str) -> httpx.Response:
    """POST without a body."""
    return httpx.post(f"{web.url}{path}", trust_env=False, timeout=60)


def test_a_missing_object_prints_no_traceback(web: WebLog) -> None:
    """The media store is read in a thread of gevent's pool, whose errors the caller handles."""
    assert post(web, "/read_object?key=pictures/gone").status_code == 404
    assert not any("exception" in line for line in web.lines())


def test_all_failures_are_logged_as_json(web: WebLog) -> None:
    """Those of views, greenlets, threads, gevent's pool and gunicorn, and warnings."""
    assert post(web, "/fail").status_code == 500
    events = [line["event"] for line in web.lines()]
    assert events.count("greenlet.failed") == 2
    assert {"thread.failed", "request.fault", "A line of gunicorn."} <= set(events)
    assert any("A warning." in event for event in events)


def test_a_key_in_a_path_or_query_is_not_logged(web: WebLog, app: AppClient) -> None:
    """The owner's key, whatever it consists of, and issued keys, also in requests that fail."""
    issued = app.stores.api_keys.create("alice")
    generated = "0123456789abcdef" * 4
    for key in (OWN_KEY, issued, generated):
        escaped = quote(key, safe="")
        for path in (f"/status/{escaped}", f"/{escaped}", f"/{escaped}/x?key={escaped}", f"/api/v1/jobs/{escaped}"):
            httpx.get(f"{web.url}{path}", trust_env=False, timeout=60)
        post(web, f"/fail?key={escaped}")
    text = web.path.read_text()
    assert text.count("[hidden]") >= 9
    assert not any(
        form in text for key in (OWN_KEY, issued, generated) for form in (key, quote(key), json.dumps(key)[1:-1])
    )
    assert issued.rpartition("_")[2] not in text
    assert web.lines()
