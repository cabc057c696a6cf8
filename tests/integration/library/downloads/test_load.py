"""Downloads by slow and many clients."""

import contextlib
import hashlib
import socket
from pathlib import Path

import httpx
import pytest

from api.library import sendfile_body
from api.library.file_response import MAX_CONCURRENT_DOWNLOADS
from api.library.sendfile_body import FileBody, count_active_downloads
from stores.library.safe_open import open_within
from tests.conftest import TIMEOUT_S, eventually
from tests.integration.library.downloads.conftest import CONTENT, MIB, Server, read_bytes, read_response


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
