"""Servers that send files, and what clients see of them."""

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import gevent.socket
import httpx
import psutil
import pytest

from api.library.sendfile_body import FileBody
from ops.infra.settings import ROOT, Settings
from ops.processes.web_command import free_port, gunicorn_command
from stores.library.safe_open import open_within
from tests.conftest import API_KEY, TIMEOUT_S, eventually

MIB = 1024 * 1024


LARGE_BYTES = 48 * MIB


SMALL_RECEIVER = 64 * 1024


CONTENT = bytes(range(256)) * 40


@dataclass(frozen=True)
class Server:
    """An app under gunicorn: its port, the worker process, the folder that it serves."""

    port: int
    process: psutil.Process
    root: Path

    def url(self, name: str) -> str:
        """Return the URL of a file."""
        return f"http://127.0.0.1:{self.port}{self.path(name)}"

    def path(self, name: str) -> str:
        """Return the URL path of a file."""
        return f"/files/{os.fsencode(name).hex()}"

    def get(self, name: str, method: str = "GET", **headers: str) -> httpx.Response:
        """Request a file; underscores in header names are hyphens."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return httpx.request(method, self.url(name), headers=named, timeout=TIMEOUT_S, trust_env=False)

    @contextmanager
    def send_requests(self, *lines: str) -> Iterator[socket.socket]:
        """Open a connection with a small receive buffer and send these requests at once."""
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_RECEIVER)
            connection.settimeout(TIMEOUT_S)
            connection.connect(("127.0.0.1", self.port))
            connection.sendall("".join(f"{line}\r\nHost: x\r\n\r\n" for line in lines).encode())
            yield connection


@contextmanager
def serve_files(base: Settings, root: Path, folder: Path, **environment: str) -> Iterator[Server]:
    """Run the app as in production, with a route for files."""
    settings = replace(base, port=free_port())
    variables = {
        "DATA_DIR": str(folder),
        "API_KEY": API_KEY,
        "MODELS_DIR": str(root),
        "LOG_LEVEL": "warning",
        "LOG_FORMAT": "json",
    }
    command = gunicorn_command(settings, "tests.support.library_files:application()")
    with (folder / "web.log").open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **variables, **environment}, stdout=out, stderr=out
        )
    try:
        eventually(lambda: _is_listening(settings.port))
        workers = psutil.Process(process.pid).children()
        yield Server(settings.port, workers[0], root)
    finally:
        process.terminate()
        process.wait(60)


def _is_listening(port: int) -> bool:
    """Whether the server answers, or closes the connection because it expects TLS."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as probe:
            probe.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return probe.recv(1) == b"H"
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        return True


@pytest.fixture(scope="module")
def server(base_settings: Settings) -> Iterator[Server]:
    """One server for all tests of this module."""
    with tempfile.TemporaryDirectory(prefix="dr-files-") as name:
        folder = Path(name)
        root = folder / "models"
        root.mkdir()
        (root / "small.safetensors").write_bytes(CONTENT)
        (root / "empty").touch()
        with serve_files(base_settings, root, folder) as server:
            yield server


@pytest.fixture
def large_file(server: Server) -> Iterator[Path]:
    """A file larger than all buffers between server and client."""
    path = server.root / "large.gguf"
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(LARGE_BYTES // MIB):
            file.write(number.to_bytes(4, "big") + block[4:])
    yield path
    path.unlink()


def read_response(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read exactly one response; return its head and body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        more = connection.recv(1)
        assert more, head
        head += more
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
    return head, read_bytes(connection, length)


def read_bytes(connection: socket.socket, count: int) -> bytes:
    """Read up to ``count`` bytes, fewer if the connection ends."""
    data = bytearray()
    # The other side may have closed with something still unread.
    with contextlib.suppress(ConnectionError):
        while len(data) < count and (more := connection.recv(min(MIB, count - len(data)))):
            data += more
    return bytes(data)


@pytest.fixture
def body_and_client(tmp_path: Path) -> Iterator[tuple[FileBody, socket.socket]]:
    """A body of 4 MiB for a connection like those of the server, and the client end of that."""
    (tmp_path / "large").write_bytes(os.urandom(4 * MIB))
    opened = open_within(tmp_path, b"large", [tmp_path])
    server_side, client_side = gevent.socket.socketpair()
    environ = {"gunicorn.socket": server_side, "SERVER_PROTOCOL": "HTTP/1.1"}
    with server_side, client_side:
        yield FileBody(opened, 1, 4 * MIB - 1, environ), client_side
