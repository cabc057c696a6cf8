"""Uploaded pictures, looked at in a process of their own: what passes is kept, what does not is told why."""

import hashlib
import json
import os
import secrets
import subprocess
import sys
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
from workers.images import sandbox, uploads
from workers.images.sandbox import DEFAULT_LIMITS, InspectionResult
from workers.images.uploads import thumbnail_of
from workers.library.media_gc import DAY_S, delete_orphans

TIMEOUT_S = 60
# Findings about a picture that is larger than the file it is in.
OVERSIZED_RESULT = json.dumps(
    {
        "seen": {
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
    """The stores of a courier."""
    stores = open_stores(settings)
    yield stores
    stores.close()


def store_upload(stores: Stores, data: bytes) -> str:
    """The key of a picture that has come in and is waited for."""
    key = f"uploads/{secrets.token_hex(16)}"
    stores.media.put(key, data)
    stores.redis.set(f"dr:examination:{key}:asked", b"")
    return key


def inspect_upload(stores: Stores, data: bytes) -> StoredImage:
    """What a courier answers."""
    key = store_upload(stores, data)
    uploads.inspect_upload(stores, key)
    assert not stores.media.exists(key)
    return stores.image_inspections.inspect(key, 0)


def refusal_reason(data: bytes, **limits: Any) -> str:
    """The word for why a picture is not taken."""
    with pytest.raises(Invalid) as caught:
        thumbnail_of(data, replace(DEFAULT_LIMITS, **limits))
    assert caught.value.message.endswith(".")
    return str(caught.value.details["reason"])


def test_pictures_are_kept_with_their_thumbnails(stores: Stores) -> None:
    """Under the ending of what they are, and of a file that is two things only the picture."""
    for name, ending in (("png", "png"), ("cmyk", "jpg"), ("moving webp", "webp"), ("moving gif", "gif")):
        data, media_type = VALID_IMAGES[name]
        found = inspect_upload(stores, data + TRAILING_DATA["zip"])

        assert (found.type, found.key.rpartition(".")[2]) == (media_type, ending)
        assert (found.size_bytes, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert found.animated == name.startswith("moving")
        assert stores.media.get(found.key) == data
        assert decode(stores.media.get(found.thumb_key)).format == "WEBP"


def test_what_is_refused_is_not_kept(stores: Stores) -> None:
    """Who asks is told why."""
    for name in ("nothing", "page", "torn jpeg", "bomb png", "many frames"):
        data, reason = REJECTED_IMAGES[name]
        with pytest.raises(Invalid) as caught:
            inspect_upload(stores, data)
        assert caught.value.details == {"reason": reason}
    assert not list(stores.media.list_older_than("uploads", 2**45))
    assert not list(stores.media.list_older_than("library", 2**45))


def test_a_picture_that_takes_too_long_is_given_up() -> None:
    """By the clock and by the processor; the process is gone."""
    slow = repeat_gif_frame(encode(Image.new("P", (700, 700)), "GIF"), 1000)

    assert refusal_reason(slow, wall_s=0.3) == "took_too_long"
    assert refusal_reason(slow, cpu_s=1, wall_s=60) == "took_too_long"
    assert not [child for child in psutil.Process().children() if "workers.images.decode" in child.cmdline()]


def test_a_picture_that_needs_too_much_memory_is_given_up() -> None:
    """One that it is enough for passes."""
    large = encode(Image.new("RGB", (7900, 7900)), "PNG")
    little = 200 * 1024 * 1024

    assert refusal_reason(large, memory_bytes=little) == "too_much_memory"
    assert thumbnail_of(VALID_IMAGES["png"][0], replace(DEFAULT_LIMITS, memory_bytes=little)).image.width == 64


def test_a_picture_s_look_is_the_same_from_bytes_and_from_a_file(tmp_path: Path) -> None:
    """Wherever the descriptor stands; the file beside the model is left as it is."""
    path = tmp_path / "preview.png"
    path.write_bytes(VALID_IMAGES["png"][0] + TRAILING_DATA["zip"])
    with path.open("rb") as file:
        file.read()
        look = thumbnail_of(file.fileno())

    assert look == thumbnail_of(VALID_IMAGES["png"][0])
    assert path.read_bytes() == VALID_IMAGES["png"][0] + TRAILING_DATA["zip"]


def test_a_process_that_looks_knows_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of ours, no open file, and it may not have more than it was given."""
    probe = (
        "import json, os, pathlib, resource, sys;"
        "from workers.images.decode import Limits, confine;"
        "confine(Limits(**json.loads(sys.argv[2])));"
        "told = {'environment': dict(os.environ), 'files': os.listdir('/proc/self/fd'),"
        " 'memory': resource.getrlimit(resource.RLIMIT_AS), 'session': os.getsid(0) == os.getpid()};"
        "pathlib.Path(sys.argv[1], 'told').write_text(json.dumps(told))"
    )
    real = subprocess.Popen

    def started(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        return real([sys.executable, "-c", probe, str(tmp_path), command[-1]], **options)

    monkeypatch.setenv("API_KEY", "a secret of at least sixteen characters")
    monkeypatch.setattr(sandbox.subprocess, "Popen", started)
    with pytest.raises(ServiceError, match="nonsense"):
        thumbnail_of(b"")
    told = json.loads((tmp_path / "told").read_text())

    assert set(told["environment"]) <= {"PATH", "LANG", "LC_CTYPE"}
    assert len(told["files"]) <= 4
    assert told["memory"] == [DEFAULT_LIMITS.memory_bytes] * 2
    assert told["session"]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[]",
        "{}",
        OVERSIZED_RESULT,
        '{"seen": {}}',
        '{"refused": 1}',
        '{"seen": {"type": "text/html"}}',
        "[" * 100_000,
    ],
)
def test_a_process_that_looks_is_not_believed(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """A picture may have taken it over: what makes no sense is an error, and not an answer."""

    def overtaken(_file: object, folder: Path, *_others: object) -> int:
        (folder / "answer.json").write_text(answer)
        (folder / "thumb.webp").write_bytes(VALID_IMAGES["webp"][0])
        return 0

    monkeypatch.setattr(sandbox, "_run_child", overtaken)
    with pytest.raises(ServiceError, match="nonsense") as caught:
        thumbnail_of(b"")
    assert not isinstance(caught.value, Invalid)


def test_nothing_is_read_through_links_and_no_thumbnail_is_more_than_a_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A link in place of the answer leads nowhere; a thumbnail with something behind it is none."""
    good = {"seen": thumbnail_of(VALID_IMAGES["png"][0]).image.to_json()}
    (tmp_path / "answer.json").write_text(json.dumps(good))

    def linked(_file: object, folder: Path, *_others: object) -> int:
        (folder / "answer.json").symlink_to(tmp_path / "answer.json")
        return 0

    def doubled(_file: object, folder: Path, *_others: object) -> int:
        (folder / "answer.json").write_text(json.dumps(good))
        (folder / "thumb.webp").write_bytes(VALID_IMAGES["webp"][0] + TRAILING_DATA["page"])
        return 0

    monkeypatch.setattr(sandbox, "_run_child", linked)
    with pytest.raises(ServiceError, match="nonsense"):
        thumbnail_of(b"")
    monkeypatch.setattr(sandbox, "_run_child", doubled)
    with pytest.raises(ServiceError, match="thumbnail"):
        thumbnail_of(b"")


def test_a_courier_answers_who_asks(settings: Settings) -> None:
    """From the question to the answer over the queue; a second question looks no second time."""
    broker = BlockingRedisBroker(settings.broker_url, [])
    stores = open_stores(settings, broker=broker)
    declare_background_actors(broker, stores)
    courier = Worker(broker, worker_threads=2)
    courier.start()
    try:
        key = "uploads/0123456789abcdef"
        stores.media.put(key, VALID_IMAGES["png"][0])
        found = stores.image_inspections.inspect(key, TIMEOUT_S)
        stores.media.put("uploads/bad", b"<html>")
        with pytest.raises(Invalid, match="not a picture"):
            stores.image_inspections.inspect("uploads/bad", TIMEOUT_S)
        with pytest.raises(NotFound):
            stores.image_inspections.inspect("uploads/none", TIMEOUT_S)

        assert stores.image_inspections.inspect(key, 0) == found
        assert stores.media.get(found.key) == VALID_IMAGES["png"][0]
        eventually(lambda: not stores.media.exists(key) and not stores.media.exists("uploads/bad"))
    finally:
        courier.stop(timeout=10_000)
        stores.close()


def test_a_message_that_comes_twice_changes_nothing(stores: Stores) -> None:
    """After an answer nothing is looked at again; after a death before the answer the same is kept again."""
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


def test_what_nobody_waits_for_is_thrown_away(stores: Stores) -> None:
    """A courier that comes late keeps nothing that nobody would ever know of."""
    stores.media.put("uploads/late", VALID_IMAGES["png"][0])
    uploads.inspect_upload(stores, "uploads/late")

    assert not stores.media.exists("uploads/late")
    assert not list(stores.media.list_older_than("library", 2**45))


def test_an_upload_outlives_a_store_that_is_away(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks is told at once, and may ask again for the same upload."""
    key = store_upload(stores, VALID_IMAGES["png"][0])

    def away(*_args: object) -> None:
        raise Unavailable("The media store does not serve now.")

    with monkeypatch.context() as patched:
        patched.setattr(type(stores.media), "put", away)
        uploads.inspect_upload(stores, key)
    with pytest.raises(Unavailable, match="media store"):
        stores.image_inspections.inspect(key, 0)

    assert stores.media.exists(key)


def test_orphans_are_swept_and_nothing_else(stores: Stores, clock: FakeClock, tmp_path: Path) -> None:
    """What no row knows, a day after it came; what is known, and what is younger, stays."""
    look: InspectionResult = thumbnail_of(VALID_IMAGES["png"][0])
    for key in ("uploads/old", "uploads/young", "library/known.png", "library/lost.png", "library/young.png"):
        stores.media.put(key, look.thumbnail)
    old_s = clock.now_ms() / 1000 - DAY_S - 1
    for key in ("uploads/old", "library/known.png", "library/lost.png"):
        os.utime(tmp_path / "media" / key, (old_s, old_s))
    young_s = clock.now_ms() / 1000 - 10
    for key in ("uploads/young", "library/young.png"):
        os.utime(tmp_path / "media" / key, (young_s, young_s))
    known = {"library/known.png"}

    assert delete_orphans(stores.media, known.intersection, now_ms=clock.now_ms()) == 2
    assert delete_orphans(stores.media, known.intersection, now_ms=clock.now_ms()) == 0
    kept = {
        key for folder in ("uploads", "library") for keys in stores.media.list_older_than(folder, 2**45) for key in keys
    }
    assert kept == {"uploads/young", "library/known.png", "library/young.png"}
