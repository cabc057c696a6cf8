"""Provenance of tokens: recorded from a job, compared with the library, and run again."""

import base64
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sqlalchemy import event

from ops.infra.settings import Settings
from schemas.errors import Conflict, NotFound
from schemas.gallery.asset_names import new_asset_name
from schemas.gallery.assets import Asset
from schemas.gallery.collections import NewCollection
from schemas.gallery.provenance import MadeImage
from schemas.gallery.tokens import MediaStatus, NewToken, Token, TokenMedia
from schemas.images.input_images import InputImage
from schemas.jobs.generaitiv_requests import workload_id
from schemas.jobs.job import GeneratedImage, Job
from stores import Stores
from stores.gallery import provenance
from stores.gallery.provenance import Presence
from tests.conftest import API_KEY
from tests.support.images import VALID_IMAGES
from tests.support.library import LibraryApp, open_library_app, run_image_inspector
from tests.support.model_files import write_safetensors

PNG = VALID_IMAGES["png"][0]
OWNER = "owner"
MISSING = {"status": "missing", "modelId": None}
PROMPT = "a lighthouse <lora:other:0.5> at dusk"


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """An app with two LoRAs and a checkpoint, whose uploads are examined in a thread."""
    models = tmp_path / "models"
    for name in ("loras/ink", "loras/other", "checkpoints/base"):
        write_safetensors(models / f"{name}.safetensors", data=name.encode())
    with open_library_app(settings, models) as app, run_image_inspector(app.stores):
        app.scan()
        app.hash()
        yield app


def sha256_of_model(app: LibraryApp, search: str) -> str:
    """The SHA-256 of a model's only file."""
    model = app.stores.library.models.get(app.find_id(search))
    return str(model.versions[0].files[0].hashes["SHA256"])


def make_picture(checkpoint_sha256: str) -> bytes:
    """A picture as AUTOMATIC1111 writes it."""
    parameters = (
        f"{PROMPT}\nSteps: 4, Sampler: Euler, Seed: 99, Size: 8x8, Model hash: {checkpoint_sha256[:10]}, Model: base"
    )
    info = PngInfo()
    info.add_text("parameters", parameters)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def run_job(app: LibraryApp, picture: bytes, **body: Any) -> Job:
    """Submit a job, and complete it as a worker does."""
    response = app.request("POST", "/api/v1/jobs", json=body)
    assert response.status_code == 202, response.json
    job = complete(app, picture)
    assert job.id == response.json["id"]
    return job


def complete(app: LibraryApp, picture: bytes) -> Job:
    """Complete the next job."""
    attempts = app.stores.attempts
    job = attempts.claim("w1")
    assert job is not None
    attempts.mark_accepted(job)
    image = GeneratedImage(picture, "image/png", 8, 8)
    keys = attempts.store_images(job, [image], b"jpeg bytes")
    attempts.complete(job, [image], keys)
    return app.stores.jobs.get(job.id)


def make_token(stores: Stores, job: Job, picture: bytes, **fields: Any) -> Token:
    """Make a token from a job's picture."""
    digest = hashlib.sha256(picture).hexdigest()
    image = MadeImage(1, digest, "image/png", 8, 8, len(picture))
    record, inputs = provenance.record_result(stores, job, image, picture)
    name, key = new_asset_name("png"), f"gallery/tests/{digest}.png"
    stores.gallery.assets.hold([key])
    stores.media.put(key, picture)
    media = TokenMedia(MediaStatus.READY, sha256=digest, type="image/png", width=8, height=8, asset=name)
    assets = [Asset(name, key, "image/png", digest, len(picture)), *inputs]
    collection = stores.gallery.collections.create(OWNER, NewCollection("Sea"))
    token = NewToken("Dusk", provenance=record, workload_id=None, **fields)
    return stores.gallery.tokens.add_from_job(OWNER, collection, token, media, assets)


def start_img2img(app: LibraryApp) -> tuple[Job, bytes]:
    """Complete a job with a picture as input, two LoRAs, and a checkpoint that only its picture names."""
    picture = make_picture(sha256_of_model(app, "base"))
    init = "data:image/png;base64," + base64.b64encode(PNG).decode()
    inputs = {"init": init, "seed": 7, "steps": 4}
    body = {"site": "automatic1111_img2img", "prompt": PROMPT, "lora": "ink", "inputs": inputs}
    return run_job(app, picture, **body), picture


def test_a_token_knows_its_models_and_is_made_again(library: LibraryApp) -> None:
    """Models have the library's hashes; the new job has the same inputs and pictures after the old one has gone."""
    stores = library.stores
    job, picture = start_img2img(library)
    token = make_token(stores, job, picture)
    record = token.provenance
    assert record

    found = {each.used.name: each for each in provenance.find_models(stores, record)}
    assert {name: each.presence for name, each in found.items()} == dict.fromkeys(("ink", "other", "base"), "present")
    assert found["base"].used.hashes["SHA256"] == sha256_of_model(library, "base")
    assert found["other"].used.weight == 0.5
    assert (record["seed"], record["site"]["recipe"]) == (7, stores.recipes.get(job.request.site).version)

    stores.media.delete(InputImage.from_json(job.request.inputs["init"]).media_key(job.id, "init"))
    caller = stores.api_keys.authenticate(API_KEY)
    again = provenance.rerun(stores, caller, record, request_id="r2").job
    assert again.id != job.id
    assert again.request == job.request
    assert stores.input_images.load(again, stores.recipes.get(job.request.site))["init"].data == PNG

    (library.folder / "loras" / "ink.safetensors").rename(library.folder / "loras" / "ink-2.safetensors")
    library.scan()
    models = provenance.find_models(stores, record)
    assert provenance.build_request(stores, record, models).lora == "ink-2"

    kept = next(iter(record["keptInputs"].values()))
    stores.gallery.tokens.delete(OWNER, token.token_id)
    with pytest.raises(NotFound):
        stores.gallery.assets.find(kept)


def test_a_rerun_names_everything_that_is_missing(library: LibraryApp) -> None:
    """A model that was deleted or overwritten, a site and a picture that are gone: one conflict with all reasons."""
    stores = library.stores
    job, picture = start_img2img(library)
    record = make_token(stores, job, picture).provenance
    assert record
    caller = stores.api_keys.authenticate(API_KEY)

    (library.folder / "loras" / "other.safetensors").unlink()
    write_safetensors(library.folder / "loras" / "ink.safetensors", data=b"another content")
    library.scan()
    library.hash()
    found = {each.used.name: each.presence for each in provenance.find_models(stores, record)}
    assert found == {"ink": Presence.CHANGED, "other": Presence.MISSING, "base": Presence.PRESENT}
    with pytest.raises(Conflict) as conflict:
        provenance.rerun(stores, caller, {**record, "keptInputs": {}}, request_id="r2")
    reasons = conflict.value.details["reasons"]
    assert [word for word in ("'ink'", "'other'", "init", "base") if word in " ".join(reasons)] == [
        "'ink'",
        "'other'",
        "init",
    ]

    gone = {**record, "site": {**record["site"], "name": "closed"}}
    with pytest.raises(Conflict, match="closed"):
        provenance.rerun(stores, caller, gone, request_id="r3")
    refused = {**record, "inLibrary": [], "inputs": {**record["inputs"], "steps": -1}}
    with pytest.raises(Conflict, match="steps"):
        provenance.rerun(stores, caller, refused, request_id="r4")


def test_many_models_are_looked_up_in_few_statements(library: LibraryApp) -> None:
    """Their number does not grow with the models and hashes that the record names, in the API and on the page."""
    stores = library.stores
    job, picture = start_img2img(library)
    token = make_token(stores, job, picture)
    record = token.provenance or {}
    used = [
        {
            "kind": "lora",
            "name": f"lora {number}",
            "hashes": {f"h{each}": f"{number:06}{each:06}" for each in range(12)},
        }
        for number in range(100)
    ]
    many = {**record, "models": [*record["models"], *used]}
    stores.gallery.tokens.update(OWNER, token.token_id, {"provenance": many})
    statements: list[str] = []

    def note(*about: Any) -> None:
        statements.append(about[2])

    event.listen(stores.engine, "before_cursor_execute", note)
    for path in (f"/api/v1/gallery/tokens/{token.token_id}/provenance", f"/c/sea/{token.token_id}"):
        statements.clear()
        answer = call(library, path, headers={"Accept": "application/json" if "api" in path else "text/html"})
        assert answer.status_code == 200, path
        assert len(statements) < 40, path
    event.remove(stores.engine, "before_cursor_execute", note)

    found = provenance.find_models(stores, many)
    assert [each.presence for each in found] == [Presence.PRESENT] * 3 + [Presence.MISSING] * 100


def call(library: LibraryApp, path: str, *, key: str = API_KEY, headers: dict[str, str] | None = None) -> Any:
    """Send a GET to any path."""
    return library.app.client.get(path, headers={"Authorization": f"Bearer {key}", **(headers or {})})


def test_the_routes_show_provenance_and_make_again(library: LibraryApp) -> None:
    """Provenance, metadata, rerun and comparison; a kept job answers after its own expiry; private prompts stay so."""
    stores = library.stores
    body = {"prompt": "a lighthouse at dusk", "lora": "Ukiyo-e", "inputs": {"seed": 7, "width": 256, "height": 256}}
    job = run_job(library, PNG, **body)
    token = make_token(stores, job, PNG, is_prompt_private=True)
    path = f"/api/v1/gallery/tokens/{token.token_id}"
    bob = stores.api_keys.create("bob")

    seen = library.request("GET", f"{path}/provenance").json
    assert (seen["prompt"], seen["seed"], seen["jobId"]) == (body["prompt"], 7, job.id)
    assert seen["site"]["currentRecipe"] == seen["site"]["recipe"]
    assert seen["models"] == [{"kind": "lora", "name": "Ukiyo-e", "hashes": {}, "library": MISSING}]
    assert (seen["rerun"], "keptInputs" in seen) == ({"possible": True, "reasons": []}, False)
    hidden = library.request("GET", f"{path}/provenance", key=bob).json
    assert (hidden["prompt"], hidden["inputs"], hidden["isPromptPrivate"]) == (None, None, True)
    assert library.request("POST", f"{path}/rerun", key=bob).status_code == 403

    made = library.request("POST", f"{path}/rerun")
    assert (made.status_code, made.json["inputs"]) == (202, seen["inputs"])
    comparison = made.json["comparisonUrl"].removeprefix(stores.settings.public_url)
    assert library.request("GET", comparison).json["identical"] is None
    page = made.json["comparisonPageUrl"].removeprefix(stores.settings.public_url)
    html = {"Accept": "text/html"}
    waiting = call(library, page, headers=html).get_data(as_text=True)
    assert 'http-equiv="refresh"' in waiting
    assert "nothing to compare yet" in waiting
    assert library.request("GET", comparison, key=bob).status_code == 404
    complete(library, PNG)
    same = library.request("GET", comparison).json
    assert [same[name] for name in ("identical", "sameInputs", "deterministic", "recipeChanged")] == [True] * 3 + [
        False
    ]
    assert same["original"]["sha256"] == same["rerun"]["sha256"] == hashlib.sha256(PNG).hexdigest()
    done = call(library, page, headers=html).get_data(as_text=True)
    assert same["verdict"] == "Both pictures are the same, byte for byte."
    assert same["verdict"] in done
    assert "refresh" not in done
    assert f"/images/asset/{token.media.asset}" in done
    assert f"/api/v1/jobs/{made.json['id']}/result" in done
    assert call(library, page, key=bob, headers=html).status_code == 404
    again = library.request("POST", f"{path}/rerun").json["id"]
    complete(library, make_picture("0" * 64))
    assert library.request("GET", f"{path}/rerun/{again}").json["identical"] is False
    guess = library.request("POST", "/api/v1/jobs", json=body, key=bob).json["id"]
    complete(library, make_picture("0" * 64))
    compared = library.request("GET", f"{path}/rerun/{guess}", key=bob).json
    assert (compared["sameInputs"], compared["identical"]) == (None, False)
    assert "private" in compared["verdict"]


def test_metadata_and_workload_outlive_the_job(library: LibraryApp) -> None:
    """A kept job answers after its own expiry, to its owner; its metadata has no trace of a private prompt."""
    stores = library.stores
    job = run_job(library, PNG, prompt="a lighthouse at dusk")
    token = make_token(stores, job, PNG, is_prompt_private=True)
    bob = stores.api_keys.create("bob")
    document = call(library, f"/token/{token.token_id[2:]}.json")
    assert document.json["image"].endswith(f"/images/asset/{token.media.asset}")
    assert "lighthouse" not in document.get_data(as_text=True)
    headers = {"If-None-Match": document.headers["ETag"]}
    assert call(library, f"/token/{token.token_id[2:]}.json", headers=headers).status_code == 304
    for wrong in (token.token_id, f"{token.token_id}.json", f"{'0' * 64}.json", "x.json", "..%2f.json"):
        assert call(library, f"/token/{wrong}").status_code == 404

    workload = f"/v1/workload/{workload_id(job.id)}"
    before = call(library, workload).json
    stores.redis.flushdb()
    after = call(library, workload).json
    assert after == {**before, "link": document.json["image"]}
    assert call(library, workload, key=bob).status_code == 410


def test_a_token_without_a_job_has_no_provenance(library: LibraryApp) -> None:
    """404 with a reason; so has an unknown token."""
    gallery = library.stores.gallery
    collection = gallery.collections.create(OWNER, NewCollection("Land"))
    token = gallery.tokens.create(OWNER, collection, gallery.tokens.reserve_id(OWNER), NewToken("uploaded"))
    for token_id in (token.token_id, f"0x{'1' * 64}", "x"):
        for method, path in (("GET", "provenance"), ("POST", "rerun"), ("GET", f"rerun/{'a' * 32}")):
            response = library.request(method, f"/api/v1/gallery/tokens/{token_id}/{path}")
            assert (response.status_code, response.json["error"]["code"]) == (404, "not_found")
