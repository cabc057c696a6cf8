"""The part of S3's protocol that objects need, in this process; it can stall, which no real server does on demand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from stores.media import Media
from tests.conftest import TIMEOUT_S


class FakeS3(BaseHTTPRequestHandler):
    """``library/forbidden.png`` may not be read; while ``answers`` is not set, no request gets an answer."""

    objects: ClassVar[dict[str, bytes]] = {}
    requests: ClassVar[list[str]] = []
    answers: ClassVar[threading.Event] = threading.Event()

    def do_PUT(self) -> None:
        """Store an object."""
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self._wait()
        self.objects[self.path] = data
        self._answer(200)

    def do_GET(self) -> None:
        """Return an object."""
        self._wait()
        if self.path.endswith("forbidden.png"):
            self._answer(403)
        elif self.path in self.objects:
            self._answer(200, self.objects[self.path])
        else:
            self._answer(404)

    do_HEAD = do_GET

    def _wait(self) -> None:
        self.requests.append(f"{self.command} {self.path}")
        self.answers.wait(TIMEOUT_S)

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", '"1"')
        # A client that has given up does not take the answer.
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Log nothing."""


@contextmanager
def serve_fake_s3() -> Iterator[int]:
    """Run a server without objects; yield its port."""
    FakeS3.objects.clear()
    FakeS3.requests.clear()
    FakeS3.answers.set()
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeS3) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port
        finally:
            FakeS3.answers.set()
            server.shutdown()
            thread.join()


def s3_environment(port: int) -> dict[str, str]:
    """Return the variables by which a store uses a port of this machine."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }


def connect_s3(monkeypatch: pytest.MonkeyPatch, port: int) -> Media:
    """Return a store that uses a port of this machine."""
    for name, value in s3_environment(port).items():
        monkeypatch.setenv(name, value)
    return Media("s3://pictures/here")
