"""Downloads from the production server (gunicorn with gevent), and through a reverse proxy."""

import base64
import contextlib
import errno
import hashlib
import itertools
import os
import shutil
import socket
import ssl
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
import trustme
from flask.testing import FlaskClient

from api import create_app
from api.library import sendfile_body
from api.library.file_response import MAX_CONCURRENT_DOWNLOADS
from api.library.sendfile_body import FileBody, count_active_downloads
from ops.infra.settings import ROOT, Settings
from ops.processes.web_command import gunicorn_command
from stores import open_stores
from stores.library.safe_open import open_within
from tests.conftest import API_KEY, TIMEOUT_S, eventually, free_port
from tests.support.library_files import add_file_route

MIB = 1024 * 1024
LARGE_BYTES = 48 * MIB
SMALL_RECEIVER = 64 * 1024
SPARSE_BYTES = 7 * 1024 * MIB + 12_345
# At the limits of 31 and 32 bits, and around where the interrupted download resumes.
MARK_OFFSETS = (0, 2**31 - 8, 2**32 - 8, SPARSE_BYTES - 150 * MIB, SPARSE_BYTES - 40 * MIB, SPARSE_BYTES - 16)
CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


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
        process.wait(20)


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


def test_a_file_is_sent_with_its_headers(server: Server) -> None:
    """They have validators, digest, name and length, and keep browsers from opening the file."""
    stat = (server.root / "small.safetensors").stat()
    plain = server.get("small.safetensors")
    hashed = httpx.get(f"{server.url('small.safetensors')}?sha256={SHA256.upper()}", trust_env=False)

    assert (plain.status_code, plain.content) == (200, CONTENT)
    assert plain.headers["ETag"] == f'"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ino}"'
    assert "Repr-Digest" not in plain.headers
    assert hashed.headers["ETag"] == f'"sha256-{SHA256}"'
    assert hashed.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(SHA256)).decode()}:"
    for headers in (plain.headers, hashed.headers):
        assert headers["Content-Length"] == str(len(CONTENT))
        assert headers["Content-Type"] == "application/octet-stream"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Accept-Ranges"] == "bytes"
        assert headers["Last-Modified"].endswith(" GMT")
        assert headers["Cache-Control"] == "private, no-cache"
        assert headers["Content-Disposition"].startswith('attachment; filename="small.safetensors"; filename*=')


def test_head_has_the_headers_of_get(server: Server) -> None:
    """It has no body, whatever range is requested."""
    names = ("ETag", "Last-Modified", "Content-Length", "Content-Type", "Content-Disposition", "Accept-Ranges")
    whole, head = server.get("small.safetensors"), server.get("small.safetensors", "HEAD", Range="bytes=5-9")

    assert (head.status_code, head.content) == (200, b"")
    assert [whole.headers[name] for name in names] == [head.headers[name] for name in names]


def test_ranges_and_conditional_requests(server: Server) -> None:
    """Responses are 206, 416, 304 and 412; several ranges get the whole file."""
    etag = server.get("small.safetensors").headers["ETag"]
    part = server.get("small.safetensors", Range="bytes=250-259", If_Range=etag)
    known = server.get("small.safetensors", If_None_Match=etag, Range="bytes=0-1")
    beyond = server.get("small.safetensors", Range="bytes=99999999-")
    another = server.get("small.safetensors", If_Match='"another"')

    assert (part.status_code, part.content) == (206, CONTENT[250:260])
    assert (part.headers["Content-Range"], part.headers["Content-Length"]) == ("bytes 250-259/10240", "10")
    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", etag)
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */10240")
    assert beyond.json()["error"]
    assert (another.status_code, bool(another.json()["error"])) == (412, True)
    assert server.get("small.safetensors", Range="bytes=0-9", If_Range='"old"').content == CONTENT
    several = server.get("small.safetensors", Range="bytes=0-9,20-29,5-25")
    assert (several.status_code, several.content, "Content-Range" in several.headers) == (200, CONTENT, False)
    assert server.get("small.safetensors", Range="bytes=-6").content == CONTENT[-6:]


def test_an_empty_file_keeps_the_connection_open(server: Server) -> None:
    """The next request on the connection is answered."""
    with server.send_requests(
        f"GET {server.path('empty')} HTTP/1.1", f"GET {server.path('small.safetensors')} HTTP/1.1"
    ) as two:
        assert read_response(two)[1] == b""
        assert read_response(two)[1] == CONTENT
    assert server.get("empty", Range="bytes=0-").status_code == 416


def test_any_file_name_fits_into_one_header(server: Server) -> None:
    """Line ends, quotes, bidirectional controls and invalid UTF-8 are escaped."""
    for name in ("a\r\nSet-Cookie: x=1", 'q"u\\o;te', "\u202egpj.exe", "n\udce9t", "絵"):
        (server.root / name).write_bytes(b"x")
        response = server.get(name)
        assert (response.status_code, response.content) == (200, b"x")
        assert "Set-Cookie" not in response.headers
        assert response.headers["Content-Disposition"].isascii()


def test_impossible_modification_times_are_not_sent(server: Server) -> None:
    """Times before 1970 and in the future are left out."""
    path = server.root / "odd"
    path.write_bytes(b"x")
    for seconds in (-5, 2**33, 2**36):
        os.utime(path, (seconds, seconds))
        response = server.get("odd", If_Modified_Since="Sun, 06 Nov 1994 08:49:37 GMT")
        assert (response.status_code, "Last-Modified" in response.headers) == (200, False)


ODD_VALUES = (
    "", "*", "W/*", '"', '""', 'W/""', '"a", W/"b"', "," * 500, '"a' * 300, "bytes", "bytes=", "bytes=-", "bytes=--",
    "bytes=0-", "bytes=-0", "bytes=9-8", "bytes=" + "0-," * 1500, "bytes=" + "9" * 5000 + "-", "bytes=-" + "9" * 5000,
    "bytes=0-0,-1", "bytes=1-1;q=1", "lines=1-2", "bytes=\xff-\xfe", "=", "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 9999 23:59:59 GMT", "Sun, 00 Foo 0000 99:99:99 GMT", "Sun Nov  6 08:49:37 1994", "0", "-1", "1e9",
    "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:60 GMT", "NaN", "\xe9" * 100, "bytes=0-1\x80",
)  # fmt: skip
HEADER_NAMES = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Range", "If-Range")


def test_odd_headers_cause_no_server_error(server: Server) -> None:
    """Each gets a valid response with the content that it declares."""
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        for name, odd in itertools.product(HEADER_NAMES, ODD_VALUES):
            sent = [(name, odd.encode("latin-1")), *([("Range", b"bytes=1-2")] if name == "If-Range" else [])]
            response = client.get(server.url("small.safetensors"), headers=sent)
            assert response.status_code in {200, 206, 304, 412, 416}, (name, odd, response.text)
            if response.status_code == 200:
                assert response.content == CONTENT
            if response.status_code == 206:
                first, last = (int(n) for n in response.headers["Content-Range"][6:].partition("/")[0].split("-"))
                assert response.content == CONTENT[first : last + 1]


def test_pipelined_requests_are_answered_in_order(server: Server, large_file: Path) -> None:
    """Responses to files, ranges and HEAD are correct byte for byte."""
    path = server.path("large.gguf")
    lines = (
        f"GET {path} HTTP/1.1",
        f"HEAD {path} HTTP/1.1",
        f"GET {path} HTTP/1.1\r\nRange: bytes=20971520-",
        f"GET {server.path('small.safetensors')} HTTP/1.0",
    )
    content = large_file.read_bytes()
    with server.send_requests(*lines) as connection:
        assert read_response(connection)[1] == content
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert f"Content-Length: {LARGE_BYTES}".encode() in head
        assert read_response(connection)[1] == content[20 * MIB :]
        head, body = read_response(connection)
        assert (b"Connection: close" in head, body) == (True, CONTENT)
        assert connection.recv(1) == b""


@pytest.mark.parametrize("first", [0, LARGE_BYTES - 15 * MIB])
def test_a_file_that_changes_while_it_is_sent_aborts_the_connection(
    server: Server, large_file: Path, first: int
) -> None:
    """This holds for sendfile and for copies; the next request on the connection is not answered."""
    line = f"GET {server.path('large.gguf')} HTTP/1.1\r\nRange: bytes={first}-"
    with server.send_requests(line, f"GET {server.path('small.safetensors')} HTTP/1.1") as connection:
        start = read_bytes(connection, MIB)
        with large_file.open("r+b") as file:
            file.seek(LARGE_BYTES - 4)
            file.write(b"new!")
        rest = read_bytes(connection, LARGE_BYTES)

    assert start.startswith(b"HTTP/1.1 206")
    assert 0 < len(start) + len(rest) < LARGE_BYTES - first
    assert b"new!" not in rest


def test_a_file_truncated_while_it_is_sent_aborts_the_connection(server: Server, large_file: Path) -> None:
    """The body is shorter than Content-Length."""
    with server.send_requests(f"GET {server.path('large.gguf')} HTTP/1.1") as connection:
        start = read_bytes(connection, MIB)
        os.truncate(large_file, 2 * MIB)
        assert len(start) + len(read_bytes(connection, LARGE_BYTES)) < LARGE_BYTES


def test_a_file_replaced_while_it_is_sent_is_complete(server: Server, large_file: Path) -> None:
    """The client gets the old file."""
    content = large_file.read_bytes()
    with server.send_requests(f"GET {server.path('large.gguf')} HTTP/1.1") as connection:
        start = connection.recv(1)
        (server.root / "new").write_bytes(b"another")
        (server.root / "new").replace(large_file)
        head, body = read_response(connection)

    assert (start + head).startswith(b"HTTP/1.1 200")
    assert body == content


def test_a_slow_client_does_not_block_others(server: Server, large_file: Path) -> None:
    """It gets the whole file in the end."""
    with server.send_requests(f"GET {server.path('large.gguf')} HTTP/1.1") as slow:
        first = slow.recv(1)
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            for _ in range(50):
                assert client.get(server.url("small.safetensors")).content == CONTENT
        head, body = read_response(slow)
        assert (first + head).startswith(b"HTTP/1.1 200")
        assert hashlib.sha256(body).digest() == hashlib.sha256(large_file.read_bytes()).digest()


def test_concurrent_downloads_are_limited(server: Server, large_file: Path) -> None:
    """Requests above the limit get 503 with Retry-After; HEAD is not counted."""
    with contextlib.ExitStack() as stack:
        line = f"GET {server.path('large.gguf')} HTTP/1.1"
        readers = [stack.enter_context(server.send_requests(line)) for _ in range(MAX_CONCURRENT_DOWNLOADS)]
        assert {reader.recv(8) for reader in readers} == {b"HTTP/1.1"}
        refused = server.get("small.safetensors")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        assert server.get("small.safetensors", "HEAD").status_code == 200
        readers[0].close()
        eventually(lambda: server.get("small.safetensors").status_code == 200)


def test_no_file_descriptors_leak(server: Server, large_file: Path) -> None:
    """Files are closed however a response ends."""
    eventually(lambda: server.get("small.safetensors").status_code == 200)
    before = server.process.num_fds()
    etag = server.get("small.safetensors").headers["ETag"]
    for _ in range(20):
        server.get("small.safetensors", "HEAD")
        server.get("small.safetensors", If_None_Match=etag)
        server.get("small.safetensors", If_Match='"x"')
        server.get("small.safetensors", Range="bytes=99999-")
        with server.send_requests(f"GET {server.path('large.gguf')} HTTP/1.1") as aborted:
            assert aborted.recv(8) == b"HTTP/1.1"

    eventually(lambda: server.process.num_fds() <= before)


def test_a_download_of_seven_gigabytes_is_resumed(server: Server, tmp_path: Path) -> None:
    """The client has every byte in the end, and the memory of the server does not grow."""
    path, copy = server.root / "sparse.safetensors", tmp_path / "mine"
    path.touch()
    os.truncate(path, SPARSE_BYTES)
    marks = {at: os.urandom(16) for at in MARK_OFFSETS}
    with path.open("r+b") as file:
        for at, mark in marks.items():
            file.seek(at)
            file.write(mark)
    for at in MARK_OFFSETS:
        part = server.get("sparse.safetensors", Range=f"bytes={at}-{at + 15}")
        assert (part.status_code, part.content) == (206, marks[at])
    # As if all but the last part had come already.
    downloaded = SPARSE_BYTES - 200 * MIB
    copy.touch()
    os.truncate(copy, downloaded)
    before = server.process.memory_info().rss
    curl = [shutil.which("curl") or "curl", "-sSf", "--noproxy", "*", "-C", "-", "-o", str(copy), server.url(path.name)]
    with subprocess.Popen([*curl, "--limit-rate", "40M"]) as first:
        eventually(lambda: copy.stat().st_size > downloaded + 20 * MIB)
        first.kill()
    interrupted = copy.stat().st_size
    subprocess.run(curl, check=True, timeout=TIMEOUT_S)
    after = server.process.memory_info().rss

    assert downloaded < interrupted < SPARSE_BYTES == copy.stat().st_size
    assert after - before < 8 * MIB
    with path.open("rb") as original, copy.open("rb") as copied:
        for at in range(downloaded, SPARSE_BYTES, 8 * MIB):
            original.seek(at)
            copied.seek(at)
            assert original.read(8 * MIB) == copied.read(8 * MIB), at
    path.unlink()


def test_files_are_encrypted_over_tls(base_settings: Settings, tmp_path: Path) -> None:
    """The encryption is not bypassed by sendfile."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    content = os.urandom(20 * MIB)
    root = tmp_path / "models"
    root.mkdir()
    (root / "large").write_bytes(content)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    options = f"--certfile={tmp_path}/server.pem --keyfile={tmp_path}/server.pem"
    with (
        serve_files(base_settings, root, tmp_path, GUNICORN_CMD_ARGS=options) as server,
        httpx.Client(verify=context, trust_env=False) as client,
    ):
        url = server.url("large").replace("http:", "https:")
        assert client.get(url, timeout=TIMEOUT_S).content == content
        assert client.get(url, headers={"Range": "bytes=5-"}, timeout=TIMEOUT_S).content == content[5:]


def test_an_incomplete_response_closes_its_connection(tmp_path: Path) -> None:
    """No other response is written into the middle of a file."""
    (tmp_path / "large").write_bytes(CONTENT)
    server_side, client_side = socket.socketpair()
    with server_side, client_side:
        body = FileBody(open_within(tmp_path, b"large", [tmp_path]), 0, len(CONTENT), {"gunicorn.socket": server_side})
        assert next(iter(body)) == b""
        assert count_active_downloads() == 1
        body.close()
        assert client_side.recv(1) == b""
        assert count_active_downloads() == 0
        with pytest.raises(OSError, match="pipe"):
            server_side.send(b"HTTP/1.1 200 OK")


@pytest.fixture
def body_and_client(tmp_path: Path) -> Iterator[tuple[FileBody, socket.socket]]:
    """A body of 4 MiB for a connection like those of the server, and the client end of that."""
    (tmp_path / "large").write_bytes(os.urandom(4 * MIB))
    opened = open_within(tmp_path, b"large", [tmp_path])
    server_side, client_side = gevent.socket.socketpair()
    environ = {"gunicorn.socket": server_side, "SERVER_PROTOCOL": "HTTP/1.1"}
    with server_side, client_side:
        yield FileBody(opened, 1, 4 * MIB - 1, environ), client_side


@pytest.mark.parametrize("copied_bytes", [0, 4 * MIB])
def test_a_stalled_client_is_disconnected(
    body_and_client: tuple[FileBody, socket.socket], monkeypatch: pytest.MonkeyPatch, copied_bytes: int
) -> None:
    """This holds while pages are sent and while copies are sent."""
    monkeypatch.setattr(sendfile_body, "STALL_TIMEOUT_S", 0.05)
    monkeypatch.setattr(sendfile_body, "COPIED_TAIL_BYTES", copied_bytes)
    body, client = body_and_client

    with pytest.raises(ConnectionResetError, match="read nothing"):
        list(body)
    body.close()

    assert 0 < len(read_bytes(client, 4 * MIB)) < 4 * MIB - 1


@pytest.mark.parametrize("refused", [None, errno.EINVAL, errno.EIO])
def test_without_sendfile_copies_are_sent(
    body_and_client: tuple[FileBody, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    refused: int | None,
) -> None:
    """Some file systems do not support it; other errors end the response."""
    calls = []
    real_sendfile = os.sendfile

    def _sendfile(*args: int) -> int:
        calls.append(args)
        if refused:
            raise OSError(refused, "no")
        return real_sendfile(*args)

    monkeypatch.setattr(sendfile_body.os, "sendfile", _sendfile)
    monkeypatch.setattr(sendfile_body, "COPIED_TAIL_BYTES", MIB)
    body, client = body_and_client
    reading = gevent.spawn(read_bytes, client, 4 * MIB - 1)
    with pytest.raises(OSError, match="no") if refused == errno.EIO else contextlib.nullcontext():
        list(body)
    body.close()

    assert calls
    assert reading.get() == (b"" if refused == errno.EIO else (tmp_path / "large").read_bytes()[1:])


def test_dropped_and_closed_bodies_are_not_active(tmp_path: Path) -> None:
    """Active downloads are counted by the bodies alive."""
    (tmp_path / "large").write_bytes(CONTENT)
    opened = open_within(tmp_path, b"large", [tmp_path])
    dropped = FileBody(opened, 0, 5, {})
    assert count_active_downloads() == 1
    del dropped
    assert count_active_downloads() == 0
    sent = FileBody(opened, 2, 3, {})
    assert b"".join(sent) == CONTENT[2:5]
    sent.close()
    assert (count_active_downloads(), opened.file.closed) == (0, True)


@pytest.fixture
def proxied_clients(base_settings: Settings, tmp_path: Path) -> Iterator[dict[str, FlaskClient]]:
    """Apps that leave the sending to a proxy, by setting; the file is in the second of two roots."""
    roots = (tmp_path / "one", tmp_path / "two")
    for root in roots:
        root.mkdir()
    (roots[1] / 'ü?%\n".gguf').write_bytes(CONTENT)
    (roots[0] / "link").symlink_to(roots[1])
    nowhere = f"unix://{tmp_path / 'none.sock'}?db=0"
    clients, opened = {}, []
    for sender in ("x-accel-redirect", "x-sendfile"):
        settings = replace(
            base_settings,
            data_dir=tmp_path,
            api_key=API_KEY,
            redis_url=nowhere,
            broker_url=nowhere,
            database_url=f"sqlite:///{tmp_path / 'x.sqlite3'}",
            models_dir=roots,
            downloads_by=sender,
        )
        opened.append(open_stores(settings))
        clients[sender] = add_file_route(create_app(opened[-1])).test_client()
    yield clients
    for stores in opened:
        stores.close()


PROXIED_PATH = "/files/" + 'link/ü?%\n".gguf'.encode().hex()


def test_proxy_headers_name_the_real_file(proxied_clients: dict[str, FlaskClient], tmp_path: Path) -> None:
    """The name is escaped; the body is empty, and the proxy handles ranges."""
    accel = proxied_clients["x-accel-redirect"].get(PROXIED_PATH, headers={"Range": "bytes=99999-"})
    sendfile = proxied_clients["x-sendfile"].head(PROXIED_PATH)
    stat = next((tmp_path / "two").iterdir()).stat()

    assert (accel.status_code, accel.data, "Content-Range" in accel.headers) == (200, b"", False)
    assert accel.headers["X-Accel-Redirect"] == "/darkroom-models/1/%C3%BC%3F%25%0A%22.gguf"
    assert accel.headers["ETag"] == f'"{int(stat.st_mtime):x}-{stat.st_size:x}"'
    assert sendfile.headers["X-Sendfile"] == f"{tmp_path}/two/%C3%BC%3F%25%0A%22.gguf"
    for response in (accel, sendfile):
        assert response.headers["Content-Disposition"].startswith('attachment; filename="u_')
        assert response.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("sender", ["x-accel-redirect", "x-sendfile"])
def test_with_a_proxy_conditions_and_containment_are_checked(
    proxied_clients: dict[str, FlaskClient], sender: str
) -> None:
    """Responses with 304, 412, 403 and 404 have no proxy header."""
    client = proxied_clients[sender]
    etag = client.get(PROXIED_PATH).headers["ETag"]
    responses = [
        client.get(PROXIED_PATH, headers={"If-None-Match": etag}),
        client.get(PROXIED_PATH, headers={"If-Match": '"x"'}),
        client.get(f"/files/{b'../x.sqlite3'.hex()}"),
        client.get(f"/files/{b'none'.hex()}"),
    ]

    assert [response.status_code for response in responses] == [304, 412, 403, 404]
    assert not [response for response in responses if {"X-Accel-Redirect", "X-Sendfile"} & set(response.headers.keys())]
