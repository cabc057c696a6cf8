"""Images of models over HTTP: uploads, edits, images kept from jobs."""

import json
import re
from typing import Any

import httpx
import pytest

from schemas.errors import Unavailable
from schemas.images import formats
from schemas.jobs.job import GeneratedImage
from stores.redis.keys import job_key
from tests.conftest import API_KEY, eventually
from tests.integration.conftest import serve_app
from tests.support.images import VALID_IMAGES, decode
from tests.support.library import LibraryApp
from tests.support.library_images import PNG, media_objects, upload, upload_ok
from workers.library.media_gc import DAY_S, delete_orphans

JPEG = VALID_IMAGES["jpeg"][0]


WORKFLOW = (
    '{"1": {"inputs": {"cfg": NaN, "denoise": Infinity, "x": 1e999, "y": -Infinity, "text": "a\\u0000b\\ud800"}}}'
)


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


def complete_job(library: LibraryApp, *, key: str = API_KEY, data: bytes = PNG, media_type: str = "image/png") -> str:
    """Create a job with an image; return its id."""
    created = library.request(
        "POST", "/api/v1/jobs", key=key, json={"prompt": "a lighthouse", "inputs": {"seed": 7, "steps": 4}}
    )
    attempts = library.stores.attempts
    job = attempts.claim("w1")
    assert job
    attempts.mark_accepted(job)
    result = GeneratedImage(data, media_type, 64, 48)
    keys = attempts.store_images(job, [result], JPEG)
    attempts.complete(job, [result], keys)
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
    assert library.request("GET", f"/api/v1/jobs/{job}").status_code == 410
    assert library.get(f"/{model_id}/images")[0]["jobId"] == job
    assert library.request("GET", f"/api/v1/images/{image['id']}").data == PNG
    assert eventually(lambda: len(media_objects(library)) == 2)


@pytest.mark.parametrize(
    "name", ["avif", "moving avif", "gif without end mark", "jpeg without end mark", "png without end mark"]
)
def test_every_picture_that_a_job_delivers_is_kept(library: LibraryApp, inspected: list[str], name: str) -> None:
    """There is one list of what a picture is: it is kept, uploaded and shown beside a model alike."""
    data, media_type = VALID_IMAGES[name]
    model_id = library.find_id("ink")
    kept = keep_job_image(library, model_id, jobId=complete_job(library, data=data, media_type=media_type))
    assert kept.status_code == 201, kept.json
    assert kept.json["mediaType"] == media_type
    assert upload_ok(library, model_id, data)["mediaType"] == media_type
    path = library.folder / "loras" / f"other.{formats.BY_MEDIA_TYPE[media_type].extension}"
    path.write_bytes(data)
    library.scan()
    image = library.get(f"/{library.find_id('other')}")["heroImage"]
    assert library.request("GET", f"/api/v1/images/{image['id']}/thumb").status_code == 200
    assert len(inspected) == 3


def test_a_video_of_a_job_is_not_kept(library: LibraryApp, inspected: list[str]) -> None:
    """The message names what is."""
    job = complete_job(library, data=b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", media_type="video/mp4")
    refused = keep_job_image(library, library.find_id("ink"), jobId=job)
    assert refused.status_code == 400
    assert formats.ACCEPTED_TEXT in refused.get_data(as_text=True)
    assert inspected


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
