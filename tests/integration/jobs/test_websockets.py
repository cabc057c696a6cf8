"""WebSockets under werkzeug and under gunicorn."""

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


def connect_client(
    app_url: str, app: AppClient, worker: FakeWorker, path: str = "/ws", options: str = ""
) -> ClientConnection:
    """Connect a client that watches the worker's job."""
    token = app.stores.watch_tokens.issue(worker.job_id)
    query = f"id={workload_id(worker.job_id)}&jwt={token}{options}"
    return connect(f"ws://{urlsplit(app_url).netloc}{path}?{query}", open_timeout=TIMEOUT_S, proxy=None)


def receive(client: ClientConnection) -> Any:
    """The next message."""
    message = client.recv(timeout=TIMEOUT_S)
    return json.loads(message) if isinstance(message, str) else message


def wait_for_close(client: ClientConnection) -> int:
    """Read until the server closes; return the close code."""
    # Read what is left, until the connection ends.
    with contextlib.suppress(ConnectionClosed):
        for _ in client:
            pass
    return client.close_code or 1006


@pytest.mark.parametrize("path", ["/", "/ws", "/v1/ws", "/production/", "/production", "/ws/"])
def test_a_socket_reports_a_job_until_its_end(app_url: str, app: AppClient, worker: FakeWorker, path: str) -> None:
    """Messages have the format that existing clients know, on every path that they use."""
    with connect_client(app_url, app, worker, path) as client:
        assert receive(client) == {"type": "IN_PROGRESS"}
        worker.start()
        worker.report_progress(12)
        assert receive(client) == {
            "type": "IN_PROGRESS",
            "message": {"percentage": 60.0, "totalSteps": 20, "currentStep": 11},
        }
        worker.complete()
        completed = receive(client)
        assert completed["type"] == "COMPLETED"
        assert completed["link"].endswith(f"/{worker.job_id}.png")
        assert wait_for_close(client) == 1000


def test_a_late_client_gets_the_end(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """The order of the query parameters does not matter."""
    worker.start()
    worker.fail()
    token = app.stores.watch_tokens.issue(worker.job_id)

    with connect(
        f"ws://{urlsplit(app_url).netloc}/?jwt={token}&id={worker.job_id}", open_timeout=TIMEOUT_S, proxy=None
    ) as client:
        assert receive(client) == {"type": "ERROR", "message": "Not here.", "code": "site_refused"}
        assert wait_for_close(client) == 1000


@pytest.mark.parametrize(("previews", "expected"), [("1", dict), ("binary", bytes)])
def test_previews_are_sent_on_request(
    app_url: str, app: AppClient, worker: FakeWorker, previews: str, expected: type
) -> None:
    """They are sent as URLs or as binary messages."""
    worker.start()
    with connect_client(app_url, app, worker, options=f"&previews={previews}") as client:
        assert receive(client) == {"type": "IN_PROGRESS"}
        worker.report_preview()
        preview = receive(client)

    assert isinstance(preview, expected)
    if isinstance(preview, bytes):
        assert preview == b"jpeg bytes"
    else:
        assert (preview["type"], preview["version"]) == ("PREVIEW", 4)
        assert app.client.get(urlsplit(preview["url"]).path).data == b"jpeg bytes"


def test_previews_of_a_second_attempt_are_sent(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """Versions and URLs are those of the event stream, and no version repeats."""
    worker.start()
    previews_received = []
    with connect_client(app_url, app, worker, options="&previews=1") as client:
        assert receive(client) == {"type": "IN_PROGRESS"}
        for _ in range(2):
            worker.report_preview()
            previews_received.append(receive(client))
        app.stores.attempts.release(worker.job, BrowserLost())
        worker.start()
        worker.report_preview()
        previews_received.append(receive(client))
    worker.complete()
    streamed = [
        event for event in stream_events(f"{app_url}/api/v1/jobs/{worker.job_id}/events") if event["type"] == "preview"
    ]
    assert [(event["version"], event["url"]) for event in previews_received] == [
        (event["seq"], event["url"]) for event in streamed
    ]
    assert [event["version"] for event in streamed] == [event["seq"] for event in streamed]


def test_an_invalid_token_is_reported_and_closed(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """The error follows the upgrade, because browsers hide the status of a failed handshake."""
    other = app.stores.watch_tokens.issue("0" * 32)
    address = f"ws://{urlsplit(app_url).netloc}/ws"
    for query, code in (
        (f"id={worker.job_id}&jwt={other}", 4401),
        (f"id={worker.job_id}", 4401),
        ("", 4404),
        (f"id={'0' * 32}&jwt={other}", 4404),
    ):
        with connect(f"{address}?{query}", open_timeout=TIMEOUT_S, proxy=None) as client:
            assert receive(client)["type"] == "ERROR"
            assert wait_for_close(client) == code


def test_connections_per_token_are_limited(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """Eight connections may share a token; when one ends, another is accepted."""
    token = app.stores.watch_tokens.issue(worker.job_id)
    address = f"ws://{urlsplit(app_url).netloc}/ws?id={worker.job_id}&jwt={token}"
    with contextlib.ExitStack() as clients:
        for _ in range(8):
            client = clients.enter_context(connect(address, open_timeout=TIMEOUT_S, proxy=None))
            assert receive(client) == {"type": "IN_PROGRESS"}

        with connect(address, open_timeout=TIMEOUT_S, proxy=None) as ninth:
            assert "8 times" in receive(ninth)["message"]
            assert wait_for_close(ninth) == 4401

    def is_accepted() -> bool:
        with connect(address, open_timeout=TIMEOUT_S, proxy=None) as client:
            return bool(receive(client)["type"] == "IN_PROGRESS")

    eventually(is_accepted)


def test_shutdown_closes_sockets_and_streams(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """Sockets close with 1012, streams end."""
    events = stream_events(f"{app_url}/api/v1/jobs/{worker.job_id}/events")
    assert next(events)["type"] == "queued"
    with connect_client(app_url, app, worker) as client:
        assert receive(client) == {"type": "IN_PROGRESS"}
        app.stores.notifier.announce_shutdown()
        assert wait_for_close(client) == 1012
    assert list(events) == []


def test_a_client_that_sends_too_much_is_disconnected(app_url: str, app: AppClient, worker: FakeWorker) -> None:
    """Clients have nothing to send."""
    with connect_client(app_url, app, worker) as client:
        assert receive(client) == {"type": "IN_PROGRESS"}
        client.send("x" * 200_000)
        assert wait_for_close(client) in {1006, 1008}


def test_a_socket_path_without_an_upgrade_is_an_error(app: AppClient) -> None:
    """The document at the root still works."""
    assert app.client.get("/ws").status_code == 400
    assert app.client.get("/").status_code == 200


def test_an_invalid_handshake_is_rejected(app_url: str, worker: FakeWorker) -> None:
    """The status is 400, before any upgrade."""
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    for more in ("Host: x\r\n", "Host: x\u00e9\r\nSec-WebSocket-Key: x\r\n", ""):
        with socket.create_connection((urlsplit(app_url).hostname, urlsplit(app_url).port), timeout=TIMEOUT_S) as raw:
            raw.sendall(f"GET /ws?jwt=x&id={worker.job_id} HTTP/1.1\r\n{upgrade}{more}\r\n".encode("latin-1"))
            assert b" 400 " in raw.recv(4096)


def test_gunicorn_closes_sockets_when_it_stops(
    web_process: tuple[str, subprocess.Popen[bytes], Path], app: AppClient, worker: FakeWorker
) -> None:
    """Messages arrive until then, and no token is in the log."""
    address, server, log = web_process
    events = stream_events(f"{address}/api/v1/jobs/{worker.job_id}/events")
    assert next(events)["type"] == "queued"
    with connect_client(address, app, worker, "/v1/ws") as client:
        assert receive(client) == {"type": "IN_PROGRESS"}
        worker.start()
        worker.report_progress(12)
        assert receive(client)["message"]["percentage"] == 60.0
        assert [next(events)["seq"] for _ in range(3)] == [2, 3, 4]
        server.terminate()
        assert wait_for_close(client) == 1012
    assert list(events) == []
    server.wait(TIMEOUT_S)
    token = app.stores.watch_tokens.issue(worker.job_id)
    log_text = log.read_text()
    assert "/v1/ws" in log_text
    assert token.partition(".")[0] not in log_text
    assert "jwt=" not in log_text


def test_a_slow_consumer_is_disconnected(
    web_process: tuple[str, subprocess.Popen[bytes], Path], app: AppClient, worker: FakeWorker
) -> None:
    """The close frame comes after a whole message."""
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
        # The client reads nothing until the server has given up.
        eventually(lambda: b"socket.too_slow" in web_process[2].read_bytes(), timeout_s=TIMEOUT_S)
        while data := raw.recv(1 << 20):
            client.receive_data(data)
    client.receive_eof()
    assert client.close_code == 1013


@pytest.mark.parametrize(
    ("origin", "code"), [("https://here.example", 1000), ("https://evil.example", 4403), (None, 1000)]
)
def test_origins_can_be_restricted(settings: Settings, origin: str | None, code: int) -> None:
    """Programs, which send no Origin, are accepted."""
    app = open_app(replace(settings, socket_origins=("https://here.example",)))
    worker = FakeWorker(app)
    worker.start()
    worker.fail()
    with serve_app(app.client.application) as address:
        query = f"id={worker.job_id}&jwt={app.stores.watch_tokens.issue(worker.job_id)}"
        url = f"ws://{urlsplit(address).netloc}/ws?{query}"
        with connect(url, open_timeout=TIMEOUT_S, proxy=None, origin=origin) as client:
            assert receive(client)["type"] == "ERROR"
            assert wait_for_close(client) == code
    close_app(app)
