"""WebSockets from a real front, and under the server that it has in production."""

import contextlib
import json
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from ops.infra.settings import Settings
from schemas.errors import BrowserLost
from schemas.jobs.generaitiv_requests import workload_id
from tests.conftest import TIMEOUT_S, eventually
from tests.integration.conftest import AppClient, FakeWorker, close_app, open_app, serve_app
from tests.support.event_streams import stream_events


def watching(app_url: str, app: AppClient, worker: FakeWorker, path: str = "/ws", more: str = "") -> ClientConnection:
    """A client of the painter's job."""
    token = app.stores.watch_tokens.issue(worker.job_id)
    query = f"id={workload_id(worker.job_id)}&jwt={token}{more}"
    return connect(f"ws://{urlsplit(app_url).netloc}{path}?{query}", open_timeout=TIMEOUT_S, proxy=None)


def heard(client: ClientConnection) -> Any:
    """The next message."""
    message = client.recv(timeout=TIMEOUT_S)
    return json.loads(message) if isinstance(message, str) else message


def end_of(client: ClientConnection) -> int:
    """The code with which the other side closes, after whatever it still has to say."""
    # What is left to be heard, until the connection ends.
    with contextlib.suppress(ConnectionClosed):
        for _ in client:
            pass
    return client.close_code or 1006


@pytest.mark.parametrize("path", ["/", "/ws", "/v1/ws", "/production/", "/production", "/ws/"])
def test_a_socket_tells_where_a_job_is_until_its_end(
    app_url: str, app: AppClient, worker: FakeWorker, path: str
) -> None:
    """As its clients know it, at every address that they know."""
    with watching(app_url, app, worker, path) as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        worker.start()
        worker.report_progress(12)
        assert heard(client) == {
            "type": "IN_PROGRESS",
            "message": {"percentage": 60.0, "totalSteps": 20, "currentStep": 11},
        }
        worker.complete()
        done = heard(client)
        assert done["type"] == "COMPLETED"
        assert done["link"].endswith(f"/{worker.job_id}.png")
        assert end_of(client) == 1000


def test_who_comes_after_the_end_gets_the_end(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """In either order of the query."""
    worker.start()
    worker.fail()
    token = app.stores.watch_tokens.issue(worker.job_id)

    with connect(
        f"ws://{urlsplit(app_url).netloc}/?jwt={token}&id={worker.job_id}", open_timeout=TIMEOUT_S, proxy=None
    ) as client:
        assert heard(client) == {"type": "ERROR", "message": "Not here.", "code": "site_refused"}
        assert end_of(client) == 1000


@pytest.mark.parametrize(("previews", "expected"), [("1", dict), ("binary", bytes)])
def test_previews_come_over_the_same_socket(
    app_url: str, app: AppClient, worker: FakeWorker, previews: str, expected: type
) -> None:
    """As addresses or as they are, for those who ask."""
    worker.start()
    with watching(app_url, app, worker, more=f"&previews={previews}") as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        worker.report_preview()
        preview = heard(client)

    assert isinstance(preview, expected)
    if isinstance(preview, bytes):
        assert preview == b"jpeg bytes"
    else:
        assert (preview["type"], preview["version"]) == ("PREVIEW", 4)
        assert app.client.get(urlsplit(preview["url"]).path).data == b"jpeg bytes"


def test_a_further_attempts_previews_are_told_too(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """By the numbers and addresses that streams tell: no version comes twice."""
    worker.start()
    shown = []
    with watching(app_url, app, worker, more="&previews=1") as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        for _ in range(2):
            worker.report_preview()
            shown.append(heard(client))
        app.stores.attempts.release(worker.job, BrowserLost())
        worker.start()
        worker.report_preview()
        shown.append(heard(client))
    worker.complete()
    streamed = [
        one for one in stream_events(f"{app_url}/api/v1/jobs/{worker.job_id}/events") if one["type"] == "preview"
    ]
    assert [(one["version"], one["url"]) for one in shown] == [(one["seq"], one["url"]) for one in streamed]
    assert [one["version"] for one in streamed] == [one["seq"] for one in streamed]


def test_a_bad_pass_is_told_and_closed(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """A browser cannot read the status of a handshake."""
    other = app.stores.watch_tokens.issue("0" * 32)
    address = f"ws://{urlsplit(app_url).netloc}/ws"
    for query, code in (
        (f"id={worker.job_id}&jwt={other}", 4401),
        (f"id={worker.job_id}", 4401),
        ("", 4404),
        (f"id={'0' * 32}&jwt={other}", 4404),
    ):
        with connect(f"{address}?{query}", open_timeout=TIMEOUT_S, proxy=None) as client:
            assert heard(client)["type"] == "ERROR"
            assert end_of(client) == code


def test_a_pass_is_not_for_everybody(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """Eight may listen with one; when one goes, another may come."""
    token = app.stores.watch_tokens.issue(worker.job_id)
    address = f"ws://{urlsplit(app_url).netloc}/ws?id={worker.job_id}&jwt={token}"
    with contextlib.ExitStack() as clients:
        for _ in range(8):
            client = clients.enter_context(connect(address, open_timeout=TIMEOUT_S, proxy=None))
            assert heard(client) == {"type": "IN_PROGRESS"}

        with connect(address, open_timeout=TIMEOUT_S, proxy=None) as ninth:
            assert "8 times" in heard(ninth)["message"]
            assert end_of(ninth) == 4401

    def may_come() -> bool:
        with connect(address, open_timeout=TIMEOUT_S, proxy=None) as client:
            return bool(heard(client)["type"] == "IN_PROGRESS")

    eventually(may_come)


def test_a_process_that_stops_says_so(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """On sockets by a code, on streams by their end."""
    told = stream_events(f"{app_url}/api/v1/jobs/{worker.job_id}/events")
    assert next(told)["type"] == "queued"
    with watching(app_url, app, worker) as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        app.stores.notifier.announce_shutdown()
        assert end_of(client) == 1012
    assert list(told) == []


def test_who_says_too_much_is_not_listened_to(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """Clients have nothing to say."""
    with watching(app_url, app, worker) as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        client.send("x" * 200_000)
        assert end_of(client) in {1006, 1008}


def test_a_page_asked_for_without_an_upgrade_is_an_error(app: AppClient) -> None:
    """The start page stays what it is."""
    assert app.client.get("/ws").status_code == 400
    assert app.client.get("/").status_code == 200


def test_what_is_no_handshake_is_refused(app_url: str, worker: FakeWorker) -> None:
    """Before anything is upgraded."""
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    for more in ("Host: x\r\n", "Host: x\u00e9\r\nSec-WebSocket-Key: x\r\n", ""):
        with socket.create_connection((urlsplit(app_url).hostname, urlsplit(app_url).port), timeout=TIMEOUT_S) as raw:
            raw.sendall(f"GET /ws?jwt=x&id={worker.job_id} HTTP/1.1\r\n{upgrade}{more}\r\n".encode("latin-1"))
            assert b" 400 " in raw.recv(4096)


def test_in_production_all_hear_of_the_end_of_the_process(
    web_process: tuple[str, subprocess.Popen[bytes], Path], app: AppClient, worker: FakeWorker
) -> None:
    """While it lives it tells; when it is asked to stop it says so at once; no pass is in its log."""
    address, server, log = web_process
    told = stream_events(f"{address}/api/v1/jobs/{worker.job_id}/events")
    assert next(told)["type"] == "queued"
    with watching(address, app, worker, "/v1/ws") as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        worker.start()
        worker.report_progress(12)
        assert heard(client)["message"]["percentage"] == 60.0
        assert [next(told)["seq"] for _ in range(3)] == [2, 3, 4]
        server.terminate()
        assert end_of(client) == 1012
    assert list(told) == []
    server.wait(TIMEOUT_S)
    token = app.stores.watch_tokens.issue(worker.job_id)
    written = log.read_text()
    assert "/v1/ws" in written
    assert token.partition(".")[0] not in written
    assert "jwt=" not in written


def test_a_reader_that_is_too_slow_is_let_go(
    web_process: tuple[str, subprocess.Popen[bytes], Path], app: AppClient, worker: FakeWorker
) -> None:
    """It may miss what it was slow for; it is closed with a code, between two whole messages."""
    worker.start()
    address = urlsplit(web_process[0])
    token = app.stores.watch_tokens.issue(worker.job_id)
    large = b"x" * 4_000_000
    with socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S) as raw:
        url = f"ws://{address.netloc}/ws?id={worker.job_id}&jwt={token}&previews=binary"
        client = ClientProtocol(parse_uri(url), max_size=None)
        client.send_request(client.connect())
        raw.sendall(b"".join(client.data_to_send()))
        client.receive_data(raw.recv(65536))
        for _ in range(4):
            app.stores.attempts.record_preview(worker.job, large)
        # It reads nothing until the other side has given up.
        eventually(lambda: b"socket.too_slow" in web_process[2].read_bytes(), timeout_s=TIMEOUT_S)
        while data := raw.recv(1 << 20):
            client.receive_data(data)
    client.receive_eof()
    assert client.close_code == 1013


@pytest.mark.parametrize(
    ("origin", "code"), [("https://here.example", 1000), ("https://evil.example", 4403), (None, 1000)]
)
def test_only_pages_of_the_origins_named_may_listen(settings: Settings, origin: str | None, code: int) -> None:
    """Programs say no origin; they may."""
    front = open_app(replace(settings, socket_origins=("https://here.example",)))
    painter = FakeWorker(front)
    painter.start()
    painter.fail()
    with serve_app(front.client.application) as address:
        query = f"id={painter.job_id}&jwt={front.stores.watch_tokens.issue(painter.job_id)}"
        url = f"ws://{urlsplit(address).netloc}/ws?{query}"
        with connect(url, open_timeout=TIMEOUT_S, proxy=None, origin=origin) as client:
            assert heard(client)["type"] == "ERROR"
            assert end_of(client) == code
    close_app(front)
