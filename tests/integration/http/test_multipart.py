"""Files that come in: counted while they come, on the disk and not in memory, and refused with what is wrong."""

import hashlib
import io
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from flask.testing import FlaskClient

from ops.infra.settings import ROOT, Settings
from ops.processes.web_command import gunicorn_command
from schemas.images.inspected_image import MAX_IMAGE_BYTES
from schemas.messages import LIBRARY_QUEUE
from stores import open_stores
from tests.conftest import answers_http, eventually, free_port
from tests.integration.conftest import process_environment
from tests.support.images import VALID_IMAGES
from tests.support.uploads import app_with_uploads
from workers.images import uploads

BOUNDARY = "boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
HEAD = b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
TAIL = b"\r\n--boundary--\r\n"
PIECE = bytes(1024 * 1024)


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    """A front that takes files."""
    stores = open_stores(settings)
    yield app_with_uploads(stores).test_client()
    stores.close()


def file(data: bytes = b"bytes", name: str = "a.png") -> tuple[io.BytesIO, str]:
    """A file of a form."""
    return io.BytesIO(data), name


def test_a_form_comes_in_whole(client: FlaskClient) -> None:
    """The file's bytes, whatever they are, and each field's text."""
    data = b"\r\n--bound\r\n--boundar\r" + bytes(range(256)) * 1000 + b"\r\n"
    fields = {"prompt": "ein Schiff, ärger — 船", "seed": "", "comfyWorkflow": "x" * 2_000_000}
    body = b"".join(part(f'; name="{name}"', text.encode()) for name, text in fields.items())
    answer = client.post("/upload", data=body + part('; name="file"; filename="a.png"', data) + END, headers=FORM)

    assert answer.status_code == 200, answer.get_data(as_text=True)
    digest = hashlib.sha256(data).hexdigest()
    assert answer.json == {"sizeBytes": len(data), "sha256": digest, "fields": fields}


def part(head: str, body: bytes = b"") -> bytes:
    """A part of a form."""
    return b"--boundary\r\nContent-Disposition: form-data" + head.encode() + b"\r\n\r\n" + body + b"\r\n"


FILE = part('; name="file"; filename="a.png"', b"bytes")
END = b"--boundary--\r\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\r\n", "ended early"),
        (END, "file: missing"),
        (part('; name="file"; filename=""') + END, "file: missing"),
        (part('; name="prompt"', b"a ship") + END, "file: missing"),
        (part('; name="file"', b"bytes") + END, "without a file name"),
        (part('; name="image"; filename="a.png"', b"bytes") + END, "image: not a field for files"),
        (FILE + FILE + END, "file: given twice"),
        (FILE + part('; name="seed"', b"1") + part('; name="seed"', b"2") + END, "seed: given twice"),
        (FILE + part("", b"1") + END, "without a name"),
        (FILE + part('; name="prompt"', b"\xff\xfe") + END, "prompt: not valid UTF-8"),
        (FILE + part('; name="prompt"', b"x" * 100_001) + END, "prompt: longer than 100,000"),
        (FILE + part('; name="comfyWorkflow"', b"x" * 8_000_001) + END, "comfyWorkflow: longer than 8,000,000"),
        (b"".join(part(f'; name="f{number}"') for number in range(51)) + END, "more than 50 fields"),
        (FILE, "ended early"),
        (FILE + b"--boundary\r\nContent-Disp", "ended early"),
        (HEAD + b"half a pict", "ended early"),
        (b"--boundary\r\nX: " + b"x" * 300_000, "badly framed"),
        (b"x" * 300_000, "badly framed"),
        (b"--boundary\r\n\xff\xfe: x\r\n\r\n" + END, "badly framed"),
        (b"--boundary\r\nX: y\r\n\r\nno disposition\r\n" + END, "badly framed"),
        (b"--boundary\r\n\r\n\r\n" + END, "badly framed"),
    ],
)
def test_a_form_that_is_none_is_told_what_is_wrong(client: FlaskClient, body: bytes, words: str) -> None:
    """With 400 and a sentence."""
    answer = client.post("/upload", data=body, headers=FORM)

    assert answer.status_code == 400
    assert words in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=boundary",
    ],
)
def test_what_is_no_form_is_refused(client: FlaskClient, content_type: str) -> None:
    """Also where the words of one are in it."""
    answer = client.post("/upload", data=FILE + END, headers={"Content-Type": content_type})

    assert answer.status_code == 400
    assert "multipart/form-data" in answer.get_data(as_text=True)


def test_other_views_take_no_more_than_before(client: FlaskClient) -> None:
    """The larger limit is that of views that ask for it."""
    answer = client.post("/generateImage", data=HEAD + bytes(2 * 1024 * 1024) + TAIL, headers=FORM)

    assert answer.status_code == 413


def test_a_picture_is_examined(client: FlaskClient, settings: Settings) -> None:
    """From the form to what the courier has kept; a page that calls itself a picture is refused."""
    stores = open_stores(settings)
    courier = threading.Thread(target=answer_one, args=(stores,))
    courier.start()
    found = client.post("/picture", data={"file": file(VALID_IMAGES["png"][0])})
    courier.join()

    assert found.status_code == 200, found.get_data(as_text=True)
    assert stores.media.get(found.json["key"]) == VALID_IMAGES["png"][0]  # type: ignore[index] # it is there, see above
    courier = threading.Thread(target=answer_one, args=(stores,))
    courier.start()
    refused = client.post("/picture", data={"file": file(b"<html>")})
    courier.join()
    stores.close()

    assert refused.status_code == 400
    assert "not a picture" in refused.get_data(as_text=True)


def answer_one(stores: Any) -> None:
    """Do what a courier does with the next message."""
    queue = stores.queue.client
    ident = eventually(lambda: queue.lpop(f"dramatiq:{LIBRARY_QUEUE}"))
    message = queue.hget(f"dramatiq:{LIBRARY_QUEUE}.msgs", ident)
    key = message.decode().partition('"args":["')[2].partition('"')[0]
    uploads.inspect_upload(stores, key)


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[str, psutil.Process]]:
    """A real front as a process of its own: its address, and the process that answers."""
    settings = replace(settings, port=free_port())
    environment = process_environment(settings, {"port": settings.port, "media_url": settings.media_url})
    command = gunicorn_command(settings, "tests.support.uploads:serve()")
    process = subprocess.Popen(command, cwd=ROOT, env=environment | {"LOG_LEVEL": "warning"})
    url = f"http://127.0.0.1:{settings.port}"
    try:
        eventually(lambda: answers_http(url))
        yield url, psutil.Process(process.pid).children()[0]
    finally:
        process.terminate()
        process.wait(20)


def sent(size_bytes: int) -> Iterator[bytes]:
    """A form with a file of that size."""
    yield HEAD
    for start in range(0, size_bytes, len(PIECE)):
        yield PIECE[: size_bytes - start]
    yield TAIL


def post(url: str, content: Iterable[bytes], **headers: str) -> httpx.Response:
    """A form, sent piece by piece; without a length, unless ``headers`` name it."""
    return httpx.post(f"{url}/upload", content=content, headers=FORM | headers, trust_env=False, timeout=60)


def test_a_real_front_goes_on_while_it_keeps_a_picture(settings: Settings) -> None:
    """The media store's own threads do the waiting, also where everything else is a greenlet."""
    stores = open_stores(settings)
    courier = threading.Thread(target=answer_one, args=(stores,))
    with serving(settings) as (url, _process):
        courier.start()
        files = {"file": ("a.gif", VALID_IMAGES["moving gif"][0], "image/png")}
        found = httpx.post(f"{url}/picture", files=files, trust_env=False, timeout=60)
        courier.join()

    assert found.status_code == 200, found.text
    assert (found.json()["type"], found.json()["animated"]) == ("image/gif", True)
    assert stores.media.get(found.json()["key"]) == VALID_IMAGES["moving gif"][0]
    stores.close()


def test_a_real_front_takes_so_much_and_no_more(settings: Settings, tmp_path: Path) -> None:
    """Fifty megabytes pass and one byte more does not, with a length and without; its memory stays flat."""
    frame = len(HEAD) + len(TAIL)
    with serving(settings) as (url, process):
        assert post(url, sent(1000)).json()["sizeBytes"] == 1000
        before = process.memory_info().rss
        taken = post(url, sent(MAX_IMAGE_BYTES))
        assert taken.json()["sha256"] == hashlib.sha256(bytes(MAX_IMAGE_BYTES)).hexdigest()
        assert post(url, sent(MAX_IMAGE_BYTES + 1)).status_code == 413
        counted = {"Content-Length": str(MAX_IMAGE_BYTES + 1 + frame)}
        refused = post(url, sent(MAX_IMAGE_BYTES + 1), **counted)
        assert refused.status_code == 413
        assert "50 MiB" in refused.text
        assert post(url, sent(70 * len(PIECE)), **{"Content-Length": str(70 * len(PIECE) + frame)}).status_code == 413

        assert process.memory_info().rss - before < 15 * 1024 * 1024
        assert not list(tmp_path.glob("tmp*"))
        assert httpx.get(url, trust_env=False).status_code == 200
