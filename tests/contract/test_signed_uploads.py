"""Signed URLs for uploads: on a real S3 server, and as the other clouds want them."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ops.infra.settings import SettingsError
from schemas.errors import NotFound
from stores.media import Media
from tests.conftest import TIMEOUT_S, eventually
from tests.support.s3_server import S3Server, serve_s3

KEY = "scratch/0123456789abcdef"
LIFETIME_S = 600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running server."""
    with serve_s3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def media(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Media:
    """The media store in the server's bucket."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return Media(server.media_url)


def put(url: str, body: bytes, **headers: str) -> int:
    """Upload as a browser does; return the status."""
    return httpx.put(url, content=body, headers=headers, timeout=TIMEOUT_S, trust_env=False).status_code


def sign(media: Media, lifetime_s: int = LIFETIME_S) -> str:
    """Return the signed URL of KEY."""
    signed = media.sign_upload(KEY, lifetime_s)
    assert signed is not None
    assert signed.headers == {}
    return signed.url


def test_a_signed_url_takes_an_object_of_any_type(media: Media) -> None:
    """The client may send any Content-Type, because only the host is signed."""
    url = sign(media)
    assert parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"] == ["host"]
    with pytest.raises(NotFound):
        media.size(KEY)
    for content_type in ("image/png", "application/x-anything"):
        assert put(url, content_type.encode(), **{"Content-Type": content_type}) == 200

    assert media.get(KEY) == b"application/x-anything"
    assert media.size(KEY) == 22
    media.delete(KEY)
    assert not media.exists(KEY)


def test_a_signed_url_is_good_for_one_key_and_a_limited_time(media: Media) -> None:
    """The server refuses another key, a changed signature, and an expired URL."""
    url, short = sign(media), sign(media, 1)
    for changed in (url.replace(KEY, f"{KEY}0"), url.replace("Signature=", "Signature=0"), url.partition("?")[0]):
        assert put(changed, b"forged") >= 400

    eventually(lambda: put(short, b"late") >= 400)
    assert not media.exists(f"{KEY}0")


def test_parts_of_objects_are_read(tmp_path: Path) -> None:
    """The size is that of the whole object."""
    store = Media((tmp_path / "media").as_uri())
    store.put(KEY, b"0123456789")
    opened = store.open(KEY, (2, 5))

    assert b"".join(opened.chunks) == b"234"
    assert opened.size_bytes == 10


def test_clients_may_reach_the_server_under_another_name(server: S3Server, media: Media) -> None:
    """URLs are signed for that name; Darkroom itself uses the other one."""
    public = server.endpoint.replace("127.0.0.1", "localhost")
    behind_proxy = Media(server.media_url, public)
    signed = behind_proxy.sign_upload(KEY, LIFETIME_S)

    assert signed is not None
    assert signed.url.startswith(f"{public}/")
    assert put(signed.url, b"by another name") == 200
    assert behind_proxy.get(KEY) == media.get(KEY) == b"by another name"


def test_a_folder_has_no_signed_urls_and_no_other_name(tmp_path: Path) -> None:
    """Uploads to a folder pass the web process."""
    url = (tmp_path / "media").as_uri()

    assert Media(url).sign_upload(KEY, LIFETIME_S) is None
    with pytest.raises(SettingsError, match="MEDIA_PUBLIC_ENDPOINT"):
        Media(url, "https://pictures.example.org")


def test_google_and_azure_sign_without_asking_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure wants a header that no URL can hold; Google signs the host only."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    account = {"type": "service_account", "client_email": "a@b.iam", "private_key_id": "1", "private_key": pem.decode()}
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    google = Media("gs://bucket/darkroom").sign_upload(KEY, LIFETIME_S)
    azure = Media("az://container/darkroom").sign_upload(KEY, LIFETIME_S)

    assert google is not None
    assert azure is not None
    assert parse_qs(urlsplit(google.url).query)["X-Goog-SignedHeaders"] == ["host"]
    assert google.headers == {}
    assert urlsplit(azure.url).path == f"/container/darkroom/{KEY}"
    assert azure.headers == {"x-ms-blob-type": "BlockBlob"}
