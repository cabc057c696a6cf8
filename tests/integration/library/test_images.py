"""Images of models over HTTP: uploads, images kept from jobs, previews beside model files."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL.PngImagePlugin import PngInfo

from ops.infra.settings import Settings
from schemas.errors import Unavailable
from schemas.images.inspected_image import LIBRARY_PREFIX, UPLOADS_PREFIX
from schemas.jobs.job import GeneratedImage
from stores.redis.keys import job_key
from tests.conftest import API_KEY, eventually
from tests.integration.conftest import serve_app
from tests.support.images import VALID_IMAGES, decode, draw_image, encode
from tests.support.library import LibraryApp, open_library_app, run_image_inspector
from tests.support.model_files import write_safetensors
from workers.library.media_gc import DAY_S, delete_orphans

PNG, JPEG = VALID_IMAGES["png"][0], VALID_IMAGES["jpeg"][0]
WORKFLOW = (
    '{"1": {"inputs": {"cfg": NaN, "denoise": Infinity, "x": 1e999, "y": -Infinity, "text": "a\\u0000b\\ud800"}}}'
)


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """An app with two LoRAs, one of which has a preview, and a checkpoint."""
    folder = tmp_path / "models"
    write_safetensors(folder / "loras" / "sub" / "ink.safetensors", data=b"ink")
    (folder / "loras" / "sub" / "ink.preview.png").write_bytes(PNG)
    write_safetensors(folder / "loras" / "other.safetensors", data=b"other")
    write_safetensors(folder / "checkpoints" / "base.safetensors", data=b"base")
    with open_library_app(settings, folder) as library:
        library.scan()
        library.hash()
        yield library


@pytest.fixture
def inspected(library: LibraryApp) -> Iterator[list[str]]:
    """Inspect uploads in a thread; the keys of the inspected ones."""
    with run_image_inspector(library.stores) as inspected:
        yield inspected


def upload(library: LibraryApp, model_id: int, data: bytes = PNG, **fields: str) -> Any:
    """Upload an image as a client does that declares every image as PNG."""
    form = httpx.Request("POST", "http://x", data=fields, files={"file": ("picture.png", data, "image/png")})
    return library.request("POST", f"/{model_id}/images", data=form.read(), content_type=form.headers["Content-Type"])


def upload_ok(library: LibraryApp, model_id: int, data: bytes = PNG, **fields: str) -> Any:
    """Return the JSON of a successful upload."""
    response = upload(library, model_id, data, **fields)
    assert response.status_code == 201, response.get_data(as_text=True)
    return response.json


def media_objects(library: LibraryApp) -> set[str]:
    """Return the keys of all objects in the media store."""
    media = library.stores.media
    return {
        key
        for prefix in (UPLOADS_PREFIX, LIBRARY_PREFIX)
        for keys in media.list_older_than(prefix, 2**52)
        for key in keys
    }


def test_an_uploaded_image_keeps_its_form_fields(library: LibraryApp, inspected: list[str]) -> None:
    """Its type is detected, 64-bit numbers stay exact, and values that are no numbers become null."""
    model_id = library.find_id("ink")
    version_id = library.get(f"/{model_id}")["versions"][0]["id"]
    image = upload_ok(
        library,
        model_id,
        JPEG,
        versionId=str(version_id),
        prompt="a ship \u2603",
        negativePrompt="bad",
        seed=str(2**64 - 1),
        steps="20",
        cfgScale="7.5",
        sampler="Euler a",
        scheduler="Karras",
        nsfwLevel="3",
        loras='[{"name": "sub\\\\ink", "strength": 0.8}, {"name": "nobodys", "strength": NaN}, {"name": "x", "n": 1}]',
        comfyWorkflow=WORKFLOW,
        whatever="clients send fields of their own",
    )
    assert image["generationParams"] == {
        "negativePrompt": "bad",
        "seed": 18446744073709551615,
        "steps": 20,
        "cfgScale": 7.5,
        "sampler": "Euler a",
        "scheduler": "Karras",
        "loras": [{"name": "sub\\ink", "strength": 0.8}, {"name": "nobodys"}, {"name": "x"}],
        "comfyWorkflow": {"1": {"inputs": {"cfg": None, "denoise": None, "x": None, "y": None, "text": "ab"}}},
    }
    names = ("modelId", "versionId", "prompt", "nsfwLevel", "sortOrder", "width", "height", "isUserUpload", "jobId")
    assert [image[name] for name in names] == [model_id, version_id, "a ship \u2603", 4, 0, 64, 48, True, None]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", image["createdAt"])
    assert [entry["name"] for entry in image["uses"]["have"]] == ["sub\\ink"]
    assert [entry["name"] for entry in image["uses"]["lack"]] == ["nobodys", "x"]

    view = {name: value for name, value in image.items() if name != "uses"}
    assert library.get(f"/{model_id}/images") == library.get("/api/v1/images/recent") == [view]
    assert library.get(f"/{model_id}/images/{image['id']}") == image
    model = library.get(f"/{model_id}")
    assert model["versions"][0]["images"][0] == view
    assert (model["modelLevelImages"], model["nsfwLevel"], model["heroImage"]["id"]) == ([], 4, image["id"])
    assert library.find_id("has:images nsfw:4") == model_id

    path = image["localPath"].removeprefix("http://127.0.0.1:3000")
    response = library.request("GET", path)
    assert (response.data, response.mimetype) == (JPEG, "image/jpeg")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("sandbox")
    assert (response.headers["Content-Disposition"], "private" in response.headers["Cache-Control"]) == ("inline", True)
    assert library.request("GET", path, headers={"If-None-Match": response.headers["ETag"]}).status_code == 304
    thumb = library.request("GET", f"{path}/thumb")
    assert (thumb.mimetype, decode(thumb.data).format) == ("image/webp", "WEBP")
    assert len(inspected) == 1


def test_embedded_params_fill_missing_fields(library: LibraryApp, inspected: list[str]) -> None:
    """Form fields override them, empty ones do not; models are matched by hash and by name."""
    files = [library.get(f"/{library.find_id(name)}")["versions"][0]["files"][0]["hashes"] for name in ("ink", "base")]
    png_info = PngInfo()
    png_info.add_text(
        "parameters",
        "a ship\nNegative prompt: bad\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 64x48, "
        f"Model hash: {files[1]['AutoV2']}, Model: renamed, "
        f'Lora hashes: "renamed too: {files[0]["AutoV3"]}, unknown: 0123456789ab"',
    )
    data = encode(draw_image(), "PNG", pnginfo=png_info)
    image = upload_ok(
        library, library.find_id("other"), data, steps="30", seed="", prompt=" ", versionId="", nsfwLevel="", loras=""
    )
    params = image["generationParams"]
    assert image["prompt"] == "a ship"
    assert (params["steps"], params["seed"], params["sampler"], params["cfgScale"]) == (30, 5, "Euler a", 7.0)
    assert params["negativePrompt"] == "bad"
    assert "prompt" not in params
    have = {entry["name"]: entry["model"]["name"] for entry in image["uses"]["have"]}
    assert have == {"renamed": "base", "renamed too": "ink"}
    assert [entry["name"] for entry in image["uses"]["lack"]] == ["unknown"]
    assert (image["versionId"], image["nsfwLevel"]) == (None, 0)
    other = library.get(f"/{library.find_id('other')}")
    assert [entry["id"] for entry in other["modelLevelImages"]] == [image["id"]]


def test_resources_are_matched_by_folder_and_civitai_version(library: LibraryApp, inspected: list[str]) -> None:
    """Of two files with one name, the one in the named folder is meant."""
    for place, number in (("loras/ink", 1), ("loras/sdxl/ink", 2), ("loras/sdxl/deep/ink", 3)):
        path = write_safetensors(library.folder / f"{place}.safetensors", data=b"%d" % number)
        sidecar = {"id": 80 + number, "modelId": 70 + number, "name": "v", "model": {"name": place, "type": "LORA"}}
        path.with_suffix(".civitai.info").write_text(json.dumps(sidecar))
    library.scan()
    names = ["sdxl/ink.safetensors", "sdxl\\deep\\ink.safetensors", "Deep/Ink", "elsewhere/ink"]
    numbers = [82, 99, True, 2**70, "82"]
    params = {
        "loras": [{"name": name} for name in names],
        "resources": [{"type": "lora", "civitaiVersionId": number} for number in numbers],
    }
    image = upload_ok(library, library.find_id("other"))["id"]
    uses = edit(library, library.find_id("other"), image, generationParams=params).json["uses"]
    have = [(entry.get("name") or entry["civitaiVersionId"], entry["model"]["name"]) for entry in uses["have"]]
    assert have[:4] == [
        (82, "loras/sdxl/ink"),
        (names[0], "loras/sdxl/ink"),
        (names[1], "loras/sdxl/deep/ink"),
        (names[2], "loras/sdxl/deep/ink"),
    ]
    assert have[4][0] == "elsewhere/ink"
    assert [entry["civitaiVersionId"] for entry in uses["lack"]] == numbers[1:]
    assert inspected


INVALID_FIELDS: list[tuple[dict[str, str], str]] = [
    ({"seed": str(2**64)}, "seed:"),
    ({"seed": "1.5"}, "seed:"),
    ({"seed": "9" * 5000}, "seed:"),
    ({"steps": "-1"}, "steps:"),
    ({"cfgScale": "NaN"}, "cfgScale:"),
    ({"cfgScale": "inf"}, "cfgScale:"),
    ({"cfgScale": "seven"}, "cfgScale:"),
    ({"nsfwLevel": "5"}, "nsfwLevel: 5 is not a level"),
    ({"nsfwLevel": "64"}, "nsfwLevel:"),
    ({"nsfwLevel": "R"}, "nsfwLevel:"),
    ({"loras": "ink"}, "loras: the value is not JSON"),
    ({"loras": "{}"}, "loras: must be a JSON list"),
    ({"loras": '[{"name": 5}]'}, "loras: must be a list"),
    ({"loras": json.dumps([{"name": "x"}] * 101)}, "loras: must be a list"),
    ({"comfyWorkflow": "[]"}, "comfyWorkflow: must be a JSON object"),
    ({"comfyWorkflow": "{"}, "comfyWorkflow: the value is not JSON"),
    ({"comfyWorkflow": '{"a":' * 70 + "1" + "}" * 70}, "comfyWorkflow: the value is nested more than 64 levels deep"),
    ({"comfyWorkflow": '{"a":' * 200_000}, "comfyWorkflow: the value is nested more than 64 levels deep"),
    ({"versionId": "x"}, "versionId:"),
    ({"versionId": "999999"}, "versionId: the model has no version 999999"),
    ({"versionId": str(2**40)}, "versionId:"),
    ({"prompt": "x" * 100_001}, "prompt:"),
    ({"sampler": "x" * 201}, "sampler:"),
]


def test_invalid_form_fields_are_rejected(library: LibraryApp) -> None:
    """They are rejected before the image is inspected, and nothing is stored."""
    model_id, other = library.find_id("ink"), library.find_id("other")
    version_id = library.get(f"/{other}")["versions"][0]["id"]
    for fields, message in [*INVALID_FIELDS, ({"versionId": str(version_id)}, "has no version")]:
        response = upload(library, model_id, **fields)
        assert (response.status_code, response.json["code"]) == (400, "invalid"), fields
        assert message in response.json["error"], response.json
        assert len(response.data) < 1000
    assert upload(library, 999_999).json["error"] == "Model not found"
    assert library.request("POST", "/x/images", data={}).json["error"] == "Invalid model ID"
    assert library.request("POST", f"/{model_id}/images", data=b"x").status_code == 400
    assert library.get(f"/{model_id}/images") == []
    assert eventually(lambda: not media_objects(library))


def test_files_that_are_no_images_are_rejected(library: LibraryApp, inspected: list[str]) -> None:
    """The error has the reason, and nothing is stored."""
    model_id = library.find_id("ink")
    response = upload(library, model_id, b"<!doctype html><script>alert(1)</script>")
    assert (response.status_code, response.json["code"]) == (400, "invalid")
    assert "not a picture" in response.json["error"]
    assert library.get(f"/{model_id}/images") == []
    assert eventually(lambda: not media_objects(library))
    assert len(inspected) == 1


def test_uploads_over_a_real_connection(library: LibraryApp, inspected: list[str]) -> None:
    """The request is multipart with a key, and the error is in `error`."""
    with serve_app(library.app.client.application) as address:
        url = f"{address}/api/v1/models/{library.find_id('ink')}/images"
        headers = {"Authorization": f"Bearer {API_KEY}"}
        fields = {"prompt": "a ship", "seed": "1", "loras": "[]", "comfyWorkflow": '{"x": NaN}'}
        files = {"file": ("ComfyUI_0001_.png", JPEG, "image/png")}
        sent = httpx.post(url, data=fields, files=files, headers=headers, trust_env=False, timeout=60)
        assert sent.status_code == 201
        assert sent.json()["generationParams"] == {"seed": 1, "comfyWorkflow": {"x": None}}
        for key, status in (("wrong", 401), (library.create_reader_key(), 403)):
            response = httpx.post(
                url, files=files, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=60
            )
            assert (response.status_code, isinstance(response.json()["error"], str)) == (status, True)
    assert len(inspected) == 1


def edit(library: LibraryApp, model_id: int, image: int, **fields: Any) -> Any:
    """Return the response to an edit of an image."""
    return library.request("PATCH", f"/{model_id}/images/{image}", json=fields)


def test_user_images_are_edited_and_deleted(library: LibraryApp, inspected: list[str]) -> None:
    """Null removes a field; only images of the named model are found; their objects are deleted with them."""
    model_id, other = library.find_id("ink"), library.find_id("other")
    workflow = json.dumps({"x": "y" * 1_200_000})
    image = upload_ok(library, model_id, prompt="a ship", steps="20", comfyWorkflow=workflow)["id"]
    changed = edit(
        library, model_id, image, prompt="b", sortOrder=7, generationParams={"seed": 2**64 - 1, "steps": None}
    ).json
    assert (changed["prompt"], changed["sortOrder"], changed["generationParams"]["seed"]) == ("b", 7, 2**64 - 1)
    assert "steps" not in changed["generationParams"]
    assert len(changed["generationParams"]["comfyWorkflow"]["x"]) == 1_200_000
    assert edit(library, model_id, image, prompt=None, generationParams={"comfyWorkflow": None}).json["prompt"] is None
    assert edit(library, model_id, image).json["generationParams"] == {"seed": 2**64 - 1}

    levels = {0: 0, 1: 1, 2: 2, 3: 4, 4: 4, 8: 8, 16: 16, 32: 32}
    assert {level: edit(library, model_id, image, nsfwLevel=level).json["nsfwLevel"] for level in levels} == levels
    for body in (
        {"nsfwLevel": 5},
        {"nsfwLevel": None},
        {"nsfwLevel": "R"},
        {"sortOrder": -1},
        {"generationParams": []},
        {"generationParams": None},
        {"colour": "red"},
        {"prompt": 5},
        {"id": 1},
    ):
        assert edit(library, model_id, image, **body).status_code == 400, body
    assert library.request("PATCH", f"/{model_id}/images/{image}", data={"prompt": "form"}).status_code == 415

    for method in ("GET", "PATCH", "DELETE"):
        for path in (f"/{other}/images/{image}", f"/{model_id}/images/999999", f"/{model_id}/images/{2**40}"):
            response = library.request(method, path, json={} if method == "PATCH" else None)
            assert (response.status_code, response.json["error"]) == (404, "Image not found"), path
        assert library.request(method, f"/{model_id}/images/x", json={}).json["error"] == "Invalid image ID"

    assert eventually(lambda: len(media_objects(library)) == 2)
    deleted = library.request("DELETE", f"/{model_id}/images/{image}")
    assert (deleted.status_code, deleted.json) == (200, {"success": True})
    assert library.request("DELETE", f"/{model_id}/images/{image}").status_code == 404
    assert library.request("GET", f"/api/v1/images/{image}").status_code == 404
    assert eventually(lambda: not media_objects(library))
    assert inspected


HOSTILE_PARAMS: list[str] = [
    '{"resources": 5, "loras": "ink", "model": {"a": 1}}',
    '{"resources": [5, null, {"type": ["x"], "name": {}, "hash": 5}], "loras": [[], {"name": 7}]}',
    '{"resources": [{"type": "lora", "name": "a\\u0000b", "hash": "\\u0000\\u00000000000"}], "model": "\\ud800"}',
    '{"loras": [{"name": "%_\'\\" OR 1=1", "strength": 1e999}], "model": "../../etc/passwd"}',
    '{"cfgScale": NaN, "x": Infinity, "y": -Infinity, "z": 1e999, "\\u0000\\ud800": "\\ud800"}',
    '{"seed": ' + "9" * 4000 + "}",
    '{"prompt": "hidden", "workflow": {"nodes": [1, 2, [3]]}}',
]


def test_hostile_params_are_shown_as_valid_json(library: LibraryApp, inspected: list[str]) -> None:
    """Names in them are looked up in the library."""
    model_id = library.find_id("ink")
    image = upload_ok(library, model_id)["id"]
    for text in HOSTILE_PARAMS:
        response = library.request(
            "PATCH",
            f"/{model_id}/images/{image}",
            data=f'{{"generationParams": {text}}}',
            content_type="application/json",
        )
        assert response.status_code == 200, (text[:80], response.json)
        view = library.request("GET", f"/{model_id}/images/{image}").get_data(as_text=True)
        assert json.loads(view, parse_constant=pytest.fail)["id"] == image
        assert "\\u0000" not in view
        assert "\\ud800" not in view
    for text in ('{"x":' * 70 + "1" + "}" * 70, '{"x":' * 100_000):
        response = library.request(
            "PATCH",
            f"/{model_id}/images/{image}",
            data=f'{{"generationParams": {text}}}',
            content_type="application/json",
        )
        assert response.status_code == 400
    assert inspected


def complete_job(library: LibraryApp, *, key: str = API_KEY) -> str:
    """Create a job with an image; return its id."""
    created = library.request(
        "POST", "/api/v1/jobs", key=key, json={"prompt": "a lighthouse", "inputs": {"seed": 7, "steps": 4}}
    )
    attempts = library.stores.attempts
    job = attempts.claim("w1")
    assert job
    attempts.mark_accepted(job)
    result = GeneratedImage(PNG, "image/png", 64, 48)
    attempts.store_images(job, [result], JPEG)
    attempts.complete(job, [result])
    return str(created.json["id"])


def keep_job_image(library: LibraryApp, model_id: int, **body: Any) -> Any:
    """Return the response to a request to keep an image of a job."""
    return library.request("POST", f"/{model_id}/images", json=body)


def test_an_image_of_a_job_is_kept(library: LibraryApp, inspected: list[str]) -> None:
    """It keeps its parameters and outlives the job; only own jobs with an image are accepted."""
    model_id = library.find_id("ink")
    foreign_job = complete_job(library, key=library.stores.api_keys.create("bob"))
    job = complete_job(library)
    kept = keep_job_image(library, model_id, jobId=job, nsfwLevel=1)
    assert kept.status_code == 201, kept.json
    image = kept.json
    assert (image["jobId"], image["prompt"], image["nsfwLevel"], image["isUserUpload"]) == (
        job,
        "a lighthouse",
        1,
        True,
    )
    assert image["generationParams"] == {"seed": 7, "steps": 4, "site": "studio"}

    for invalid_id in (foreign_job, "0" * 32, "x", "../../etc", "A" * 32, "0" * 31 + "\n"):
        assert (keep_job_image(library, model_id, jobId=invalid_id).status_code, invalid_id) == (404, invalid_id)
    assert (
        library.request(
            "POST", f"/{model_id}/images", data=b'{"jobId": "\\ud800"}', content_type="application/json"
        ).status_code
        == 404
    )
    waiting = library.request("POST", "/api/v1/jobs", json={"prompt": "a quiet lake"}).json["id"]
    assert (
        keep_job_image(library, model_id, jobId=waiting).status_code,
        keep_job_image(library, model_id, jobId=job, number=2).status_code,
    ) == (
        409,
        410,
    )
    for body in (
        {},
        {"jobId": 5},
        {"jobId": job, "versionId": 999_999},
        {"jobId": job, "nsfwLevel": 5},
        {"jobId": job, "x": 1},
    ):
        assert keep_job_image(library, model_id, **body).status_code == 400, body
    library.stores.redis.delete(job_key(job, "image"))
    assert keep_job_image(library, model_id, jobId=job).status_code == 410
    assert len(inspected) == 1

    library.stores.redis.flushall()
    assert library.request("GET", f"/api/v1/jobs/{job}").status_code == 404
    assert library.get(f"/{model_id}/images")[0]["jobId"] == job
    assert library.request("GET", f"/api/v1/images/{image['id']}").data == PNG
    assert eventually(lambda: len(media_objects(library)) == 2)


def test_previews_and_their_thumbnails_are_served(library: LibraryApp, inspected: list[str]) -> None:
    """The thumbnail is made once, and again after a change; previews cannot be edited."""
    model_id = library.find_id("ink")
    image = library.get(f"/{model_id}")["versions"][0]["images"][0]
    path = f"/api/v1/images/{image['id']}"
    assert (image["isUserUpload"], image["width"]) == (False, None)
    assert library.request("GET", path).data == PNG
    first = library.request("GET", f"{path}/thumb")
    assert (first.mimetype, decode(first.data).size) == ("image/webp", (64, 48))
    assert library.request("GET", f"{path}/thumb").data == first.data
    assert len(inspected) == 1
    assert library.get(f"/{model_id}")["versions"][0]["images"][0]["width"] == 64
    assert eventually(lambda: len(media_objects(library)) == 1)
    for method in ("PATCH", "DELETE"):
        assert library.request(method, f"/{model_id}/images/{image['id']}", json={}).status_code == 404

    file = library.folder / "loras" / "sub" / "ink.preview.png"
    file.write_bytes(encode(draw_image((640, 480)), "PNG"))
    os.utime(file, ns=(9, 9))
    # Not yet scanned: the new bytes are shown, but the index keeps what it knows about the old ones.
    assert decode(library.request("GET", f"{path}/thumb").data).size in ((64, 48), (400, 300))
    library.scan()
    assert decode(library.request("GET", f"{path}/thumb").data).size == (400, 300)
    again = library.get(f"/{model_id}")["versions"][0]["images"][0]
    assert (again["id"], again["width"], again["height"]) == (image["id"], 640, 480)
    assert len(inspected) == 2


def test_previews_that_are_no_images_are_not_served(library: LibraryApp, inspected: list[str]) -> None:
    """The failed inspection is stored; links out of the library are not followed."""
    model_id = library.find_id("ink")
    image = library.get(f"/{model_id}")["versions"][0]["images"][0]["id"]
    file = library.folder / "loras" / "sub" / "ink.preview.png"
    file.write_bytes(b"<script>alert(1)</script>")
    for tail in ("", "/thumb", "/thumb"):
        response = library.request("GET", f"/api/v1/images/{image}{tail}")
        assert (response.status_code, response.mimetype) == (404, "application/json")
    assert len(inspected) == 1
    assert eventually(lambda: not media_objects(library))
    file.unlink()
    file.symlink_to("/etc/hostname")
    for tail in ("", "/thumb"):
        assert library.request("GET", f"/api/v1/images/{image}{tail}").status_code == 403
    file.unlink()
    assert library.request("GET", f"/api/v1/images/{image}/thumb").status_code == 404


def test_objects_without_a_row_are_deleted_later(
    library: LibraryApp, inspected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed insert leaves such objects; objects with a row stay."""
    model_id = library.find_id("ink")
    image = upload_ok(library, model_id)
    assert eventually(lambda: len(media_objects(library)) == 2)
    kept = media_objects(library)
    with monkeypatch.context() as patched:
        patched.setattr(type(library.stores.library.images), "add", _fail)
        assert upload(library, model_id).status_code == 503
    assert eventually(lambda: len(media_objects(library)) == 4)
    referenced = library.stores.library.images.list_media_keys()
    later = library.stores.clock.now_ms() + 2 * DAY_S * 1000
    assert delete_orphans(library.stores.media, referenced.intersection, now_ms=later) == 2
    assert media_objects(library) == kept == referenced
    assert library.request("GET", f"/api/v1/images/{image['id']}").data == PNG
    assert inspected


def _fail(*_args: Any) -> None:
    raise Unavailable
