"""Downloads of files that change meanwhile, and of large ones."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from api.library.sendfile_body import FileBody, count_active_downloads
from stores.library.safe_open import open_within
from tests.conftest import TIMEOUT_S, eventually
from tests.integration.library.downloads.conftest import CONTENT, LARGE_BYTES, MIB, Server, read_bytes, read_response

SPARSE_BYTES = 7 * 1024 * MIB + 12_345


# At the limits of 31 and 32 bits, and around where the interrupted download resumes.
MARK_OFFSETS = (0, 2**31 - 8, 2**32 - 8, SPARSE_BYTES - 150 * MIB, SPARSE_BYTES - 40 * MIB, SPARSE_BYTES - 16)


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
