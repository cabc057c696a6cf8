"""Bodies that arrive slowly, unwanted or in part, at a real gunicorn: the key comes first, and time is limited."""

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest

from ops.infra.settings import ROOT, Settings
from ops.processes.request_bodies import CONTINUE
from ops.processes.web_command import free_port, gunicorn_command
from tests.conftest import API_KEY, TIMEOUT_S, answers_http, create_tables, eventually
from tests.integration.conftest import process_environment

KEY = f"x-api-key: {API_KEY}\r\n"
JSON = "Content-Type: application/json\r\n"
JOB = json.dumps({"prompt": "a quiet lake at dawn"}).encode()
FORM = "Content-Type: multipart/form-data; boundary=b\r\n"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
DRIP_S = 0.2
SLOW_BODIES = {
    "json": ("/api/v1/jobs", KEY + JSON + "Content-Length: 1000\r\n", b"{", b" "),
    "weights form": (
        "/generateImage",
        KEY + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n",
        b"prompt=",
        b"a",
    ),
    "buffered multipart": ("/generateImage", KEY + FORM + "Content-Length: 1000\r\n", b"--b\r\n", b"x"),
    "chunked": ("/api/v1/jobs", KEY + JSON + "Transfer-Encoding: chunked\r\n", b"1\r\n{\r\n", b"1\r\n \r\n"),
    "chunk extension": ("/api/v1/jobs", KEY + JSON + "Transfer-Encoding: chunked\r\n", b"1;", b"x"),
    "trailers": ("/api/v1/jobs", KEY + JSON + "Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n", b"X: y\r\n"),
    "job with a picture": ("/api/v1/jobs", KEY + FORM + "Content-Length: 1000000\r\n", PART, b"x"),
    "uploaded picture": (
        "/api/v1/uploads",
        KEY + FORM + "Transfer-Encoding: chunked\r\n",
        b"1\r\n-\r\n",
        b"1\r\n-\r\n",
    ),
    "generation": ("/v1/consumer/gen", KEY + JSON + "Content-Length: 1000\r\n", b"{", b" "),
    "streamed upload": ("/upload", FORM + "Content-Length: 1000000\r\n", PART, b"x"),
    "chunked upload": ("/upload", FORM + "Transfer-Encoding: chunked\r\n", b"1\r\n-\r\n", b"1\r\n-\r\n"),
    "sign-in": ("/api/session", JSON + "Content-Length: 1000\r\n", b"{", b" "),
    "silence": ("/api/v1/jobs", KEY + JSON + "Content-Length: 1000\r\n", b"{", b""),
}


@pytest.fixture(scope="module")
def web_url(base_settings: Settings, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app, with upload routes, under gunicorn."""
    folder = tmp_path_factory.mktemp("web")
    urls = {"redis_url": redis_url, "database_url": f"sqlite:///{folder / 'test.sqlite3'}"}
    settings = replace(base_settings, data_dir=folder, api_key=API_KEY, port=free_port(), **urls)
    create_tables(settings.database_url)
    environment = process_environment(settings, {"port": settings.port})
    process = subprocess.Popen(gunicorn_command(settings, "tests.support.uploads:serve()"), cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{settings.port}"
    try:
        eventually(lambda: answers_http(url))
        yield url
    finally:
        process.terminate()
        process.wait(60)


def connect(url: str) -> socket.socket:
    """Open a connection."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S)


def head(path: str, headers: str, method: str = "POST") -> bytes:
    """Return the head of a request."""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()


def read_to_end(connection: socket.socket) -> bytes:
    """Return everything until the server closes the connection; a reset is an error."""
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def read_answer(connection: socket.socket) -> bytes:
    """Return one answer that has a length."""
    received = b""
    while True:
        received += connection.recv(65536)
        head, end, body = received.partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        if end and len(body) >= lengths[0]:
            return received


def send_slowly(connection: socket.socket, unit: bytes, stop: threading.Event) -> None:
    """Send a unit again and again until the server closes the connection."""
    while not stop.wait(DRIP_S):
        try:
            connection.sendall(unit)
        except OSError:
            return


def test_slow_bodies_of_all_kinds_get_408(web_url: str) -> None:
    """The answer is complete, and the connection is closed without a reset."""
    answers: dict[str, bytes] = {}

    def call(name: str) -> None:
        path, headers, start, unit = SLOW_BODIES[name]
        stop = threading.Event()
        with connect(web_url) as connection:
            connection.sendall(head(path, headers) + start)
            sender = threading.Thread(target=send_slowly, args=(connection, unit, stop))
            sender.start()
            answers[name] = read_to_end(connection)
            stop.set()
            sender.join()

    threads = [threading.Thread(target=call, args=(name,)) for name in SLOW_BODIES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: answer.split(b"\r\n")[0] for name, answer in answers.items()} == dict.fromkeys(
        SLOW_BODIES, b"HTTP/1.1 408 REQUEST TIMEOUT"
    )
    assert all(b"Connection: close" in answer and b"arrived too slowly" in answer for answer in answers.values())


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/v1/jobs", JSON, 401),
        ("/api/v1/jobs", "x-api-key: wrong\r\n" + JSON, 401),
        ("/generateImage", "Content-Type: application/x-www-form-urlencoded\r\n", 401),
        ("/v1/consumer/gen", JSON, 401),
        ("/v1/workload/ai/new", JSON, 403),
        ("/api/v1/models/1/images", FORM, 401),
        ("/api/v1/models/1/images", KEY + FORM, 404),
        ("/api/v1/nothing", KEY + JSON, 404),
        ("/health", KEY + JSON, 405),
        ("/api/session", JSON + "Origin: http://elsewhere.example\r\n", 403),
    ],
)
@pytest.mark.parametrize("framing", ["Content-Length: 900000\r\n", "Transfer-Encoding: chunked\r\n"])
def test_a_refused_request_is_answered_before_its_body(
    web_url: str, path: str, headers: str, framing: str, status: int
) -> None:
    """No byte of the body is awaited, ``100 Continue`` is not sent, and the answer survives what the client sends."""
    with connect(web_url) as connection:
        connection.sendall(head(path, headers + framing + "Expect: 100-continue\r\n"))
        first = connection.recv(65536)
        connection.sendall(b"1000\r\n" + bytes(0x1000) + b"\r\n")
        answer = first + read_to_end(connection)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in answer


def test_continue_is_sent_once_the_request_is_accepted(web_url: str) -> None:
    """Clients such as curl wait for it before they send a large body."""
    with connect(web_url) as connection:
        headers = f"{KEY}{JSON}Content-Length: {len(JOB)}\r\nExpect: 100-continue\r\n"
        connection.sendall(head("/api/v1/jobs", headers))
        assert connection.recv(65536) == CONTINUE
        connection.sendall(JOB)
        assert connection.recv(65536).startswith(b"HTTP/1.1 202 ")


def test_a_refused_request_with_a_complete_body_keeps_the_connection(web_url: str) -> None:
    """The next request on it is answered."""
    with connect(web_url) as connection:
        connection.sendall(head("/api/v1/jobs", f"{JSON}Content-Length: {len(JOB)}\r\n") + JOB)
        assert read_answer(connection).startswith(b"HTTP/1.1 401 ")
        connection.sendall(head("/quota", KEY, "GET"))
        assert read_answer(connection).startswith(b"HTTP/1.1 200 ")


def test_several_requests_with_bodies_share_a_connection(web_url: str) -> None:
    """Bodies with a length and in chunks."""
    with httpx.Client(base_url=web_url, headers={"x-api-key": API_KEY}, timeout=TIMEOUT_S, trust_env=False) as client:
        for content in (JOB, iter([JOB[:7], JOB[7:]])):
            response = client.post("/api/v1/jobs", content=content, headers={"Content-Type": "application/json"})
            assert response.status_code == 202
            assert response.headers["Connection"] == "keep-alive"


def test_submissions_arrive_in_parts_and_behind_each_other(web_url: str) -> None:
    """Those that are left to Flask after their body has arrived are answered in their turn, with the whole body."""
    bodies = (JOB, b'{"prompt": 7}', JOB, b"{", JOB)
    requests = b"".join(head("/api/v1/jobs", f"{KEY}{JSON}Content-Length: {len(body)}\r\n") + body for body in bodies)
    with connect(web_url) as connection:
        for start in range(0, len(requests), 50):
            connection.sendall(requests[start : start + 50])
        connection.shutdown(socket.SHUT_WR)
        received = read_to_end(connection)
    answers = [answer.split(b" ", 1)[0] for answer in received.split(b"HTTP/1.1 ")[1:]]
    assert answers == [b"202", b"400", b"202", b"400", b"202"]
    with connect(web_url) as connection:
        connection.sendall(head("/api/v1/jobs", f"{KEY}{JSON}Content-Length: {len(JOB)}\r\n") + JOB[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert read_to_end(connection).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "headers",
    [
        "SCRIPT_NAME: /api\r\n",
        "Script-Name: /api\r\n",
        "PATH_INFO: /quota\r\n",
        "X_FORWARDED_FOR: 192.0.2.1\r\n",
        "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Protocol: ssl\r\n",
        "X-Forwarded-Host: elsewhere.example\r\nX-Forwarded-Prefix: /api\r\nX-Forwarded-Port: 1\r\n",
        "X-Forwarded-Proto: http\r\nX-Forwarded-Ssl: on\r\n",
    ],
)
def test_headers_of_proxies_are_ignored_from_this_machine_too(web_url: str, headers: str) -> None:
    """They change neither path nor scheme."""
    with connect(web_url) as connection:
        connection.sendall(head("/api/v1/sites", f"{KEY}{headers}Connection: close\r\n", "GET"))
        assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")
    with connect(web_url) as connection:
        # The scheme decides which origin is this server's own.
        same = f"{JSON}Origin: http://x\r\nContent-Length: {len(b'{}')}\r\n{headers}Connection: close\r\n"
        connection.sendall(head("/api/session", same) + b"{}")
        assert read_to_end(connection).startswith(b"HTTP/1.1 400 ")
        https = same.replace("http://x", "https://x")
    with connect(web_url) as connection:
        connection.sendall(head("/api/session", https) + b"{}")
        assert read_to_end(connection).startswith(b"HTTP/1.1 403 ")
