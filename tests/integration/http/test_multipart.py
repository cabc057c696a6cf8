"""Uploads: limits apply while a form arrives, the file goes to disk, and errors name the problem."""

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
from ops.processes.web_command import free_port, gunicorn_command
from schemas.images.inspected_image import MAX_IMAGE_BYTES
from schemas.messages import LIBRARY_QUEUE
from stores import open_stores
from tests.conftest import API_KEY, TIMEOUT_S, answers_http, eventually
from tests.integration.conftest import process_environment
from tests.support.images import VALID_IMAGES
from tests.support.uploads import app_with_uploads
from workers.images import uploads

BOUNDARY = "boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
HEAD = b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
TAIL = b"\r\n--boundary--\r\n"
CHUNK = bytes(1024 * 1024)


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    """A client of an app with upload routes."""
    stores = open_stores(settings)
    yield app_with_uploads(stores).test_client()
    stores.close()


def file(data: bytes = b"bytes", name: str = "a.png") -> tuple[io.BytesIO, str]:
    """A file for werkzeug's form builder."""
    return io.BytesIO(data), name


def test_a_form_arrives_complete(client: FlaskClient) -> None:
    """The file's bytes and the fields' text arrive unchanged, whatever they contain."""
    data = b"\r\n--bound\r\n--boundar\r" + bytes(range(256)) * 1000 + b"\r\n"
    fields = {"prompt": "ein Schiff, ärger — 船", "seed": "", "comfyWorkflow": "x" * 2_000_000}
    body = b"".join(part(f'; name="{name}"', text.encode()) for name, text in fields.items())
    answer = client.post("/upload", data=body + part('; name="file"; filename="a.png"', data) + END, headers=FORM)

    assert answer.status_code == 200, answer.get_data(as_text=True)
    digest = hashlib.sha256(data).hexdigest()
    assert answer.json == {"sizeBytes": len(data), "sha256": digest, "fields": fields}


def part(head: str, body: bytes = b"") -> bytes:
    """One part of a multipart body."""
    return b"--boundary\r\nContent-Disposition: form-data" + head.encode() + b"\r\n\r\n" + body + b"\r\n"


FILE = part('; name="file"; filename="a.png"', b"bytes")
END = b"--boundary--\r\n"


@pytest.mark.parametrize(
    ("body", "message"),
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
        (b"--boundary\r\nX: " + b"x" * 300_000, "malformed"),
        (b"x" * 300_000, "malformed"),
        (b"--boundary\r\n\xff\xfe: x\r\n\r\n" + END, "malformed"),
        (b"--boundary\r\nX: y\r\n\r\nno disposition\r\n" + END, "malformed"),
        (b"--boundary\r\n\r\n\r\n" + END, "malformed"),
    ],
)
def test_an_invalid_form_is_rejected(client: FlaskClient, body: bytes, message: str) -> None:
    """The status is 400 and the message names the problem."""
    answer = client.post("/upload", data=body, headers=FORM)

    assert answer.status_code == 400
    assert message in answer.get_data(as_text=True)


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
def test_another_content_type_is_rejected(client: FlaskClient, content_type: str) -> None:
    """The content type decides, even if the body is a valid form."""
    answer = client.post("/upload", data=FILE + END, headers={"Content-Type": content_type})

    assert answer.status_code == 400
    assert "multipart/form-data" in answer.get_data(as_text=True)


def test_other_views_keep_the_normal_body_limit(client: FlaskClient) -> None:
    """Only views that stream the body accept large ones."""
    headers = FORM | {"x-api-key": API_KEY}
    answer = client.post("/api/v1/webhooks", data=HEAD + bytes(2 * 1024 * 1024) + TAIL, headers=headers)

    assert answer.status_code == 413


def test_an_uploaded_image_is_inspected(client: FlaskClient, settings: Settings) -> None:
    """A background process inspects and stores the image; HTML that claims to be an image is rejected."""
    stores = open_stores(settings)
    inspector = threading.Thread(target=answer_inspection, args=(stores,))
    inspector.start()
    accepted = client.post("/picture", data={"file": file(VALID_IMAGES["png"][0])})
    inspector.join()

    assert accepted.status_code == 200, accepted.get_data(as_text=True)
    assert stores.media.get(accepted.json["key"]) == VALID_IMAGES["png"][0]  # type: ignore[index] # the status is 200
    inspector = threading.Thread(target=answer_inspection, args=(stores,))
    inspector.start()
    rejected = client.post("/picture", data={"file": file(b"<html>")})
    inspector.join()
    stores.close()

    assert rejected.status_code == 400
    assert "not a picture" in rejected.get_data(as_text=True)


def answer_inspection(stores: Any) -> None:
    """Do what a background process does with the next inspection."""
    queue = stores.queue.client
    message_id = eventually(lambda: queue.lpop(f"dramatiq:{LIBRARY_QUEUE}"))
    message = queue.hget(f"dramatiq:{LIBRARY_QUEUE}.msgs", message_id)
    key = message.decode().partition('"args":["')[2].partition('"')[0]
    uploads.inspect_upload(stores, key)


@contextmanager
def serve_uploads(settings: Settings) -> Iterator[tuple[str, psutil.Process]]:
    """Run the app under gunicorn; yield its URL and its worker process."""
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
        process.wait(60)


def upload_form(size_bytes: int) -> Iterator[bytes]:
    """A form with a file of ``size_bytes`` bytes, as chunks."""
    yield HEAD
    for start in range(0, size_bytes, len(CHUNK)):
        yield CHUNK[: size_bytes - start]
    yield TAIL


def post(url: str, content: Iterable[bytes], **headers: str) -> httpx.Response:
    """Post a form in chunks, without a length unless ``headers`` have one."""
    return httpx.post(f"{url}/upload", content=content, headers=FORM | headers, trust_env=False, timeout=60)


def test_gunicorn_serves_other_requests_during_an_upload(settings: Settings) -> None:
    """Storing an image blocks no other request, although the workers use greenlets."""
    stores = open_stores(settings)
    inspector = threading.Thread(target=answer_inspection, args=(stores,))
    with serve_uploads(settings) as (url, _process):
        inspector.start()
        files = {"file": ("a.gif", VALID_IMAGES["moving gif"][0], "image/png")}
        response = httpx.post(f"{url}/picture", files=files, trust_env=False, timeout=60)
        inspector.join()

    assert response.status_code == 200, response.text
    assert (response.json()["type"], response.json()["animated"]) == ("image/gif", True)
    assert stores.media.get(response.json()["key"]) == VALID_IMAGES["moving gif"][0]
    stores.close()


def test_gunicorn_enforces_the_upload_limit(settings: Settings, tmp_path: Path) -> None:
    """50 MB are accepted and one byte more is not, with and without a length, and memory use stays flat."""
    frame = len(HEAD) + len(TAIL)
    with serve_uploads(settings) as (url, process):
        assert post(url, upload_form(1000)).json()["sizeBytes"] == 1000
        before = process.memory_info().rss
        accepted = post(url, upload_form(MAX_IMAGE_BYTES))
        assert accepted.json()["sha256"] == hashlib.sha256(bytes(MAX_IMAGE_BYTES)).hexdigest()
        assert post(url, upload_form(MAX_IMAGE_BYTES + 1)).status_code == 413
        headers = {"Content-Length": str(MAX_IMAGE_BYTES + 1 + frame)}
        rejected = post(url, upload_form(MAX_IMAGE_BYTES + 1), **headers)
        assert rejected.status_code == 413
        assert "50 MiB" in rejected.text
        assert (
            post(url, upload_form(70 * len(CHUNK)), **{"Content-Length": str(70 * len(CHUNK) + frame)}).status_code
            == 413
        )

        assert process.memory_info().rss - before < 15 * 1024 * 1024
        assert not list(tmp_path.glob("tmp*"))
        assert httpx.get(url, timeout=TIMEOUT_S, trust_env=False).status_code == 200
