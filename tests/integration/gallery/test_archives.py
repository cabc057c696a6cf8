"""Archives of collections: what an export contains, that an import brings it back, and hostile archives."""

import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext

from schemas.gallery.assets import Asset
from schemas.gallery.collections import Collection
from schemas.gallery.documents.archive import MANIFEST_NAME, PAGE_NAME
from schemas.gallery.pages import Page
from schemas.gallery.pictures import KeepMode
from schemas.gallery.provenance import MadeImage
from schemas.gallery.tokens import Listing, MediaStatus, NewToken, Token
from schemas.images.input_images import INPUTS_PREFIX
from schemas.jobs.job import Job, JobRequest
from schemas.jobs.lifecycle import JobState
from stores import Stores
from stores.gallery import provenance
from stores.images.picture_requests import PictureRequests
from tests.integration.gallery.picture_stack import OWNER, PictureStack, stack
from tests.support.images import VALID_IMAGES
from tests.support.shared_browser import shared_browser

__all__ = ["stack"]

PNG, GIF = VALID_IMAGES["png"][0], VALID_IMAGES["gif"][0]
PROMPT = "a secret lighthouse at dusk, with a keeper"
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
JOB_ID = "c" * 32
ONE = f"0x{1:064x}"


def record(stores: Stores, picture: bytes) -> tuple[dict[str, Any], list[Asset]]:
    """The provenance of a job that was given a picture."""
    digest = hashlib.sha256(GIF).hexdigest()
    init = {"type": "image/gif", "width": 8, "height": 8, "sizeBytes": len(GIF), "sha256": digest}
    stores.media.put(f"{INPUTS_PREFIX}/{JOB_ID}/init.gif", GIF)
    request = JobRequest("automatic1111_img2img", PROMPT, inputs={"init": init, "seed": 7})
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
    collection = fill(stack)
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
        for name in ("status", "sha256", "type", "width", "height", "frames"):
            assert getattr(after.media, name) == getattr(before.media, name)
    assert stack.file(new[0].media.asset) == PNG
    restored = new[0].provenance
    assert restored
    assert {**restored, "keptInputs": 0} == {**(old[0].provenance or {}), "keptInputs": 0, "imported": True}
    assert stack.file(restored["keptInputs"]["init"]) == GIF


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
    before = (stores.gallery.collections.list_latest(Page()).items, sorted(stores.media.list_keys()))
    keep = lambda name, content: (name, content)  # noqa: E731 - shorter than a function
    deep = b"[" * 100_000 + b"]" * 100_000
    archives = {
        "path": change(good, keep, **{"../../etc/cron.d/x": b"x"}),
        "absolute": change(good, keep, **{"/etc/passwd": b"x"}),
        "backslash": change(good, keep, **{"a\\..\\..\\x": b"x"}),
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
        "seed": change(good, in_record(b'"seed": 7,\n "models"', b'"seed": {},\n "models"')),
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
        after = (stores.gallery.collections.list_latest(Page()).items, sorted(stores.media.list_keys()))
        assert after == before, name

    broken = change(good, lambda name, content: (name, b"GIF89a broken" if name.startswith("pictures/") else content))
    response = send(stack, broken)
    assert (response.status_code, response.json["tokens"], len(response.json["problems"])) == (201, 3, 2)
    found = stores.gallery.collections.find(response.json["collection"]["slug"]).collection
    assert [token.media.status for token in tokens_of(stack, found)] == [MediaStatus.FAILED] * 2 + [MediaStatus.NONE]


def test_an_import_without_its_storage_keeps_nothing(stack: PictureStack) -> None:
    """The media store fails at the second picture: 503, and the tokens and the collection are gone; later it works."""
    good = export(stack, fill(stack).slug)
    gallery, scratch = stack.app.stores.gallery, stack.media_folder / "scratch"
    before = gallery.collections.list_latest(Page()).items
    keep, calls = PictureRequests.keep_file, []

    def fail_later(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            # A file where the folder was: every write below it fails.
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.write_bytes(b"")
        return keep(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PictureRequests, "keep_file", fail_later)
        response = send(stack, good)
    assert (response.status_code, response.json["error"]["code"]) == (503, "unavailable")
    assert gallery.collections.list_latest(Page()).items == before
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
        await page.wait_for_function("[...document.images].every((image) => image.complete)")
        widths: list[int] = await page.evaluate("[...document.images].map((image) => image.naturalWidth)")
        return widths

    widths = shared_browser.run(look)
    assert len(widths) == 2
    assert min(widths) > 0
    assert {url.split(":")[0] for url in requests} == {"file"}
    assert dialogs == []
