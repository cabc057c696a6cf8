"""Files of the library over HTTP, from the server that sends them in production, and by way of a proxy."""

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
# Where numbers of 31 and 32 bits end, and around where an interrupted download goes on.
MARKED = (0, 2**31 - 8, 2**32 - 8, SPARSE_BYTES - 150 * MIB, SPARSE_BYTES - 40 * MIB, SPARSE_BYTES - 16)
CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass(frozen=True)
class Server:
    """A front under gunicorn: where it listens, the process that answers, the folder it serves."""

    port: int
    process: psutil.Process
    root: Path

    def url(self, name: str) -> str:
        """The address of a file."""
        return f"http://127.0.0.1:{self.port}{self.path(name)}"

    def path(self, name: str) -> str:
        """The same without the host."""
        return f"/files/{os.fsencode(name).hex()}"

    def get(self, name: str, method: str = "GET", **headers: str) -> httpx.Response:
        """An answer about a file; underscores in the names of headers are hyphens."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return httpx.request(method, self.url(name), headers=named, timeout=TIMEOUT_S, trust_env=False)

    @contextmanager
    def asked(self, *lines: str) -> Iterator[socket.socket]:
        """A connection with little room, on which these requests were sent at once."""
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_RECEIVER)
            connection.settimeout(TIMEOUT_S)
            connection.connect(("127.0.0.1", self.port))
            connection.sendall("".join(f"{line}\r\nHost: x\r\n\r\n" for line in lines).encode())
            yield connection


@contextmanager
def serving(base: Settings, root: Path, folder: Path, **environment: str) -> Iterator[Server]:
    """The front as it is served in production, with files."""
    settings = replace(base, port=free_port())
    ours = {
        "DATA_DIR": str(folder),
        "API_KEY": API_KEY,
        "MODELS_DIR": str(root),
        "LOG_LEVEL": "warning",
        "LOG_FORMAT": "json",
    }
    command = gunicorn_command(settings, "tests.support.library_files:application()")
    with (folder / "web.log").open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **ours, **environment}, stdout=out, stderr=out)
    try:
        eventually(lambda: _listens(settings.port))
        workers = psutil.Process(process.pid).children()
        yield Server(settings.port, workers[0], root)
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    """Whether somebody has looked at what was sent: with an answer, or, where TLS is expected, by going away."""
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
    """One for all tests of this module."""
    with tempfile.TemporaryDirectory(prefix="dr-files-") as name:
        folder = Path(name)
        root = folder / "models"
        root.mkdir()
        (root / "small.safetensors").write_bytes(CONTENT)
        (root / "empty").touch()
        with serving(base_settings, root, folder) as server:
            yield server


@pytest.fixture
def large(server: Server) -> Iterator[Path]:
    """A file of which only a part fits between server and client."""
    path = server.root / "large.gguf"
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(LARGE_BYTES // MIB):
            file.write(number.to_bytes(4, "big") + block[4:])
    yield path
    path.unlink()


def read_answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of the next answer, of which nothing more is read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        more = connection.recv(1)
        assert more, head
        head += more
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
    return head, read(connection, length)


def read(connection: socket.socket, most: int) -> bytes:
    """So many bytes, or fewer if the connection ends."""
    found = bytearray()
    # The other side may have closed with something still unread.
    with contextlib.suppress(ConnectionError):
        while len(found) < most and (more := connection.recv(min(MIB, most - len(found)))):
            found += more
    return bytes(found)


def test_a_file_is_sent_with_all_that_is_known_of_it(server: Server) -> None:
    """Validators, digest, name, length; nothing that a browser would open."""
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


def test_head_says_what_get_would(server: Server) -> None:
    """The same headers and no body, whatever part is asked for."""
    ours = ("ETag", "Last-Modified", "Content-Length", "Content-Type", "Content-Disposition", "Accept-Ranges")
    whole, head = server.get("small.safetensors"), server.get("small.safetensors", "HEAD", Range="bytes=5-9")

    assert (head.status_code, head.content) == (200, b"")
    assert [whole.headers[name] for name in ours] == [head.headers[name] for name in ours]


def test_parts_and_conditions_are_answered(server: Server) -> None:
    """206, 416, 304, 412; several parts at once are one whole."""
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


def test_an_empty_file_is_sent_as_nothing(server: Server) -> None:
    """And the connection goes on."""
    with server.asked(
        f"GET {server.path('empty')} HTTP/1.1", f"GET {server.path('small.safetensors')} HTTP/1.1"
    ) as two:
        assert read_answer(two)[1] == b""
        assert read_answer(two)[1] == CONTENT
    assert server.get("empty", Range="bytes=0-").status_code == 416


def test_a_name_of_any_kind_is_sent_in_one_header(server: Server) -> None:
    """Line ends, quotes, marks of direction, what is no UTF-8."""
    for name in ("a\r\nSet-Cookie: x=1", 'q"u\\o;te', "\u202egpj.exe", "n\udce9t", "絵"):
        (server.root / name).write_bytes(b"x")
        answer = server.get(name)
        assert (answer.status_code, answer.content) == (200, b"x")
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Content-Disposition"].isascii()


def test_a_time_that_cannot_be_is_not_told(server: Server) -> None:
    """Before 1970, or still to come."""
    path = server.root / "odd"
    path.write_bytes(b"x")
    for seconds in (-5, 2**33, 2**36):
        os.utime(path, (seconds, seconds))
        answer = server.get("odd", If_Modified_Since="Sun, 06 Nov 1994 08:49:37 GMT")
        assert (answer.status_code, "Last-Modified" in answer.headers) == (200, False)


ODD = (
    "", "*", "W/*", '"', '""', 'W/""', '"a", W/"b"', "," * 500, '"a' * 300, "bytes", "bytes=", "bytes=-", "bytes=--",
    "bytes=0-", "bytes=-0", "bytes=9-8", "bytes=" + "0-," * 1500, "bytes=" + "9" * 5000 + "-", "bytes=-" + "9" * 5000,
    "bytes=0-0,-1", "bytes=1-1;q=1", "lines=1-2", "bytes=\xff-\xfe", "=", "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 9999 23:59:59 GMT", "Sun, 00 Foo 0000 99:99:99 GMT", "Sun Nov  6 08:49:37 1994", "0", "-1", "1e9",
    "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:60 GMT", "NaN", "\xe9" * 100, "bytes=0-1\x80",
)  # fmt: skip
NAMES = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Range", "If-Range")


def test_no_header_however_odd_is_a_fault(server: Server) -> None:
    """Each is answered as something, and what is sent is what the answer says it is."""
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        for name, odd in itertools.product(NAMES, ODD):
            sent = [(name, odd.encode("latin-1")), *([("Range", b"bytes=1-2")] if name == "If-Range" else [])]
            answer = client.get(server.url("small.safetensors"), headers=sent)
            assert answer.status_code in {200, 206, 304, 412, 416}, (name, odd, answer.text)
            if answer.status_code == 200:
                assert answer.content == CONTENT
            if answer.status_code == 206:
                first, last = (int(n) for n in answer.headers["Content-Range"][6:].partition("/")[0].split("-"))
                assert answer.content == CONTENT[first : last + 1]


def test_a_connection_goes_on_after_a_file_and_after_a_part(server: Server, large: Path) -> None:
    """Requests sent at once are answered one after the other, byte for byte."""
    path = server.path("large.gguf")
    lines = (
        f"GET {path} HTTP/1.1",
        f"HEAD {path} HTTP/1.1",
        f"GET {path} HTTP/1.1\r\nRange: bytes=20971520-",
        f"GET {server.path('small.safetensors')} HTTP/1.0",
    )
    content = large.read_bytes()
    with server.asked(*lines) as connection:
        assert read_answer(connection)[1] == content
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert f"Content-Length: {LARGE_BYTES}".encode() in head
        assert read_answer(connection)[1] == content[20 * MIB :]
        head, body = read_answer(connection)
        assert (b"Connection: close" in head, body) == (True, CONTENT)
        assert connection.recv(1) == b""


@pytest.mark.parametrize("first", [0, LARGE_BYTES - 15 * MIB])
def test_a_file_that_changes_meanwhile_is_not_sent_to_its_end(server: Server, large: Path, first: int) -> None:
    """Whether its pages are sent or copies: the connection ends, and the next request on it is not answered."""
    line = f"GET {server.path('large.gguf')} HTTP/1.1\r\nRange: bytes={first}-"
    with server.asked(line, f"GET {server.path('small.safetensors')} HTTP/1.1") as connection:
        begun = read(connection, MIB)
        with large.open("r+b") as file:
            file.seek(LARGE_BYTES - 4)
            file.write(b"new!")
        rest = read(connection, LARGE_BYTES)

    assert begun.startswith(b"HTTP/1.1 206")
    assert 0 < len(begun) + len(rest) < LARGE_BYTES - first
    assert b"new!" not in rest


def test_a_file_that_is_cut_off_meanwhile_ends_the_connection(server: Server, large: Path) -> None:
    """It is shorter than was said."""
    with server.asked(f"GET {server.path('large.gguf')} HTTP/1.1") as connection:
        begun = read(connection, MIB)
        os.truncate(large, 2 * MIB)
        assert len(begun) + len(read(connection, LARGE_BYTES)) < LARGE_BYTES


def test_a_file_that_is_replaced_meanwhile_is_sent_as_it_was(server: Server, large: Path) -> None:
    """Whoever has begun gets the old one whole."""
    content = large.read_bytes()
    with server.asked(f"GET {server.path('large.gguf')} HTTP/1.1") as connection:
        begun = connection.recv(1)
        (server.root / "new").write_bytes(b"another")
        (server.root / "new").replace(large)
        head, body = read_answer(connection)

    assert (begun + head).startswith(b"HTTP/1.1 200")
    assert body == content


def test_who_reads_slowly_keeps_nobody_waiting(server: Server, large: Path) -> None:
    """And gets it all in the end."""
    with server.asked(f"GET {server.path('large.gguf')} HTTP/1.1") as slow:
        first = slow.recv(1)
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            for _ in range(50):
                assert client.get(server.url("small.safetensors")).content == CONTENT
        head, body = read_answer(slow)
        assert (first + head).startswith(b"HTTP/1.1 200")
        assert hashlib.sha256(body).digest() == hashlib.sha256(large.read_bytes()).digest()


def test_only_so_many_are_sent_at_once(server: Server, large: Path) -> None:
    """Then 503 with Retry-After, until one of them is over; asking about files is not sending them."""
    with contextlib.ExitStack() as stack:
        line = f"GET {server.path('large.gguf')} HTTP/1.1"
        readers = [stack.enter_context(server.asked(line)) for _ in range(MAX_CONCURRENT_DOWNLOADS)]
        assert {reader.recv(8) for reader in readers} == {b"HTTP/1.1"}
        refused = server.get("small.safetensors")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        assert server.get("small.safetensors", "HEAD").status_code == 200
        readers[0].close()
        eventually(lambda: server.get("small.safetensors").status_code == 200)


def test_files_and_connections_are_let_go(server: Server, large: Path) -> None:
    """However an answer ends."""
    eventually(lambda: server.get("small.safetensors").status_code == 200)
    before = server.process.num_fds()
    etag = server.get("small.safetensors").headers["ETag"]
    for _ in range(20):
        server.get("small.safetensors", "HEAD")
        server.get("small.safetensors", If_None_Match=etag)
        server.get("small.safetensors", If_Match='"x"')
        server.get("small.safetensors", Range="bytes=99999-")
        with server.asked(f"GET {server.path('large.gguf')} HTTP/1.1") as gone:
            assert gone.recv(8) == b"HTTP/1.1"

    eventually(lambda: server.process.num_fds() <= before)


def test_a_file_of_seven_gigabytes_is_fetched_in_the_end(server: Server, tmp_path: Path) -> None:
    """Interrupted and resumed by curl, byte for byte; the server's memory stays as it was."""
    path, mine = server.root / "sparse.safetensors", tmp_path / "mine"
    path.touch()
    os.truncate(path, SPARSE_BYTES)
    marks = {at: os.urandom(16) for at in MARKED}
    with path.open("r+b") as file:
        for at, mark in marks.items():
            file.seek(at)
            file.write(mark)
    for at in MARKED:
        part = server.get("sparse.safetensors", Range=f"bytes={at}-{at + 15}")
        assert (part.status_code, part.content) == (206, marks[at])
    # As if all but the last part had come already.
    had = SPARSE_BYTES - 200 * MIB
    mine.touch()
    os.truncate(mine, had)
    before = server.process.memory_info().rss
    curl = [shutil.which("curl") or "curl", "-sSf", "--noproxy", "*", "-C", "-", "-o", str(mine), server.url(path.name)]
    with subprocess.Popen([*curl, "--limit-rate", "40M"]) as first:
        eventually(lambda: mine.stat().st_size > had + 20 * MIB)
        first.kill()
    interrupted = mine.stat().st_size
    subprocess.run(curl, check=True, timeout=TIMEOUT_S)
    after = server.process.memory_info().rss

    assert had < interrupted < SPARSE_BYTES == mine.stat().st_size
    assert after - before < 8 * MIB
    with path.open("rb") as theirs, mine.open("rb") as ours:
        for at in range(had, SPARSE_BYTES, 8 * MIB):
            theirs.seek(at)
            ours.seek(at)
            assert theirs.read(8 * MIB) == ours.read(8 * MIB), at
    path.unlink()


def test_over_tls_it_is_the_same_file(base_settings: Settings, tmp_path: Path) -> None:
    """What the kernel would send past the encryption is encrypted."""
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
        serving(base_settings, root, tmp_path, GUNICORN_CMD_ARGS=options) as server,
        httpx.Client(verify=context, trust_env=False) as client,
    ):
        url = server.url("large").replace("http:", "https:")
        assert client.get(url, timeout=TIMEOUT_S).content == content
        assert client.get(url, headers={"Range": "bytes=5-"}, timeout=TIMEOUT_S).content == content[5:]


def test_what_is_not_sent_to_its_end_takes_its_connection_along(tmp_path: Path) -> None:
    """Whoever stops the sending: nothing else is ever written into the middle of a file."""
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
def ends(tmp_path: Path) -> Iterator[tuple[FileBody, socket.socket]]:
    """The body of a file of 4 MiB for a connection as the server has them, and the client's end of that."""
    (tmp_path / "large").write_bytes(os.urandom(4 * MIB))
    opened = open_within(tmp_path, b"large", [tmp_path])
    server_side, client_side = gevent.socket.socketpair()
    environ = {"gunicorn.socket": server_side, "SERVER_PROTOCOL": "HTTP/1.1"}
    with server_side, client_side:
        yield FileBody(opened, 1, 4 * MIB - 1, environ), client_side


@pytest.mark.parametrize("copied_bytes", [0, 4 * MIB])
def test_who_takes_nothing_is_let_go(
    ends: tuple[FileBody, socket.socket], monkeypatch: pytest.MonkeyPatch, copied_bytes: int
) -> None:
    """Whether its pages are sent or copies; what the client still finds is how it ends."""
    monkeypatch.setattr(sendfile_body, "STALL_TIMEOUT_S", 0.05)
    monkeypatch.setattr(sendfile_body, "COPIED_TAIL_BYTES", copied_bytes)
    body, client = ends

    with pytest.raises(ConnectionResetError, match="read nothing"):
        list(body)
    body.close()

    assert 0 < len(read(client, 4 * MIB)) < 4 * MIB - 1


@pytest.mark.parametrize("refused", [None, errno.EINVAL, errno.EIO])
def test_where_the_kernel_cannot_send_copies_are_sent(
    ends: tuple[FileBody, socket.socket], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: int | None
) -> None:
    """Some file systems have no sendfile; a disk that cannot be read is another matter."""
    calls = []
    kernels = os.sendfile

    def _sendfile(*words: int) -> int:
        calls.append(words)
        if refused:
            raise OSError(refused, "no")
        return kernels(*words)

    monkeypatch.setattr(sendfile_body.os, "sendfile", _sendfile)
    monkeypatch.setattr(sendfile_body, "COPIED_TAIL_BYTES", MIB)
    body, client = ends
    reading = gevent.spawn(read, client, 4 * MIB - 1)
    with pytest.raises(OSError, match="no") if refused == errno.EIO else contextlib.nullcontext():
        list(body)
    body.close()

    assert calls
    assert reading.get() == (b"" if refused == errno.EIO else (tmp_path / "large").read_bytes()[1:])


def test_an_answer_that_is_dropped_is_not_counted(tmp_path: Path) -> None:
    """Nor is one that was sent."""
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
def proxied(base_settings: Settings, tmp_path: Path) -> Iterator[dict[str, FlaskClient]]:
    """Fronts that leave the sending to a proxy, by setting; the file lies in the second of two roots."""
    roots = (tmp_path / "one", tmp_path / "two")
    for root in roots:
        root.mkdir()
    (roots[1] / 'ü?%\n".gguf').write_bytes(CONTENT)
    (roots[0] / "link").symlink_to(roots[1])
    nowhere = f"unix://{tmp_path / 'none.sock'}?db=0"
    clients, opened = {}, []
    for way in ("x-accel-redirect", "x-sendfile"):
        settings = replace(
            base_settings,
            data_dir=tmp_path,
            api_key=API_KEY,
            redis_url=nowhere,
            broker_url=nowhere,
            database_url=f"sqlite:///{tmp_path / 'x.sqlite3'}",
            models_dir=roots,
            downloads_by=way,
        )
        opened.append(open_stores(settings))
        clients[way] = add_file_route(create_app(opened[-1])).test_client()
    yield clients
    for stores in opened:
        stores.close()


FOREIGN = "/files/" + 'link/ü?%\n".gguf'.encode().hex()


def test_a_proxy_is_told_what_to_send(proxied: dict[str, FlaskClient], tmp_path: Path) -> None:
    """Where the file really is, escaped; no byte of it, and no part: that is the proxy's."""
    accel = proxied["x-accel-redirect"].get(FOREIGN, headers={"Range": "bytes=99999-"})
    sendfile = proxied["x-sendfile"].head(FOREIGN)
    stat = next((tmp_path / "two").iterdir()).stat()

    assert (accel.status_code, accel.data, "Content-Range" in accel.headers) == (200, b"", False)
    assert accel.headers["X-Accel-Redirect"] == "/darkroom-models/1/%C3%BC%3F%25%0A%22.gguf"
    assert accel.headers["ETag"] == f'"{int(stat.st_mtime):x}-{stat.st_size:x}"'
    assert sendfile.headers["X-Sendfile"] == f"{tmp_path}/two/%C3%BC%3F%25%0A%22.gguf"
    for answer in (accel, sendfile):
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="u_')
        assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("way", ["x-accel-redirect", "x-sendfile"])
def test_before_a_proxy_conditions_and_containment_hold(proxied: dict[str, FlaskClient], way: str) -> None:
    """304, 412 and 403 are ours; and then no proxy is told of a file."""
    client = proxied[way]
    etag = client.get(FOREIGN).headers["ETag"]
    answers = [
        client.get(FOREIGN, headers={"If-None-Match": etag}),
        client.get(FOREIGN, headers={"If-Match": '"x"'}),
        client.get(f"/files/{b'../x.sqlite3'.hex()}"),
        client.get(f"/files/{b'none'.hex()}"),
    ]

    assert [answer.status_code for answer in answers] == [304, 412, 403, 404]
    assert not [answer for answer in answers if {"X-Accel-Redirect", "X-Sendfile"} & set(answer.headers.keys())]
