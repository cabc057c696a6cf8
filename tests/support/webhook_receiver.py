"""A webhook receiver: an HTTP server that records requests and answers as a test decides."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ops.testbed.page_server import serve_in_thread


@dataclass(frozen=True)
class ReceivedRequest:
    """A recorded request, with header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded JSON body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class CannedResponse:
    """The response to one request."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"thank you"


@dataclass
class WebhookReceiver:
    """A running receiver. ``respond`` is called for each request, on a thread, and may block."""

    port: int = 0
    requests: list[ReceivedRequest] = field(default_factory=list)
    respond: Callable[[ReceivedRequest], CannedResponse] = lambda _request: CannedResponse()

    def url(self, path: str = "/hook", scheme: str = "http") -> str:
        """Return a URL of the receiver."""
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def paths(self) -> list[str]:
        """Return the paths requested so far."""
        return [request.path for request in self.requests]


@contextmanager
def run_receiver(tls: ssl.SSLContext | None = None) -> Iterator[WebhookReceiver]:
    """Run a receiver on a free loopback port."""
    receiver = WebhookReceiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Record the request and send the response."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = ReceivedRequest(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            receiver.requests.append(request)
            response = receiver.respond(request)
            self.send_response(response.status)
            for name, value in ({"Content-Length": str(len(response.body))} | dict(response.headers)).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response.body)

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_args: object) -> None:
            """Ignore clients that disconnect."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.port = int(server.server_address[1])
    with serve_in_thread(server):
        yield receiver
