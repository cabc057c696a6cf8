"""Pictures of models over HTTP: given by people, kept from jobs, found beside the files."""

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
def shelf(settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """A front with two LoRAs, one of which has a picture beside it, and a checkpoint."""
    folder = tmp_path / "models"
    write_safetensors(folder / "loras" / "sub" / "ink.safetensors", data=b"ink")
    (folder / "loras" / "sub" / "ink.preview.png").write_bytes(PNG)
    write_safetensors(folder / "loras" / "other.safetensors", data=b"other")
    write_safetensors(folder / "checkpoints" / "base.safetensors", data=b"base")
    with open_library_app(settings, folder) as shelf:
        shelf.scan()
        shelf.hash()
        yield shelf


@pytest.fixture
def looked(shelf: LibraryApp) -> Iterator[list[str]]:
    """A courier, and what it has looked at."""
    with run_image_inspector(shelf.stores) as looked:
        yield looked


def give(shelf: LibraryApp, ident: int, data: bytes = PNG, **fields: str) -> Any:
    """What an upload is answered, as a client sends it that calls everything a PNG."""
    form = httpx.Request("POST", "http://x", data=fields, files={"file": ("picture.png", data, "image/png")})
    return shelf.request("POST", f"/{ident}/images", data=form.read(), content_type=form.headers["Content-Type"])


def given(shelf: LibraryApp, ident: int, data: bytes = PNG, **fields: str) -> Any:
    """What an upload that works is answered."""
    answer = give(shelf, ident, data, **fields)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return answer.json


def objects(shelf: LibraryApp) -> set[str]:
    """What the media store has."""
    media = shelf.stores.media
    return {
        key
        for prefix in (UPLOADS_PREFIX, LIBRARY_PREFIX)
        for keys in media.list_older_than(prefix, 2**52)
        for key in keys
    }


def test_a_picture_is_given_with_all_that_is_said_of_it(shelf: LibraryApp, looked: list[str]) -> None:
    """Its type is that of its bytes; numbers of 64 bits stay; what is no number becomes null."""
    ident = shelf.find_id("ink")
    version = shelf.get(f"/{ident}")["versions"][0]["id"]
    image = given(
        shelf,
        ident,
        JPEG,
        versionId=str(version),
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
    said = ("modelId", "versionId", "prompt", "nsfwLevel", "sortOrder", "width", "height", "isUserUpload", "jobId")
    assert [image[name] for name in said] == [ident, version, "a ship \u2603", 4, 0, 64, 48, True, None]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", image["createdAt"])
    assert [one["name"] for one in image["uses"]["have"]] == ["sub\\ink"]
    assert [one["name"] for one in image["uses"]["lack"]] == ["nobodys", "x"]

    shown = {name: value for name, value in image.items() if name != "uses"}
    assert shelf.get(f"/{ident}/images") == shelf.get("/api/v1/images/recent") == [shown]
    assert shelf.get(f"/{ident}/images/{image['id']}") == image
    model = shelf.get(f"/{ident}")
    assert model["versions"][0]["images"][0] == shown
    assert (model["modelLevelImages"], model["nsfwLevel"], model["heroImage"]["id"]) == ([], 4, image["id"])
    assert shelf.find_id("has:images nsfw:4") == ident

    path = image["localPath"].removeprefix("http://127.0.0.1:3000")
    answer = shelf.request("GET", path)
    assert (answer.data, answer.mimetype) == (JPEG, "image/jpeg")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert (answer.headers["Content-Disposition"], "private" in answer.headers["Cache-Control"]) == ("inline", True)
    assert shelf.request("GET", path, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    thumb = shelf.request("GET", f"{path}/thumb")
    assert (thumb.mimetype, decode(thumb.data).format) == ("image/webp", "WEBP")
    assert len(looked) == 1


def test_what_the_file_says_is_filled_in_field_by_field(shelf: LibraryApp, looked: list[str]) -> None:
    """What the sender says wins; what is empty is not said; models are found by their hash and by their name."""
    files = [shelf.get(f"/{shelf.find_id(name)}")["versions"][0]["files"][0]["hashes"] for name in ("ink", "base")]
    about = PngInfo()
    about.add_text(
        "parameters",
        "a ship\nNegative prompt: bad\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 64x48, "
        f"Model hash: {files[1]['AutoV2']}, Model: renamed, "
        f'Lora hashes: "renamed too: {files[0]["AutoV3"]}, unknown: 0123456789ab"',
    )
    data = encode(draw_image(), "PNG", pnginfo=about)
    image = given(
        shelf, shelf.find_id("other"), data, steps="30", seed="", prompt=" ", versionId="", nsfwLevel="", loras=""
    )
    params = image["generationParams"]
    assert image["prompt"] == "a ship"
    assert (params["steps"], params["seed"], params["sampler"], params["cfgScale"]) == (30, 5, "Euler a", 7.0)
    assert params["negativePrompt"] == "bad"
    assert "prompt" not in params
    have = {one["name"]: one["model"]["name"] for one in image["uses"]["have"]}
    assert have == {"renamed": "base", "renamed too": "ink"}
    assert [one["name"] for one in image["uses"]["lack"]] == ["unknown"]
    assert (image["versionId"], image["nsfwLevel"]) == (None, 0)
    other = shelf.get(f"/{shelf.find_id('other')}")
    assert [one["id"] for one in other["modelLevelImages"]] == [image["id"]]


def test_models_are_found_by_their_folder_and_by_the_catalogues_number(shelf: LibraryApp, looked: list[str]) -> None:
    """As ComfyUI and catalogues name them; of two files of one name the one in that folder."""
    for place, number in (("loras/ink", 1), ("loras/sdxl/ink", 2), ("loras/sdxl/deep/ink", 3)):
        path = write_safetensors(shelf.folder / f"{place}.safetensors", data=b"%d" % number)
        said = {"id": 80 + number, "modelId": 70 + number, "name": "v", "model": {"name": place, "type": "LORA"}}
        path.with_suffix(".civitai.info").write_text(json.dumps(said))
    shelf.scan()
    names = ["sdxl/ink.safetensors", "sdxl\\deep\\ink.safetensors", "Deep/Ink", "elsewhere/ink"]
    numbers = [82, 99, True, 2**70, "82"]
    params = {
        "loras": [{"name": name} for name in names],
        "resources": [{"type": "lora", "civitaiVersionId": number} for number in numbers],
    }
    image = given(shelf, shelf.find_id("other"))["id"]
    uses = patch(shelf, shelf.find_id("other"), image, generationParams=params).json["uses"]
    have = [(one.get("name") or one["civitaiVersionId"], one["model"]["name"]) for one in uses["have"]]
    assert have[:4] == [
        (82, "loras/sdxl/ink"),
        (names[0], "loras/sdxl/ink"),
        (names[1], "loras/sdxl/deep/ink"),
        (names[2], "loras/sdxl/deep/ink"),
    ]
    assert have[4][0] == "elsewhere/ink"
    assert [one["civitaiVersionId"] for one in uses["lack"]] == numbers[1:]
    assert looked


WRONG: list[tuple[dict[str, str], str]] = [
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


def test_what_cannot_be_said_of_a_picture_is_told(shelf: LibraryApp) -> None:
    """Before anybody looks at it; nothing is kept."""
    ident, other = shelf.find_id("ink"), shelf.find_id("other")
    version = shelf.get(f"/{other}")["versions"][0]["id"]
    for fields, words in [*WRONG, ({"versionId": str(version)}, "has no version")]:
        answer = give(shelf, ident, **fields)
        assert (answer.status_code, answer.json["code"]) == (400, "invalid"), fields
        assert words in answer.json["error"], answer.json
        assert len(answer.data) < 1000
    assert give(shelf, 999_999).json["error"] == "Model not found"
    assert shelf.request("POST", "/x/images", data={}).json["error"] == "Invalid model ID"
    assert shelf.request("POST", f"/{ident}/images", data=b"x").status_code == 400
    assert shelf.get(f"/{ident}/images") == []
    assert eventually(lambda: not objects(shelf))


def test_what_is_no_picture_is_refused(shelf: LibraryApp, looked: list[str]) -> None:
    """Whatever it calls itself, with the reason; nothing is kept."""
    ident = shelf.find_id("ink")
    answer = give(shelf, ident, b"<!doctype html><script>alert(1)</script>")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid")
    assert "not a picture" in answer.json["error"]
    assert shelf.get(f"/{ident}/images") == []
    assert eventually(lambda: not objects(shelf))
    assert len(looked) == 1


def test_a_client_sends_what_it_sends(shelf: LibraryApp, looked: list[str]) -> None:
    """Over a real connection: multipart with a key, and errors that it reads from ``error``."""
    with serve_app(shelf.app.client.application) as address:
        url = f"{address}/api/v1/models/{shelf.find_id('ink')}/images"
        headers = {"Authorization": f"Bearer {API_KEY}"}
        fields = {"prompt": "a ship", "seed": "1", "loras": "[]", "comfyWorkflow": '{"x": NaN}'}
        files = {"file": ("ComfyUI_0001_.png", JPEG, "image/png")}
        sent = httpx.post(url, data=fields, files=files, headers=headers, trust_env=False, timeout=60)
        assert sent.status_code == 201
        assert sent.json()["generationParams"] == {"seed": 1, "comfyWorkflow": {"x": None}}
        for key, status in (("wrong", 401), (shelf.create_reader_key(), 403)):
            answer = httpx.post(
                url, files=files, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=60
            )
            assert (answer.status_code, isinstance(answer.json()["error"], str)) == (status, True)
    assert len(looked) == 1


def patch(shelf: LibraryApp, ident: int, image: int, **fields: Any) -> Any:
    """What a change is answered."""
    return shelf.request("PATCH", f"/{ident}/images/{image}", json=fields)


def test_a_picture_is_changed_and_taken_away(shelf: LibraryApp, looked: list[str]) -> None:
    """Field by field, null taking one back; by its own model's address only; its bytes go with it."""
    ident, other = shelf.find_id("ink"), shelf.find_id("other")
    image = given(shelf, ident, prompt="a ship", steps="20", comfyWorkflow=json.dumps({"x": "y" * 1_200_000}))["id"]
    changed = patch(
        shelf, ident, image, prompt="b", sortOrder=7, generationParams={"seed": 2**64 - 1, "steps": None}
    ).json
    assert (changed["prompt"], changed["sortOrder"], changed["generationParams"]["seed"]) == ("b", 7, 2**64 - 1)
    assert "steps" not in changed["generationParams"]
    assert len(changed["generationParams"]["comfyWorkflow"]["x"]) == 1_200_000
    assert patch(shelf, ident, image, prompt=None, generationParams={"comfyWorkflow": None}).json["prompt"] is None
    assert patch(shelf, ident, image).json["generationParams"] == {"seed": 2**64 - 1}

    levels = {0: 0, 1: 1, 2: 2, 3: 4, 4: 4, 8: 8, 16: 16, 32: 32}
    assert {said: patch(shelf, ident, image, nsfwLevel=said).json["nsfwLevel"] for said in levels} == levels
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
        assert patch(shelf, ident, image, **body).status_code == 400, body
    assert shelf.request("PATCH", f"/{ident}/images/{image}", data={"prompt": "form"}).status_code == 415

    for method in ("GET", "PATCH", "DELETE"):
        for path in (f"/{other}/images/{image}", f"/{ident}/images/999999", f"/{ident}/images/{2**40}"):
            answer = shelf.request(method, path, json={} if method == "PATCH" else None)
            assert (answer.status_code, answer.json["error"]) == (404, "Image not found"), path
        assert shelf.request(method, f"/{ident}/images/x", json={}).json["error"] == "Invalid image ID"

    assert eventually(lambda: len(objects(shelf)) == 2)
    gone = shelf.request("DELETE", f"/{ident}/images/{image}")
    assert (gone.status_code, gone.json) == (200, {"success": True})
    assert shelf.request("DELETE", f"/{ident}/images/{image}").status_code == 404
    assert shelf.request("GET", f"/api/v1/images/{image}").status_code == 404
    assert eventually(lambda: not objects(shelf))
    assert looked


HOSTILE_PARAMS: list[str] = [
    '{"resources": 5, "loras": "ink", "model": {"a": 1}}',
    '{"resources": [5, null, {"type": ["x"], "name": {}, "hash": 5}], "loras": [[], {"name": 7}]}',
    '{"resources": [{"type": "lora", "name": "a\\u0000b", "hash": "\\u0000\\u00000000000"}], "model": "\\ud800"}',
    '{"loras": [{"name": "%_\'\\" OR 1=1", "strength": 1e999}], "model": "../../etc/passwd"}',
    '{"cfgScale": NaN, "x": Infinity, "y": -Infinity, "z": 1e999, "\\u0000\\ud800": "\\ud800"}',
    '{"seed": ' + "9" * 4000 + "}",
    '{"prompt": "hidden", "workflow": {"nodes": [1, 2, [3]]}}',
]


def test_parameters_of_any_kind_do_no_harm(shelf: LibraryApp, looked: list[str]) -> None:
    """They are shown as valid JSON, and looked up where they are names."""
    ident = shelf.find_id("ink")
    image = given(shelf, ident)["id"]
    for text in HOSTILE_PARAMS:
        answer = shelf.request(
            "PATCH", f"/{ident}/images/{image}", data=f'{{"generationParams": {text}}}', content_type="application/json"
        )
        assert answer.status_code == 200, (text[:80], answer.json)
        shown = shelf.request("GET", f"/{ident}/images/{image}").get_data(as_text=True)
        assert json.loads(shown, parse_constant=pytest.fail)["id"] == image
        assert "\\u0000" not in shown
        assert "\\ud800" not in shown
    for text in ('{"x":' * 70 + "1" + "}" * 70, '{"x":' * 100_000):
        answer = shelf.request(
            "PATCH", f"/{ident}/images/{image}", data=f'{{"generationParams": {text}}}', content_type="application/json"
        )
        assert answer.status_code == 400
    assert looked


def done(shelf: LibraryApp, *, key: str = API_KEY) -> str:
    """A job that has a picture."""
    asked = shelf.request(
        "POST", "/api/v1/jobs", key=key, json={"prompt": "a lighthouse", "inputs": {"seed": 7, "steps": 4}}
    )
    attempts = shelf.stores.attempts
    job = attempts.claim("w1")
    assert job
    attempts.mark_accepted(job)
    picture = GeneratedImage(PNG, "image/png", 64, 48)
    attempts.store_images(job, [picture], JPEG)
    attempts.complete(job, [picture])
    return str(asked.json["id"])


def keep(shelf: LibraryApp, ident: int, **body: Any) -> Any:
    """What is answered to who wants to keep a job's picture."""
    return shelf.request("POST", f"/{ident}/images", json=body)


def test_the_picture_of_a_job_is_kept(shelf: LibraryApp, looked: list[str]) -> None:
    """With how it was made; it outlives the job, which must be one's own and have a picture."""
    ident = shelf.find_id("ink")
    others = done(shelf, key=shelf.stores.api_keys.create("bob"))
    job = done(shelf)
    kept = keep(shelf, ident, jobId=job, nsfwLevel=1)
    assert kept.status_code == 201, kept.json
    said = kept.json
    assert (said["jobId"], said["prompt"], said["nsfwLevel"], said["isUserUpload"]) == (job, "a lighthouse", 1, True)
    assert said["generationParams"] == {"seed": 7, "steps": 4, "site": "studio"}

    for wrong in (others, "0" * 32, "x", "../../etc", "A" * 32, "0" * 31 + "\n"):
        assert (keep(shelf, ident, jobId=wrong).status_code, wrong) == (404, wrong)
    assert (
        shelf.request(
            "POST", f"/{ident}/images", data=b'{"jobId": "\\ud800"}', content_type="application/json"
        ).status_code
        == 404
    )
    waiting = shelf.request("POST", "/api/v1/jobs", json={"prompt": "a quiet lake"}).json["id"]
    assert (keep(shelf, ident, jobId=waiting).status_code, keep(shelf, ident, jobId=job, number=2).status_code) == (
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
        assert keep(shelf, ident, **body).status_code == 400, body
    shelf.stores.redis.delete(job_key(job, "image"))
    assert keep(shelf, ident, jobId=job).status_code == 410
    assert len(looked) == 1

    shelf.stores.redis.flushall()
    assert shelf.request("GET", f"/api/v1/jobs/{job}").status_code == 404
    assert shelf.get(f"/{ident}/images")[0]["jobId"] == job
    assert shelf.request("GET", f"/api/v1/images/{said['id']}").data == PNG
    assert eventually(lambda: len(objects(shelf)) == 2)


def test_a_picture_beside_its_model_is_shown(shelf: LibraryApp, looked: list[str]) -> None:
    """Its thumbnail is made once, and again when it has changed; nobody changes it from here."""
    ident = shelf.find_id("ink")
    image = shelf.get(f"/{ident}")["versions"][0]["images"][0]
    path = f"/api/v1/images/{image['id']}"
    assert (image["isUserUpload"], image["width"]) == (False, None)
    assert shelf.request("GET", path).data == PNG
    first = shelf.request("GET", f"{path}/thumb")
    assert (first.mimetype, decode(first.data).size) == ("image/webp", (64, 48))
    assert shelf.request("GET", f"{path}/thumb").data == first.data
    assert len(looked) == 1
    assert shelf.get(f"/{ident}")["versions"][0]["images"][0]["width"] == 64
    assert eventually(lambda: len(objects(shelf)) == 1)
    for method in ("PATCH", "DELETE"):
        assert shelf.request(method, f"/{ident}/images/{image['id']}", json={}).status_code == 404

    file = shelf.folder / "loras" / "sub" / "ink.preview.png"
    file.write_bytes(encode(draw_image((640, 480)), "PNG"))
    os.utime(file, ns=(9, 9))
    # Not yet scanned: what is shown is what is there, but it is not taken for what the index knows.
    assert decode(shelf.request("GET", f"{path}/thumb").data).size in ((64, 48), (400, 300))
    shelf.scan()
    assert decode(shelf.request("GET", f"{path}/thumb").data).size == (400, 300)
    again = shelf.get(f"/{ident}")["versions"][0]["images"][0]
    assert (again["id"], again["width"], again["height"]) == (image["id"], 640, 480)
    assert len(looked) == 2


def test_what_lies_beside_a_model_and_is_no_picture_is_not_shown(shelf: LibraryApp, looked: list[str]) -> None:
    """404; who asks again has the answer without another look. A link out is not followed."""
    ident = shelf.find_id("ink")
    image = shelf.get(f"/{ident}")["versions"][0]["images"][0]["id"]
    file = shelf.folder / "loras" / "sub" / "ink.preview.png"
    file.write_bytes(b"<script>alert(1)</script>")
    for tail in ("", "/thumb", "/thumb"):
        answer = shelf.request("GET", f"/api/v1/images/{image}{tail}")
        assert (answer.status_code, answer.mimetype) == (404, "application/json")
    assert len(looked) == 1
    assert eventually(lambda: not objects(shelf))
    file.unlink()
    file.symlink_to("/etc/hostname")
    for tail in ("", "/thumb"):
        assert shelf.request("GET", f"/api/v1/images/{image}{tail}").status_code == 403
    file.unlink()
    assert shelf.request("GET", f"/api/v1/images/{image}/thumb").status_code == 404


def test_what_no_row_knows_is_swept(shelf: LibraryApp, looked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an insert that failed; what a row knows stays."""
    ident = shelf.find_id("ink")
    image = given(shelf, ident)
    assert eventually(lambda: len(objects(shelf)) == 2)
    kept = objects(shelf)
    with monkeypatch.context() as patched:
        patched.setattr(type(shelf.stores.library.images), "add", _fail)
        assert give(shelf, ident).status_code == 503
    assert eventually(lambda: len(objects(shelf)) == 4)
    known = shelf.stores.library.images.list_media_keys()
    later = shelf.stores.clock.now_ms() + 2 * DAY_S * 1000
    assert delete_orphans(shelf.stores.media, known.intersection, now_ms=later) == 2
    assert objects(shelf) == kept == known
    assert shelf.request("GET", f"/api/v1/images/{image['id']}").data == PNG
    assert looked


def _fail(*_args: Any) -> None:
    raise Unavailable
