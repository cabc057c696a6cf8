"""Permanent objects, on disk and as a cloud's store is asked for them."""

import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ops.infra.settings import SettingsError
from schemas.errors import NotFound, Unavailable
from stores.media import CHUNK_BYTES, Media

KEY, OTHER = "library/0123abc.png", "uploads/0123abc"
LATER = 2**45
LARGE = bytes(range(256)) * 45_000


@pytest.fixture
def media(tmp_path: Path) -> Media:
    """The store under test, in a folder that is not there yet and has a name with a space in it."""
    return Media((tmp_path / "some media").as_uri())


def listed(media: Media, prefix: str, before_ms: int = LATER) -> list[str]:
    """The keys of a folder."""
    return sorted(key for keys in media.list_older_than(prefix, before_ms) for key in keys)


@pytest.mark.parametrize("data", [b"", b"bytes", LARGE])
def test_what_is_put_is_got(media: Media, data: bytes) -> None:
    """From memory and from a file, to memory, to a file and in pieces."""
    media.put(KEY, data)
    media.put_file(OTHER, io.BytesIO(data))
    file = io.BytesIO()
    opened = media.open(KEY)
    pieces = list(opened.chunks)

    assert media.get(OTHER) == data
    assert media.copy_to(KEY, file) == len(data)
    assert file.getvalue() == data
    assert opened.size_bytes == len(data)
    assert b"".join(pieces) == data
    assert max(map(len, pieces), default=0) <= 2 * CHUNK_BYTES


def test_a_file_is_put_from_its_beginning(media: Media, tmp_path: Path) -> None:
    """Wherever it was read or written last."""
    with (tmp_path / "file").open("w+b") as file:
        file.write(LARGE)
        media.put_file(KEY, file)

    assert media.get(KEY) == LARGE


def test_a_new_object_takes_the_place_of_the_old(media: Media) -> None:
    """Whoever reads the old one reads it to its end."""
    media.put(KEY, LARGE)
    opened = media.open(KEY)
    first = next(opened.chunks)
    media.put(KEY, b"new")

    assert first + b"".join(opened.chunks) == LARGE
    assert media.get(KEY) == b"new"


@pytest.mark.parametrize(
    "key",
    [
        "library/none.png",
        "library",
        "",
        "/etc/passwd",
        "../test.sqlite3",
        "library/../../etc/passwd",
        "library/%2e%2e/x",
        "library/a.png#1",
        "library/a.png\n",
        "library/ä.png",
        "library//a.png",
        "Library/A.PNG",
        "library/" + "a" * 300,
    ],
)
def test_what_is_not_there_is_not_found(media: Media, key: str) -> None:
    """And can be deleted all the same; a key that cannot be is like one that is not."""
    media.put(KEY, b"bytes")
    for look in (media.get, media.open, lambda key: media.copy_to(key, io.BytesIO())):
        with pytest.raises(NotFound):
            look(key)
    assert not media.exists(key)
    media.delete(key)

    assert media.get(KEY) == b"bytes"


@pytest.mark.parametrize("key", ["../a.png", "library/Ärger.png", "library/a b.png", "a.png", "library/.hidden"])
def test_nothing_is_put_under_a_foreign_name(media: Media, key: str) -> None:
    """Keys are words that Darkroom has made: any other one is a fault of ours."""
    with pytest.raises(ValueError, match="not a media key"):
        media.put(key, b"bytes")


def test_what_is_deleted_is_gone(media: Media) -> None:
    """Once and for all, and it may be deleted twice."""
    media.put(KEY, b"bytes")
    assert media.exists(KEY)
    media.delete(KEY)
    media.delete(KEY)

    assert not media.exists(KEY)


def test_objects_are_listed_by_folder_and_age(media: Media, tmp_path: Path) -> None:
    """Only those of the folder, put before the time."""
    media.put(KEY, b"old")
    media.put("library/new.png", b"new")
    media.put(OTHER, b"elsewhere")
    os.utime(tmp_path / "some media" / KEY, (1000, 1000))

    assert listed(media, "library") == [KEY, "library/new.png"]
    assert listed(media, "library", before_ms=2_000_000) == [KEY]
    assert listed(media, "nowhere") == []


def test_a_half_written_object_is_not_there_and_is_dropped_in_time(media: Media, tmp_path: Path) -> None:
    """As a process leaves it that is killed in the midst of it."""
    media.put(KEY, b"whole")
    torn = tmp_path / "some media" / "library" / "torn.png#1"
    torn.write_bytes(b"ha")

    assert listed(media, "library") == [KEY]
    assert media.delete_partial_uploads(0) == 0
    assert media.delete_partial_uploads(round(time.time() * 1000) + 60_000) == 1
    assert not torn.exists()


def test_a_disk_that_does_not_serve_is_told_without_its_paths(media: Media, tmp_path: Path) -> None:
    """Here because a file stands where the folder should be."""
    (tmp_path / "some media" / "library").write_bytes(b"")

    with pytest.raises(Unavailable) as caught:
        media.put(KEY, b"bytes")
    assert str(tmp_path) not in caught.value.message


def test_a_folder_that_cannot_be_is_a_wrong_setting(tmp_path: Path) -> None:
    """Told in one line that names it."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(SettingsError, match="MEDIA_URL") as caught:
        Media((tmp_path / "file" / "media").as_uri())
    assert "\n" not in str(caught.value)


class Bucket(BaseHTTPRequestHandler):
    """As much of S3's protocol as one object needs; the key ``library/forbidden.png`` is nobody's to read."""

    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        """Keep an object."""
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200)

    def do_GET(self) -> None:
        """Give an object back."""
        if self.path.endswith("forbidden.png"):
            self._answer(403)
        elif self.path in self.objects:
            self._answer(200, self.objects[self.path])
        else:
            self._answer(404)

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Media]:
    """A store behind S3's protocol."""
    Bucket.objects = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield remote(monkeypatch, server.server_port)
        server.shutdown()
        thread.join()


def remote(monkeypatch: pytest.MonkeyPatch, port: int) -> Media:
    """A store that is reached through a port of this machine."""
    places = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    return Media("s3://pictures/here")


def test_a_cloud_keeps_objects_below_its_path(bucket: Media) -> None:
    """What is missing there is missing, what may not be read makes the store one that does not serve."""
    bucket.put(KEY, b"bytes")

    assert list(Bucket.objects.values()) == [b"bytes"]
    assert next(iter(Bucket.objects)).endswith(f"here/{KEY}")
    assert bucket.get(KEY) == b"bytes"
    assert bucket.exists(KEY)
    with pytest.raises(NotFound):
        bucket.get(OTHER)
    with pytest.raises(Unavailable):
        bucket.get("library/forbidden.png")


def test_a_cloud_that_is_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few attempts, and not after minutes."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        media = remote(monkeypatch, nobody.getsockname()[1])
        with pytest.raises(Unavailable):
            media.put(KEY, b"bytes")
