"""Archives of collections: what an export contains, that an import brings it back, and hostile archives."""

import hashlib
import io
import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext

from schemas.gallery.assets import Asset
from schemas.gallery.collections import Collection, CollectionStatus
from schemas.gallery.documents.archive import MANIFEST_NAME, PAGE_NAME
from schemas.gallery.events import GalleryEvent
from schemas.gallery.pages import MAX_PAGE_SIZE, Page
from schemas.gallery.pictures import KeepMode
from schemas.gallery.provenance import MadeImage
from schemas.gallery.tokens import Listing, MediaStatus, NewToken, Token
from schemas.images.input_images import INPUTS_PREFIX
from schemas.jobs.job import Job, JobRequest
from schemas.jobs.lifecycle import JobState
from stores import Stores
from stores.backup.collection_export import CollectionExport
from stores.backup.import_turn import TTL_S, take_import_turn
from stores.gallery import provenance
from stores.gallery.events import EventQueue
from stores.images.picture_requests import PictureRequests
from stores.redis.keys import gallery_import_key
from tests.integration.gallery.picture_stack import OWNER, PictureStack, stack
from tests.support.images import VALID_IMAGES
from tests.support.shared_browser import shared_browser

__all__ = ["stack"]

PNG, GIF = VALID_IMAGES["png"][0], VALID_IMAGES["gif"][0]
PROMPT = "a secret lighthouse at dusk, with a keeper"
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
JOB_ID = "c" * 32
ONE = f"0x{1:064x}"


def record(stores: Stores, picture: bytes, prompt: str = PROMPT) -> tuple[dict[str, Any], list[Asset]]:
    """The provenance of a job that was given a picture."""
    digest = hashlib.sha256(GIF).hexdigest()
    init = {"type": "image/gif", "width": 8, "height": 8, "sizeBytes": len(GIF), "sha256": digest}
    stores.media.put(f"{INPUTS_PREFIX}/{JOB_ID}/init.gif", GIF)
    request = JobRequest("automatic1111_img2img", prompt, inputs={"init": init, "seed": 7})
    job = Job(JOB_ID, OWNER, JobState.COMPLETED, request, "r", start_time=1, last_modified=2, seq=5, finished_at=2)
    image = MadeImage(1, hashlib.sha256(picture).hexdigest(), "image/png", 8, 8, len(picture))
    return provenance.record_result(stores, job, image, picture)


def fill(stack: PictureStack) -> Collection:
    """A collection with a picture of a job with a private prompt, one with hostile texts, and one without a picture."""
    stores, collection = stack.app.stores, stack.create_collection()
    made, inputs = record(stores, PNG)
    kept = stores.gallery_media.pictures.keep_bytes(PNG, KeepMode.EXACT)
    tokens = stores.gallery.tokens
    listing = Listing(ONE, ONE, ONE, ONE)
    first = NewToken("Dusk", "The coast.", provenance=made, is_prompt_private=True, listing=listing)
    tokens.add_from_job(OWNER, collection, first, kept.media, [*kept.assets, *inputs])
    kept = stores.gallery_media.pictures.keep_bytes(GIF, KeepMode.CLEAN)
    attributes = ({"trait_type": HOSTILE, "value": HOSTILE}, {"trait_type": "n", "value": 5, "display_type": "number"})
    second = NewToken("hostile", HOSTILE, attributes=attributes)
    tokens.add_from_job(OWNER, collection, second, kept.media, kept.assets)
    tokens.create(OWNER, collection, tokens.reserve_id(OWNER), NewToken("Prompt", attributes=({"value": PROMPT},)))
    return collection


def export(stack: PictureStack, slug: str, **query: str) -> bytes:
    """The zip of a collection."""
    response = stack.app.get(f"/api/v1/gallery/collections/{slug}/export", query_string=query)
    assert response.status_code == 200, response.get_data(as_text=True)
    assert response.headers["Content-Disposition"] == f'attachment; filename="{slug}.zip"'
    return bytes(response.data)


def send(stack: PictureStack, data: bytes) -> Any:
    """Import a zip."""
    return stack.app.post("/api/v1/gallery/import", data=data, content_type="application/zip")


def tokens_of(stack: PictureStack, collection: Collection) -> list[Token]:
    """The tokens of a collection, whole."""
    gallery = stack.app.stores.gallery
    listed = gallery.tokens.list_of_collection(collection, Page()).items
    return [gallery.tokens.find(token.token_id) for token in listed]


def test_an_import_brings_an_export_back(stack: PictureStack) -> None:
    """Same texts, attributes, offers, bytes and provenance, in a new collection; the picture of an input as well."""
    collection, stores = fill(stack), stack.app.stores
    made, inputs = record(stores, PNG, "a public harbour")
    kept = stores.gallery_media.pictures.keep_bytes(PNG, KeepMode.EXACT)
    harbour = NewToken("Harbour", provenance=made)
    stores.gallery.tokens.add_from_job(OWNER, collection, harbour, kept.media, [*kept.assets, *inputs])
    data = export(stack, collection.slug)
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    manifest = json.loads(archive.read(MANIFEST_NAME))
    for entry in manifest["tokens"]:
        document = json.loads(archive.read(entry["metadata"]))
        assert {"name", "description", "image", "attributes"} <= set(document)
        assert "secret lighthouse" not in json.dumps(document) or not entry["promptPrivate"]
        assert not entry["picture"] or document["image"] == f"../{entry['picture']}"
    page = archive.read(PAGE_NAME).decode()
    assert "<script" not in page
    assert "onerror=alert" not in re.sub(r"&lt;.*?&gt;", "", page)
    assert PROMPT in page, "the attribute of the public token"
    assert page.count(PROMPT) == 1, "and not the private prompt"
    assert not re.search(r"""(src|href)=["'](https?:|//)""", page)

    response = send(stack, data)
    assert response.status_code == 201, response.json
    assert response.json["problems"] == []
    found = stack.app.stores.gallery.collections.find(response.json["collection"]["slug"]).collection
    assert found.slug != collection.slug
    old, new = tokens_of(stack, collection), tokens_of(stack, found)
    for before, after in zip(old, new, strict=True):
        assert before.token_id != after.token_id
        for name in ("name", "description", "amount", "attributes", "listing", "is_prompt_private", "model"):
            assert getattr(after, name) == getattr(before, name)
        for name in ("status", "type", "width", "height", "frames"):
            assert getattr(after.media, name) == getattr(before.media, name)
    assert stack.file(new[3].media.asset) == PNG
    for number in (0, 3):
        restored = new[number].provenance
        assert restored
        assert {**restored, "keptInputs": 0} == {**(old[number].provenance or {}), "keptInputs": 0, "imported": True}
        assert stack.file(restored["keptInputs"]["init"]) == GIF
    assert events_of(stores, found.slug) == [
        GalleryEvent.COLLECTION_CREATED,
        *[GalleryEvent.TOKEN_CREATED, GalleryEvent.MEDIA_READY] * 2,
        *[GalleryEvent.TOKEN_CREATED] * 2,
        GalleryEvent.MEDIA_READY,
    ]


def test_a_private_picture_loses_its_metadata(stack: PictureStack) -> None:
    """Whatever digest the archive claims for the job's picture: the metadata may tell the prompt."""
    stores, collection = stack.app.stores, stack.create_collection()
    picture = write_text_chunk(PNG, "parameters", PROMPT)
    made, inputs = record(stores, picture)
    kept = stores.gallery_media.pictures.keep_bytes(picture, KeepMode.EXACT)
    token = NewToken("Dusk", provenance=made)
    stores.gallery.tokens.add_from_job(OWNER, collection, token, kept.media, [*kept.assets, *inputs])
    data = export(stack, collection.slug)
    for is_private in (False, True):
        response = send(stack, change(data, manifest(promptPrivate=is_private)))
        assert response.status_code == 201, response.json
        found = stores.gallery.collections.find(response.json["collection"]["slug"]).collection
        stored = stack.file(tokens_of(stack, found)[0].media.asset)
        assert (PROMPT.encode() in stored) is not is_private
        assert (stored == picture) is not is_private


def test_an_export_goes_on_while_its_collection_changes(stack: PictureStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is moved is in it once, and one that is deleted is not; the archive can be imported."""
    monkeypatch.setattr("stores.backup.collection_export.MAX_PAGE_SIZE", 1)
    collection, tokens = fill(stack), stack.app.stores.gallery.tokens
    first, second, third = (token.token_id for token in tokens_of(stack, collection))
    chunks = CollectionExport(stack.app.stores, collection, as_owner=True).read()
    data = next(chunks)
    tokens.delete(OWNER, second)
    tokens.move(OWNER, first)
    tokens.move(OWNER, third, before=first)
    data += b"".join(chunks)
    entries = json.loads(zipfile.ZipFile(io.BytesIO(data)).read(MANIFEST_NAME))["tokens"]
    assert [entry["tokenId"] for entry in entries] == [first, third]
    response = send(stack, data)
    assert (response.status_code, response.json["tokens"]) == (201, 2)


def test_a_collection_that_no_import_takes_is_not_exported(
    stack: PictureStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many tokens or bytes: 409 and what to do, before the first byte."""
    path = f"/api/v1/gallery/collections/{fill(stack).slug}/export"
    for limit, value in (("MAX_TOKENS", 2), ("MAX_ARCHIVE_BYTES", len(PNG))):
        with monkeypatch.context() as patch:
            patch.setattr(f"stores.backup.collection_export.{limit}", value)
            response = stack.app.get(path)
        assert response.status_code == 409
        assert "another collection" in response.json["error"]["message"]


def test_one_import_of_a_caller_runs_at_a_time(stack: PictureStack) -> None:
    """A second one is refused until the first has ended; the turn lasts while the first makes progress."""
    data, times = export(stack, fill(stack).slug), [0.0]
    with take_import_turn(stack.app.stores.redis, OWNER, lambda: times[0]) as turn:
        response = send(stack, data)
        assert (response.status_code, response.json["error"]["code"]) == (429, "limit_reached")
        key = gallery_import_key(OWNER)
        stack.app.stores.redis.expire(key, 1000)
        turn.keep()
        assert stack.app.stores.redis.ttl(key) > TTL_S
        times[0] += TTL_S / 2
        turn.keep()
        assert stack.app.stores.redis.ttl(key) <= TTL_S
        # Another import, after this turn ran out.
        stack.app.stores.redis.set(key, b"other")
    assert stack.app.stores.redis.get(key) == b"other"
    stack.app.stores.redis.delete(key)
    assert send(stack, data).status_code == 201


def test_an_import_needs_room_for_its_archive(stack: PictureStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that would fill the disk is refused before it is received, or as soon as the disk is full."""
    data = export(stack, fill(stack).slug)
    for name, value, words in (("problem", "The disk is full.", "is full"), ("free_bytes", len(data), "no space")):
        monkeypatch.setattr(stack.app.stores.disk, name, lambda value=value: value)
        response = send(stack, data)
        assert (response.status_code, response.json["error"]["code"]) == (503, "unavailable")
        assert words in response.json["error"]["message"]


def test_others_get_no_private_prompt(stack: PictureStack) -> None:
    """Neither in the manifest nor in any other member; the owner can leave it out as well."""
    collection = fill(stack)
    stores = stack.app.stores
    token = tokens_of(stack, collection)[2]
    stores.gallery.tokens.update(
        OWNER, token.token_id, {"is_prompt_private": True, "provenance": record(stores, PNG)[0]}
    )
    bob = stores.api_keys.create("bob")
    path = f"/api/v1/gallery/collections/{collection.slug}/export"
    answer = stack.app.client.get(path, headers={"x-api-key": bob})
    for data in (bytes(answer.data), export(stack, collection.slug, private="omit")):
        archive = zipfile.ZipFile(io.BytesIO(data))
        text = b"".join(archive.read(name) for name in archive.namelist() if not name.startswith("pictures/"))
        assert b"lighthouse" not in text
        assert not [name for name in archive.namelist() if name.startswith(("inputs/", "provenance/"))]
    assert b"lighthouse" in b"".join(
        map(zipfile.ZipFile(io.BytesIO(export(stack, collection.slug))).read, [MANIFEST_NAME])
    )


def collections_of(stores: Stores) -> list[Collection]:
    """All collections of the owner."""
    address = stores.gallery.profiles.get_or_create(OWNER).address
    page = Page(size=MAX_PAGE_SIZE)
    return list(stores.gallery.collections.list_of_owner(address, page, with_archived=True).items)


def events_of(stores: Stores, slug: str) -> list[GalleryEvent]:
    """The types of the events of a collection and its tokens, in their order."""
    queued = EventQueue(stores.engine).read(1000)
    return [event.type for event in queued if slug in (event.data.get("slug"), event.data.get("collection"))]


def write_text_chunk(png: bytes, key: str, text: str) -> bytes:
    """Add a text to a PNG, behind its header."""
    body = b"tEXt" + key.encode() + b"\0" + text.encode()
    chunk = (len(body) - 4).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)
    return png[:33] + chunk + png[33:]


def change(data: bytes, edit: Callable[[str, bytes], tuple[str, bytes] | None], **extra: bytes) -> bytes:
    """Rewrite an archive member by member."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            if edited := edit(name, source.read(name)):
                target.writestr(*edited)
        for name, content in extra.items():
            target.writestr(name, content)
    return file.getvalue()


def manifest(**changes: Any) -> Callable[[str, bytes], tuple[str, bytes]]:
    """Change the first token of the manifest."""

    def edit(name: str, content: bytes) -> tuple[str, bytes]:
        if name == MANIFEST_NAME:
            document = json.loads(content)
            document["tokens"][0] |= changes
            content = json.dumps(document).encode()
        return name, content

    return edit


def in_record(old: bytes, new: bytes) -> Callable[[str, bytes], tuple[str, bytes]]:
    """Replace bytes of the provenance."""
    return lambda name, content: (name, content.replace(old, new) if name.startswith("provenance/") else content)


def test_hostile_archives_store_nothing(stack: PictureStack) -> None:
    """Paths, bombs, wrong types, damage and lies are refused by name; no collection, token or object is left."""
    good = export(stack, fill(stack).slug)
    stores = stack.app.stores
    before = (collections_of(stores), sorted(stores.media.list_keys()))

    def named_twice(name: str, content: bytes) -> tuple[str, bytes]:
        document = json.loads(content) if name == MANIFEST_NAME else {}
        if document:
            document["tokens"] += document["tokens"][:1]
        return name, json.dumps(document).encode() if document else content

    keep = lambda name, content: (name, content)  # noqa: E731 - shorter than a function
    deep = b"[" * 100_000 + b"]" * 100_000
    archives = {
        "path": change(good, keep, **{"../../etc/cron.d/x": b"x"}),
        "absolute": change(good, keep, **{"/etc/passwd": b"x"}),
        "backslash": change(good, keep, **{"a\\..\\..\\x": b"x"}),
        "directory": change(good, keep, **{f"{number}/{'x' * 60_000}": b"" for number in range(150)}),
        "twice": change(good, named_twice),
        "bomb": change(good, keep, bomb=bytes(50_000_000)),
        "lacks": change(good, lambda name, content: None if name.startswith("pictures/") else (name, content)),
        "picture path": change(good, manifest(picture="../../x.png")),
        "picture type": change(good, manifest(picture=["pictures/x.png"])),
        "amount": change(good, manifest(amount="-1")),
        "attributes": change(good, manifest(attributes=[{"trait_type": "a", "value": {"b": 1}}])),
        "name": change(good, manifest(name="x" * 10_000)),
        "inputs": change(good, manifest(inputs={"init": "collection.json"})),
        "tokens": change(good, lambda name, content: (name, content.replace(b'"tokens": [', b'"tokens": 5, "x": ['))),
        "json": change(good, lambda name, content: (name, b"{" if name == MANIFEST_NAME else content)),
        "depth": change(good, lambda name, content: (name, deep if name == MANIFEST_NAME else content)),
        "utf-8": change(good, lambda name, content: (name, b"\xff" if name == MANIFEST_NAME else content)),
        "job id": change(good, in_record(JOB_ID.encode(), b"../x")),
        "seed": change(good, in_record(b'"seed": 7, "models"', b'"seed": {}, "models"')),
        "models": change(good, in_record(b'"models": []', b'"models": [5]')),
        "input": change(good, in_record(b'"sizeBytes"', b'"evil"')),
        "version": change(good, in_record(b'"version": 1', b'"version": 2')),
        "not a zip": b"PK\x03\x04 but not really",
        "torn": good[: len(good) // 2],
        "empty": b"",
    }
    for name, data in archives.items():
        response = send(stack, data)
        assert response.status_code == 400, (name, response.json)
        assert response.json["error"]["code"] == "invalid"
        after = (collections_of(stores), sorted(stores.media.list_keys()))
        assert after == before, name

    broken = change(good, lambda name, content: (name, b"GIF89a broken" if name.startswith("pictures/") else content))
    response = send(stack, broken)
    assert (response.status_code, response.json["tokens"], len(response.json["problems"])) == (201, 3, 2)
    found = stores.gallery.collections.find(response.json["collection"]["slug"]).collection
    assert [token.media.status for token in tokens_of(stack, found)] == [MediaStatus.FAILED] * 2 + [MediaStatus.NONE]


def test_an_import_without_its_storage_keeps_nothing(stack: PictureStack) -> None:
    """The media store fails later: 503, nothing is left or was announced, even if the owner has deleted a token."""
    good = export(stack, fill(stack).slug)
    stores, scratch = stack.app.stores, stack.media_folder / "scratch"
    before, queue = collections_of(stores), EventQueue(stores.engine)
    events = queue.read(1000)
    keep, calls = PictureRequests.keep_file, []

    def fail_later(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            (new,) = {each.slug for each in collections_of(stores)} - {each.slug for each in before}
            draft = stores.gallery.collections.find(new).collection
            assert draft.status == CollectionStatus.ARCHIVED
            stores.gallery.tokens.delete(OWNER, tokens_of(stack, draft)[0].token_id)
            # A file where the folder was: every write below it fails.
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.write_bytes(b"")
        return keep(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PictureRequests, "keep_file", fail_later)
        response = send(stack, good)
    assert (response.status_code, response.json["error"]["code"]) == (503, "unavailable")
    assert collections_of(stores) == before
    assert queue.read(1000) == events
    scratch.unlink()
    assert send(stack, good).status_code == 201


def test_the_page_opens_from_disk(stack: PictureStack, tmp_path: Path) -> None:
    """In a browser without scripts and without a network: every picture is drawn, nothing else is requested."""
    collection = fill(stack)
    with zipfile.ZipFile(io.BytesIO(export(stack, collection.slug))) as archive:
        archive.extractall(tmp_path)
    requests: list[str] = []
    dialogs: list[str] = []

    async def look(context: BrowserContext) -> list[int]:
        page = await context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        await page.goto((tmp_path / PAGE_NAME).as_uri())
        # ``wait_for_function`` would need 'unsafe-eval' in the page's policy.
        await page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
        widths: list[int] = await page.evaluate("[...document.images].map((image) => image.naturalWidth)")
        return widths

    widths = shared_browser.run(look)
    assert len(widths) == 2
    assert min(widths) > 0
    assert {url.split(":")[0] for url in requests} == {"file"}
    assert dialogs == []
