"""Downloads over TLS, without sendfile and behind proxies."""

import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gevent.socket
import httpx
import pytest
import trustme
from flask.testing import FlaskClient

from api import create_app
from api.library import sendfile_body
from api.library.sendfile_body import FileBody
from ops.infra.settings import Settings
from stores import open_stores
from tests.conftest import API_KEY, TIMEOUT_S
from tests.integration.library.downloads.conftest import CONTENT, MIB, read_bytes, serve_files
from tests.support.library_files import add_file_route


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
        httpx.Client(verify=context, timeout=TIMEOUT_S, trust_env=False) as client,
    ):
        url = server.url("large").replace("http:", "https:")
        assert client.get(url, timeout=TIMEOUT_S).content == content
        assert client.get(url, headers={"Range": "bytes=5-"}, timeout=TIMEOUT_S).content == content[5:]


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
