"""Inspection of uploaded images in a sandboxed process."""

import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from dramatiq import Worker
from PIL import Image

from ops.infra.broker import BlockingRedisBroker
from ops.infra.settings import Settings
from schemas.errors import Invalid, NotFound, ServiceError, Unavailable
from schemas.images.inspected_image import StoredImage
from stores import Stores, open_stores
from tests.conftest import FakeClock, eventually
from tests.support.images import REJECTED_IMAGES, TRAILING_DATA, VALID_IMAGES, decode, encode, repeat_gif_frame
from workers.actors import declare_background_actors
from workers.browsers.os_processes import cmdline
from workers.images import sandbox, uploads
from workers.images.sandbox import DEFAULT_LIMITS, InspectionResult, inspect_in_sandbox
from workers.library.media_gc import DAY_S, delete_orphans

TIMEOUT_S = 60
# A result with an image that is larger than its file.
OVERSIZED_RESULT = json.dumps(
    {
        "image": {
            "type": "image/png",
            "width": 1,
            "height": 1,
            "animated": False,
            "blurhash": "L00000",
            "sha256": "0" * 64,
            "sizeBytes": 9,
            "generation": None,
        }
    }
)


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    """The stores of a background process."""
    stores = open_stores(settings)
    yield stores
    stores.close()


def store_upload(stores: Stores, data: bytes) -> str:
    """Store an upload for which a request waits; return its key."""
    key = f"uploads/{secrets.token_hex(16)}"
    stores.media.put(key, data)
    stores.redis.set(f"dr:examination:{key}:asked", b"")
    return key


def inspect_upload(stores: Stores, data: bytes) -> StoredImage:
    """Inspect an upload as a background process does; return the stored image."""
    key = store_upload(stores, data)
    uploads.inspect_upload(stores, key)
    assert not stores.media.exists(key)
    return stores.image_inspections.inspect(key, 0)


def inspect_bytes(data: bytes, **limits: Any) -> InspectionResult:
    """Inspect an image in the sandbox with some other limits."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return inspect_in_sandbox(file, replace(DEFAULT_LIMITS, **limits))


def rejection_reason(data: bytes, **limits: Any) -> str:
    """Inspect an image that is not accepted; return the reason."""
    with pytest.raises(Invalid) as caught:
        inspect_bytes(data, **limits)
    assert caught.value.message.endswith(".")
    return str(caught.value.details["reason"])


def test_accepted_images_are_stored_with_thumbnails(stores: Stores) -> None:
    """Their keys have the extension of their format, and trailing data is removed."""
    for name, extension in (("png", "png"), ("cmyk", "jpg"), ("moving webp", "webp"), ("moving gif", "gif")):
        data, media_type = VALID_IMAGES[name]
        stored = inspect_upload(stores, data + TRAILING_DATA["zip"])

        assert (stored.type, stored.key.rpartition(".")[2]) == (media_type, extension)
        assert (stored.size_bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert stored.animated == name.startswith("moving")
        assert stores.media.get(stored.key) == data
        assert decode(stores.media.get(stored.thumb_key)).format == "WEBP"


def test_rejected_images_are_not_stored(stores: Stores) -> None:
    """The caller gets the reason."""
    for name in ("nothing", "page", "torn jpeg", "bomb png", "many frames"):
        data, reason = REJECTED_IMAGES[name]
        with pytest.raises(Invalid) as caught:
            inspect_upload(stores, data)
        assert caught.value.details == {"reason": reason}
    assert not list(stores.media.list_older_than("uploads", 2**45))
    assert not list(stores.media.list_older_than("library", 2**45))


def test_an_image_that_takes_too_long_is_rejected() -> None:
    """Wall time and CPU time are limited, and the child process is killed."""
    slow = repeat_gif_frame(encode(Image.new("P", (700, 700)), "GIF"), 1000)

    assert rejection_reason(slow, wall_s=0.3) == "took_too_long"
    assert rejection_reason(slow, cpu_s=1, wall_s=60) == "took_too_long"
    assert not [child for child in psutil.Process().children() if "workers.images.decode" in cmdline(child)]


def test_an_image_that_needs_too_much_memory_is_rejected() -> None:
    """A smaller one passes with the same limit."""
    large = encode(Image.new("RGB", (7900, 7900)), "PNG")
    limit = 200 * 1024 * 1024

    assert rejection_reason(large, memory_bytes=limit) == "too_much_memory"
    assert inspect_bytes(VALID_IMAGES["png"][0], memory_bytes=limit).image.width == 64


def test_an_open_file_is_inspected_from_its_beginning(tmp_path: Path) -> None:
    """Its current position does not matter, and the file itself is not changed."""
    path = tmp_path / "preview.png"
    path.write_bytes(VALID_IMAGES["png"][0] + TRAILING_DATA["zip"])
    with path.open("rb") as file:
        file.read()
        result = inspect_in_sandbox(file)

    assert result == inspect_bytes(VALID_IMAGES["png"][0])
    assert path.read_bytes() == VALID_IMAGES["png"][0] + TRAILING_DATA["zip"]


def test_the_sandbox_has_no_secrets_and_few_resources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has no environment, no inherited files, a memory limit and a separate session."""
    probe = (
        "import json, os, pathlib, resource, sys;"
        "from workers.images.decode import DecodeLimits, apply_limits;"
        "apply_limits(DecodeLimits(**json.loads(sys.argv[2])));"
        "result = {'environment': dict(os.environ), 'files': os.listdir('/proc/self/fd'),"
        " 'memory': resource.getrlimit(resource.RLIMIT_AS), 'session': os.getsid(0) == os.getpid()};"
        "pathlib.Path(sys.argv[1], 'probe').write_text(json.dumps(result))"
    )
    popen = subprocess.Popen

    def start_probe(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        return popen([sys.executable, "-c", probe, str(tmp_path), command[-1]], **options)

    monkeypatch.setenv("API_KEY", "a secret of at least sixteen characters")
    monkeypatch.setattr(sandbox.subprocess, "Popen", start_probe)
    with pytest.raises(ServiceError, match="invalid result"):
        inspect_bytes(b"")
    probed = json.loads((tmp_path / "probe").read_text())

    assert set(probed["environment"]) <= {"PATH", "LANG", "LC_CTYPE"}
    assert len(probed["files"]) <= 4
    assert probed["memory"] == [DEFAULT_LIMITS.memory_bytes] * 2
    assert probed["session"]


@pytest.mark.parametrize(
    "result",
    [
        "",
        "[]",
        "{}",
        OVERSIZED_RESULT,
        '{"image": {}}',
        '{"rejected": 1}',
        '{"image": {"type": "text/html"}}',
        "[" * 100_000,
    ],
)
def test_an_invalid_result_of_the_sandbox_is_an_internal_error(monkeypatch: pytest.MonkeyPatch, result: str) -> None:
    """A crafted image may have taken over the child process."""

    def write_result(_file: object, folder: Path, *_others: object) -> int:
        (folder / "result.json").write_text(result)
        (folder / "thumbnail.webp").write_bytes(VALID_IMAGES["webp"][0])
        return 0

    monkeypatch.setattr(sandbox, "_run_child", write_result)
    with pytest.raises(ServiceError, match="invalid result") as caught:
        inspect_bytes(b"")
    assert not isinstance(caught.value, Invalid)


def test_links_and_polyglot_thumbnails_of_the_sandbox_are_rejected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A link in place of the result is not followed; a thumbnail must end where its image ends."""
    good = {"image": inspect_bytes(VALID_IMAGES["png"][0]).image.to_json()}
    (tmp_path / "result.json").write_text(json.dumps(good))

    def write_link(_file: object, folder: Path, *_others: object) -> int:
        (folder / "result.json").symlink_to(tmp_path / "result.json")
        return 0

    def write_polyglot(_file: object, folder: Path, *_others: object) -> int:
        (folder / "result.json").write_text(json.dumps(good))
        (folder / "thumbnail.webp").write_bytes(VALID_IMAGES["webp"][0] + TRAILING_DATA["page"])
        return 0

    monkeypatch.setattr(sandbox, "_run_child", write_link)
    with pytest.raises(ServiceError, match="invalid result"):
        inspect_bytes(b"")
    monkeypatch.setattr(sandbox, "_run_child", write_polyglot)
    with pytest.raises(ServiceError, match="thumbnail"):
        inspect_bytes(b"")


def test_a_background_process_answers_inspection_requests(settings: Settings) -> None:
    """It gets them from the queue; a second request for the same upload gets the stored result."""
    broker = BlockingRedisBroker(settings.broker_url, [])
    stores = open_stores(settings, broker=broker)
    declare_background_actors(broker, stores)
    worker = Worker(broker, worker_threads=2)
    worker.start()
    try:
        key = "uploads/0123456789abcdef"
        stores.media.put(key, VALID_IMAGES["png"][0])
        stored = stores.image_inspections.inspect(key, TIMEOUT_S)
        stores.media.put("uploads/bad", b"<html>")
        with pytest.raises(Invalid, match="not a picture"):
            stores.image_inspections.inspect("uploads/bad", TIMEOUT_S)
        with pytest.raises(NotFound):
            stores.image_inspections.inspect("uploads/none", TIMEOUT_S)

        assert stores.image_inspections.inspect(key, 0) == stored
        assert stores.media.get(stored.key) == VALID_IMAGES["png"][0]
        eventually(lambda: not stores.media.exists(key) and not stores.media.exists("uploads/bad"))
    finally:
        worker.stop(timeout=60_000)
        stores.close()


def test_inspection_is_idempotent(stores: Stores) -> None:
    """After a reply nothing is inspected again; after a crash before the reply the same image is stored again."""
    key = store_upload(stores, VALID_IMAGES["png"][0])
    uploads.inspect_upload(stores, key)
    first = stores.image_inspections.inspect(key, 0)
    stores.media.put(key, VALID_IMAGES["png"][0])
    uploads.inspect_upload(stores, key)
    assert not stores.media.exists(key)

    stores.media.put(key, VALID_IMAGES["png"][0])
    stores.redis.delete(f"dr:examination:{key}")
    stores.redis.set(f"dr:examination:{key}:asked", b"")
    uploads.inspect_upload(stores, key)

    assert stores.image_inspections.inspect(key, 0) == first
    assert sum(len(keys) for keys in stores.media.list_older_than("library", 2**45)) == 2


def test_an_upload_that_no_request_waits_for_is_deleted(stores: Stores) -> None:
    """A stored image without a caller would never be referenced."""
    stores.media.put("uploads/late", VALID_IMAGES["png"][0])
    uploads.inspect_upload(stores, "uploads/late")

    assert not stores.media.exists("uploads/late")
    assert not list(stores.media.list_older_than("library", 2**45))


def test_an_upload_survives_a_media_store_outage(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets Unavailable and may try again with the same upload."""
    key = store_upload(stores, VALID_IMAGES["png"][0])

    def fail(*_args: object) -> None:
        raise Unavailable("The media store does not serve now.")

    with monkeypatch.context() as patched:
        patched.setattr(type(stores.media), "put", fail)
        uploads.inspect_upload(stores, key)
    with pytest.raises(Unavailable, match="media store"):
        stores.image_inspections.inspect(key, 0)

    assert stores.media.exists(key)


def test_orphaned_media_are_deleted_after_a_day(stores: Stores, clock: FakeClock, tmp_path: Path) -> None:
    """Referenced and younger objects stay."""
    thumbnail = inspect_bytes(VALID_IMAGES["png"][0]).thumbnail
    for key in ("uploads/old", "uploads/young", "library/known.png", "library/lost.png", "library/young.png"):
        stores.media.put(key, thumbnail)
    old_s = clock.now_ms() / 1000 - DAY_S - 1
    for key in ("uploads/old", "library/known.png", "library/lost.png"):
        os.utime(tmp_path / "media" / key, (old_s, old_s))
    young_s = clock.now_ms() / 1000 - 10
    for key in ("uploads/young", "library/young.png"):
        os.utime(tmp_path / "media" / key, (young_s, young_s))
    referenced = {"library/known.png"}

    assert delete_orphans(stores.media, referenced.intersection, now_ms=clock.now_ms()) == 2
    assert delete_orphans(stores.media, referenced.intersection, now_ms=clock.now_ms()) == 0
    remaining = {
        key for folder in ("uploads", "library") for keys in stores.media.list_older_than(folder, 2**45) for key in keys
    }
    assert remaining == {"uploads/young", "library/known.png", "library/young.png"}
