"""A site whose pages exhaust the browser, the worker or the disk in all the ways that a page has, and a calm one.

``KINDS`` are the kinds of pages. The page of kind ``calm`` shows a picture after about a second.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from ops.testbed.page_server import page_recipe, serve_in_thread

PAGE = Path(__file__).with_suffix(".html")
CALM = "calm"
KINDS = (
    *("console", "requests", "binding", "sockets", "tabs"),
    *("dialogs", "canvases", "dom", "wasm", "workers"),
)
BLOCK = b"x" * 1_000_000


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/endless-file":
            self._send_endless_file()
        elif path == "/frames":
            self._send_endless_frames()
        else:
            self._send(PAGE.read_bytes() if path == "/" else b"")

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_endless_file(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Disposition", 'attachment; filename="picture.png"')
        self.end_headers()
        while True:
            self.wfile.write(BLOCK)

    def _send_endless_frames(self) -> None:
        socket_server = WSConnection(ConnectionType.SERVER)
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        socket_server.receive_data(f"GET {self.path} HTTP/1.1\r\n{head}\r\n".encode())
        for event in socket_server.events():
            if isinstance(event, Request):
                self.wfile.write(socket_server.send(AcceptConnection()))
        frames = socket_server.send(TextMessage('{"type": "progress"}')) * 100
        while True:
            self.wfile.write(frames)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, _request: object, _address: object) -> None:
        """Ignore broken connections: floods end by closing them."""

    def shutdown_request(self, request: "socket.socket | tuple[bytes, socket.socket]") -> None:
        """Close a connection without waiting for its client."""
        if isinstance(request, socket.socket):
            request.close()


@contextmanager
def run_flooding_site() -> Iterator[str]:
    """Serve the site on loopback; yields its URL."""
    server = _Server(("127.0.0.1", 0), _Handler)
    with serve_in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}/"


def recipe(url: str, kind: str) -> str:
    """Return the recipe of one kind of page as TOML."""
    description = "Exhausts what it runs on."
    return page_recipe(f"Flooding site: {kind}", description, f"{url}?kind={kind}", "progress")


def write_recipes(folder: Path, url: str, kinds: tuple[str, ...] = KINDS) -> None:
    """Write a recipe for the calm page and for one of each kind; their names are the kinds."""
    for kind in (CALM, *kinds):
        (folder / f"{kind}.toml").write_text(recipe(url, kind))
