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
from tests.conftest import DEADLINE_S, eventually
from tests.integration.conftest import Front, Painter, close_front, listening, open_front
from tests.support.event_streams import stream


def watching(served: str, front: Front, painter: Painter, path: str = "/ws", more: str = "") -> ClientConnection:
    """A client of the painter's job."""
    token = front.stores.passes.issue(painter.ident)
    query = f"id={workload_id(painter.ident)}&jwt={token}{more}"
    return connect(f"ws://{urlsplit(served).netloc}{path}?{query}", open_timeout=DEADLINE_S, proxy=None)


def heard(client: ClientConnection) -> Any:
    """The next message."""
    message = client.recv(timeout=DEADLINE_S)
    return json.loads(message) if isinstance(message, str) else message


def end_of(client: ClientConnection) -> int:
    """The code with which the other side closes, after whatever it still has to say."""
    # What is left to be heard, until the connection ends.
    with contextlib.suppress(ConnectionClosed):
        for _ in client:
            pass
    return client.close_code or 1006


@pytest.mark.parametrize("path", ["/", "/ws", "/v1/ws", "/production/", "/production", "/ws/"])
def test_a_socket_tells_where_a_job_is_until_its_end(served: str, front: Front, painter: Painter, path: str) -> None:
    """As its clients know it, at every address that they know."""
    with watching(served, front, painter, path) as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        painter.start()
        painter.progress(12)
        assert heard(client) == {
            "type": "IN_PROGRESS",
            "message": {"percentage": 60.0, "totalSteps": 20, "currentStep": 11},
        }
        painter.complete()
        done = heard(client)
        assert done["type"] == "COMPLETED"
        assert done["link"].endswith(f"/{painter.ident}.png")
        assert end_of(client) == 1000


def test_who_comes_after_the_end_gets_the_end(served: str, front: Front, painter: Painter) -> None:
    """In either order of the query."""
    painter.start()
    painter.fail()
    token = front.stores.passes.issue(painter.ident)

    with connect(
        f"ws://{urlsplit(served).netloc}/?jwt={token}&id={painter.ident}", open_timeout=DEADLINE_S, proxy=None
    ) as client:
        assert heard(client) == {"type": "ERROR", "message": "Not here.", "code": "site_refused"}
        assert end_of(client) == 1000


@pytest.mark.parametrize(("previews", "expected"), [("1", dict), ("binary", bytes)])
def test_previews_come_over_the_same_socket(
    served: str, front: Front, painter: Painter, previews: str, expected: type
) -> None:
    """As addresses or as they are, for those who ask."""
    painter.start()
    with watching(served, front, painter, more=f"&previews={previews}") as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        painter.preview()
        preview = heard(client)

    assert isinstance(preview, expected)
    if isinstance(preview, bytes):
        assert preview == b"jpeg bytes"
    else:
        assert (preview["type"], preview["version"]) == ("PREVIEW", 4)
        assert front.client.get(urlsplit(preview["url"]).path).data == b"jpeg bytes"


def test_a_further_attempts_previews_are_told_too(served: str, front: Front, painter: Painter) -> None:
    """By the numbers and addresses that streams tell: no version comes twice."""
    painter.start()
    shown = []
    with watching(served, front, painter, more="&previews=1") as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        for _ in range(2):
            painter.preview()
            shown.append(heard(client))
        front.stores.attempts.release(painter.job, BrowserLost())
        painter.start()
        painter.preview()
        shown.append(heard(client))
    painter.complete()
    streamed = [one for one in stream(f"{served}/api/v1/jobs/{painter.ident}/events") if one["type"] == "preview"]
    assert [(one["version"], one["url"]) for one in shown] == [(one["seq"], one["url"]) for one in streamed]
    assert [one["version"] for one in streamed] == [one["seq"] for one in streamed]


def test_a_bad_pass_is_told_and_closed(served: str, front: Front, painter: Painter) -> None:
    """A browser cannot read the status of a handshake."""
    other = front.stores.passes.issue("0" * 32)
    address = f"ws://{urlsplit(served).netloc}/ws"
    for query, code in (
        (f"id={painter.ident}&jwt={other}", 4401),
        (f"id={painter.ident}", 4401),
        ("", 4404),
        (f"id={'0' * 32}&jwt={other}", 4404),
    ):
        with connect(f"{address}?{query}", open_timeout=DEADLINE_S, proxy=None) as client:
            assert heard(client)["type"] == "ERROR"
            assert end_of(client) == code


def test_a_pass_is_not_for_everybody(served: str, front: Front, painter: Painter) -> None:
    """Eight may listen with one; when one goes, another may come."""
    token = front.stores.passes.issue(painter.ident)
    address = f"ws://{urlsplit(served).netloc}/ws?id={painter.ident}&jwt={token}"
    with contextlib.ExitStack() as clients:
        for _ in range(8):
            client = clients.enter_context(connect(address, open_timeout=DEADLINE_S, proxy=None))
            assert heard(client) == {"type": "IN_PROGRESS"}

        with connect(address, open_timeout=DEADLINE_S, proxy=None) as ninth:
            assert "8 times" in heard(ninth)["message"]
            assert end_of(ninth) == 4401

    def may_come() -> bool:
        with connect(address, open_timeout=DEADLINE_S, proxy=None) as client:
            return bool(heard(client)["type"] == "IN_PROGRESS")

    eventually(may_come)


def test_a_process_that_stops_says_so(served: str, front: Front, painter: Painter) -> None:
    """On sockets by a code, on streams by their end."""
    told = stream(f"{served}/api/v1/jobs/{painter.ident}/events")
    assert next(told)["type"] == "queued"
    with watching(served, front, painter) as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        front.stores.changes.close_all()
        assert end_of(client) == 1012
    assert list(told) == []


def test_who_says_too_much_is_not_listened_to(served: str, front: Front, painter: Painter) -> None:
    """Clients have nothing to say."""
    with watching(served, front, painter) as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        client.send("x" * 200_000)
        assert end_of(client) in {1006, 1008}


def test_a_page_asked_for_without_an_upgrade_is_an_error(front: Front) -> None:
    """The start page stays what it is."""
    assert front.client.get("/ws").status_code == 400
    assert front.client.get("/").status_code == 200


def test_what_is_no_handshake_is_refused(served: str, painter: Painter) -> None:
    """Before anything is upgraded."""
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    for more in ("Host: x\r\n", "Host: x\u00e9\r\nSec-WebSocket-Key: x\r\n", ""):
        with socket.create_connection((urlsplit(served).hostname, urlsplit(served).port), timeout=DEADLINE_S) as raw:
            raw.sendall(f"GET /ws?jwt=x&id={painter.ident} HTTP/1.1\r\n{upgrade}{more}\r\n".encode("latin-1"))
            assert b" 400 " in raw.recv(4096)


def test_in_production_all_hear_of_the_end_of_the_process(
    process: tuple[str, subprocess.Popen[bytes], Path], front: Front, painter: Painter
) -> None:
    """While it lives it tells; when it is asked to stop it says so at once; no pass is in its log."""
    address, server, log = process
    told = stream(f"{address}/api/v1/jobs/{painter.ident}/events")
    assert next(told)["type"] == "queued"
    with watching(address, front, painter, "/v1/ws") as client:
        assert heard(client) == {"type": "IN_PROGRESS"}
        painter.start()
        painter.progress(12)
        assert heard(client)["message"]["percentage"] == 60.0
        assert [next(told)["seq"] for _ in range(3)] == [2, 3, 4]
        server.terminate()
        assert end_of(client) == 1012
    assert list(told) == []
    server.wait(DEADLINE_S)
    token = front.stores.passes.issue(painter.ident)
    written = log.read_text()
    assert "/v1/ws" in written
    assert token.partition(".")[0] not in written
    assert "jwt=" not in written


def test_a_reader_that_is_too_slow_is_let_go(
    process: tuple[str, subprocess.Popen[bytes], Path], front: Front, painter: Painter
) -> None:
    """It may miss what it was slow for; it is closed with a code, between two whole messages."""
    painter.start()
    address = urlsplit(process[0])
    token = front.stores.passes.issue(painter.ident)
    large = b"x" * 4_000_000
    with socket.create_connection((address.hostname, address.port), timeout=DEADLINE_S) as raw:
        url = f"ws://{address.netloc}/ws?id={painter.ident}&jwt={token}&previews=binary"
        client = ClientProtocol(parse_uri(url), max_size=None)
        client.send_request(client.connect())
        raw.sendall(b"".join(client.data_to_send()))
        client.receive_data(raw.recv(65536))
        for _ in range(4):
            front.stores.attempts.note_preview(painter.job, large)
        # It reads nothing until the other side has given up.
        eventually(lambda: b"socket.too_slow" in process[2].read_bytes(), within_s=DEADLINE_S)
        while data := raw.recv(1 << 20):
            client.receive_data(data)
    client.receive_eof()
    assert client.close_code == 1013


@pytest.mark.parametrize(
    ("origin", "code"), [("https://here.example", 1000), ("https://evil.example", 4403), (None, 1000)]
)
def test_only_pages_of_the_origins_named_may_listen(settings: Settings, origin: str | None, code: int) -> None:
    """Programs say no origin; they may."""
    front = open_front(replace(settings, socket_origins=("https://here.example",)))
    painter = Painter(front)
    painter.start()
    painter.fail()
    with listening(front.client.application) as address:
        query = f"id={painter.ident}&jwt={front.stores.passes.issue(painter.ident)}"
        url = f"ws://{urlsplit(address).netloc}/ws?{query}"
        with connect(url, open_timeout=DEADLINE_S, proxy=None, origin=origin) as client:
            assert heard(client)["type"] == "ERROR"
            assert end_of(client) == code
    close_front(front)
