"""Pictures as inputs of jobs, in every API: where they may come from, what is refused, how long they are kept."""

import asyncio
import base64
import hashlib
import io
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from click.testing import CliRunner
from playwright._impl._driver import compute_driver_executable

from api.pages.client_js import CLIENT_FILE
from ops.cli.generate import generate
from ops.client import AsyncDarkroom, Darkroom, DarkroomError
from ops.infra.settings import Settings
from schemas.errors import InputMissing
from schemas.images import formats
from schemas.images.input_images import INPUTS_PREFIX, MAX_DATA_URL_BYTES
from schemas.images.inspected_image import MAX_IMAGE_BYTES, UPLOADS_PREFIX
from schemas.jobs.job import GeneratedImage
from stores.jobs.input_images import ORPHAN_AGE_S, InputImages
from stores.redis.keys import job_key, upload_key
from tests.conftest import API_KEY, eventually
from tests.integration.conftest import IMAGE, AppClient, close_app, open_app, serve_app
from tests.support.automatic_worker import AutomaticWorker
from tests.support.image_pages import image_page_recipe
from tests.support.images import REJECTED_IMAGES, TRAILING_DATA, VALID_IMAGES, draw_image, encode
from tests.support.library import run_image_inspector
from tests.support.recipe_files import write_recipe

PHOTO = encode(draw_image((96, 64)), "PNG")
MASK = encode(draw_image((96, 64), "L"), "PNG")
PROMPT = "a harbour in the evening"


@pytest.fixture
def pictures(settings: Settings, tmp_path: Path) -> Iterator[AppClient]:
    """An app whose default site takes pictures, with a process that examines them."""
    recipes = tmp_path / "recipes"
    write_recipe(
        recipes / "pictures.toml", image_page_recipe("http://127.0.0.1:9/", {"image": "init", "selectors": ["#init"]})
    )
    strict = image_page_recipe("http://127.0.0.1:9/", {"image": "init", "selectors": ["#init"]})
    strict["inputs"]["init"] |= {"required": True, "accept": ["image/jpeg"]}
    strict["inputs"]["seed"] = {"type": "integer"}
    write_recipe(recipes / "strict.toml", strict)
    app = open_app(replace(settings, recipes_dir=recipes, site="pictures"))
    with run_image_inspector(app.stores):
        yield app
    close_app(app)


def data_url(data: bytes, media_type: str = "image/png") -> str:
    """Return a data: URL."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def submit(app: AppClient, **inputs: Any) -> Any:
    """Submit a job in JSON."""
    return app.post("/api/v1/jobs", json={"prompt": PROMPT, "inputs": inputs})


def submit_form(
    app: AppClient, path: str = "/api/v1/jobs", headers: Mapping[str, str] | None = None, **fields: str | bytes
) -> Any:
    """Submit a form; values of type bytes are files."""
    parts = {name: ("x.bin" if isinstance(value, bytes) else None, value) for name, value in fields.items()}
    form = httpx.Request("POST", "http://x", files={"prompt": (None, PROMPT), **parts})
    return app.post(path, data=form.read(), headers=headers or {}, content_type=form.headers["Content-Type"])


def pictures_of(app: AppClient, job_id: str) -> dict[str, bytes]:
    """Return the bytes that a worker gets for the job."""
    job = app.stores.jobs.get(job_id)
    files = app.stores.input_images.load(job, app.stores.recipes.get(job.request.site))
    return {name: file.data for name, file in files.items()}


def stored_objects(app: AppClient) -> list[str]:
    """Return the keys of all objects in the media store that belong to inputs or wait for examination."""
    now_ms = app.stores.clock.now_ms() + 10_000
    prefixes = (INPUTS_PREFIX, UPLOADS_PREFIX, "library")
    return [key for prefix in prefixes for keys in app.stores.media.list_older_than(prefix, now_ms) for key in keys]


def finish(app: AppClient, job_id: str, *images: GeneratedImage) -> None:
    """Complete the job with these images."""
    job = app.stores.attempts.claim("w1")
    assert job is not None
    assert job.id == job_id
    app.stores.attempts.mark_accepted(job)
    keys = app.stores.attempts.store_images(job, images, b"jpeg")
    app.stores.attempts.complete(job, images, keys)


def test_a_form_carries_pictures_and_other_inputs(pictures: AppClient) -> None:
    """The job tells what it got, and a worker gets the bytes without any path on this machine."""
    response = submit_form(pictures, init=PHOTO, mask=MASK, priority="2")

    assert response.status_code == 202, response.text
    job = response.json
    assert job["priority"] == 2
    assert job["inputs"]["init"] == {
        "type": "image/png",
        "width": 96,
        "height": 64,
        "sizeBytes": len(PHOTO),
        "sha256": hashlib.sha256(PHOTO).hexdigest(),
    }
    assert pictures_of(pictures, job["id"]) == {"init": PHOTO, "mask": MASK}
    record = pictures.stores.redis.hget(job_key(job["id"], "job"), "inputs")
    assert str(pictures.stores.settings.data_dir) not in str(record)
    expected = [f"inputs/{job['id']}/{name}.png" for name in ("init", "mask")]
    eventually(lambda: sorted(stored_objects(pictures)) == expected)


@pytest.mark.parametrize("name", ["jpeg", "webp", "moving gif", "avif", "gif without end mark"])
def test_every_known_format_is_taken(pictures: AppClient, name: str) -> None:
    """The media type comes from the bytes."""
    data, media_type = VALID_IMAGES[name]
    job = submit_form(pictures, init=data).json

    assert job["inputs"]["init"]["type"] == media_type
    assert pictures_of(pictures, job["id"]) == {"init": data}


def test_a_key_has_a_limited_number_of_uploads(pictures: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are refused do not count, and a deleted one makes room."""
    monkeypatch.setattr("stores.jobs.input_images.MAX_UPLOADS", 2)
    photos = (b"no picture", PHOTO, PHOTO, PHOTO)
    answers = [pictures.post("/api/v1/uploads", data={"file": (io.BytesIO(photo), "p")}) for photo in photos]

    assert [answer.status_code for answer in answers] == [400, 201, 201, 429]
    assert answers[3].json["error"]["code"] == "limit_reached"
    assert 0 < int(answers[3].headers["Retry-After"]) <= 3600
    pictures.delete(f"/api/v1/uploads/{answers[1].json['id']}")
    assert pictures.post("/api/v1/uploads", data={"file": (io.BytesIO(PHOTO), "p")}).status_code == 201


def test_json_takes_data_urls_uploads_and_results(pictures: AppClient) -> None:
    """The three ways lead to the same picture; a shorthand names uploads and jobs in one text."""
    first = submit(pictures, init=data_url(PHOTO)).json
    finish(pictures, first["id"], GeneratedImage(MASK, "image/png", 96, 64), GeneratedImage(PHOTO, "image/png", 96, 64))
    upload = pictures.post("/api/v1/uploads", data={"file": (io.BytesIO(PHOTO), "photo.png")})
    assert upload.status_code == 201, upload.text
    upload_id = upload.json["id"]
    assert pictures.get(upload.headers["Location"]).json == upload.json

    for source in (
        {"uploadId": upload_id},
        f"upload:{upload_id}",
        {"jobId": first["id"], "number": 2},
        f"job:{first['id']}/2",
    ):
        response = submit(pictures, init=source)
        assert response.status_code == 202, response.text
        assert pictures_of(pictures, response.json["id"]) == {"init": PHOTO}
    assert pictures_of(pictures, submit(pictures, init={"jobId": first["id"]}).json["id"]) == {"init": MASK}


def test_the_picture_of_another_jobs_input_is_used_again(pictures: AppClient) -> None:
    """It is copied by its name, not examined again, and outlives the first job; one that is gone is a problem."""
    photo = encode(draw_image((96, 64)), "JPEG")
    first = submit_form(pictures, init=photo, mask=MASK).json["id"]
    source = {"jobId": first, "input": "init"}
    shown = pictures.get(f"/console/jobs/{first}/inputs/init")
    assert (shown.data, shown.mimetype, shown.headers["X-Content-Type-Options"]) == (photo, "image/jpeg", "nosniff")
    answer = submit(pictures, init=source, mask={"jobId": first, "input": "mask"})
    assert answer.status_code == 202, answer.text
    assert pictures.get_job(answer.json["id"])["inputs"] == pictures.get_job(first)["inputs"]
    refused = pictures.post(
        "/api/v1/jobs", json={"prompt": PROMPT, "site": "strict", "inputs": {"init": source | {"input": "mask"}}}
    )
    assert "the page takes image/jpeg" in refused.text

    pictures.stores.input_images.discard(first, pictures.get_job(first)["inputs"])
    assert pictures_of(pictures, answer.json["id"]) == {"init": photo, "mask": MASK}
    gone = submit(pictures, init=source)
    assert gone.json["error"]["details"] == ["init: This picture is no longer kept: send it again."]
    assert pictures.get(f"/console/jobs/{first}/inputs/init").status_code == 410
    assert pictures.get(f"/console/jobs/{first}/inputs/seed").status_code == 404


def test_callers_without_a_key_do_not_get_each_others_input_pictures(pictures: AppClient) -> None:
    """The id of a job, which is in the addresses of its pictures, does not open them; its results are shared by it."""
    keyless = open_app(replace(pictures.stores.settings, allow_anonymous_workloads=True))

    def generate(picture: Any) -> Any:
        body = {"input": {"prompt": PROMPT, "image": picture}}
        return keyless.client.post("/v1/workload/ai/new/?type=IMAGE_GENERATION_PROMPT", json=body)

    try:
        first = generate(data_url(PHOTO)).json["id"].removeprefix("0x")
        refused = generate({"jobId": first, "input": "init"})
        assert (refused.status_code, "There is no job with this id." in refused.text) == (400, True), refused.text
        finish(keyless, first, GeneratedImage(MASK, "image/png", 96, 64))
        assert generate({"jobId": first}).status_code == 200
    finally:
        close_app(keyless)


def test_the_weights_api_takes_pictures(pictures: AppClient) -> None:
    """As a file of a form, in JSON, and as a reference in a query."""
    by_form = submit_form(pictures, "/generateImage", init=PHOTO).json
    by_json = pictures.post("/generateImage", json={"prompt": PROMPT, "init": data_url(PHOTO)}).json
    upload_id = pictures.post("/api/v1/uploads", data={"file": (io.BytesIO(PHOTO), "p")}).json["id"]
    by_query = pictures.get("/generateImage", query_string={"prompt": PROMPT, "init": f"upload:{upload_id}"}).json

    for answer in (by_form, by_json, by_query):
        assert pictures_of(pictures, answer["imageId"]) == {"init": PHOTO}


def test_the_generaitiv_api_takes_pictures_under_its_own_names(pictures: AppClient) -> None:
    """``image`` is the first picture; a picture that is not accepted is an error and not dropped."""
    body = {"input": {"prompt": PROMPT, "image": data_url(PHOTO), "mask": data_url(MASK)}}
    answer = pictures.post("/v1/consumer/gen", json=body).json
    assert "warnings" not in answer
    assert pictures_of(pictures, answer["id"].removeprefix("0x")) == {"init": PHOTO, "mask": MASK}

    refused = pictures.post(
        "/v1/consumer/gen", json={"input": {"prompt": PROMPT, "image": "https://example.org/a.png"}}
    )
    assert refused.status_code == 400
    assert "not fetched" in refused.text


@pytest.mark.parametrize("name", sorted(REJECTED_IMAGES))
def test_hostile_files_are_refused_with_the_name_of_the_input(pictures: AppClient, name: str) -> None:
    """Nothing stays in the media store."""
    response = submit_form(pictures, init=REJECTED_IMAGES[name][0] or b" ", mask=MASK)

    assert response.status_code == 400
    assert response.json["error"]["details"][0].startswith("init: The ")
    eventually(lambda: stored_objects(pictures) == [])
    assert pictures.get("/api/v1/jobs").json["jobs"] == []


@pytest.mark.parametrize("tail", TRAILING_DATA)
def test_a_polyglot_reaches_the_page_as_a_plain_picture(pictures: AppClient, tail: str) -> None:
    """Whatever follows the picture is dropped."""
    job = submit_form(pictures, init=PHOTO + TRAILING_DATA[tail]).json

    assert pictures_of(pictures, job["id"]) == {"init": PHOTO}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("http://127.0.0.1:9/latest/meta-data", "init: URLs are not fetched"),
        ("file:///etc/passwd", "init: URLs are not fetched"),
        ("/etc/passwd", "init: Not a picture"),
        ("", "init: Not a picture"),
        (7, "init: Not a picture"),
        ([], "init: Not a picture"),
        ({}, "init: Not a picture"),
        ({"jobId": "0" * 32, "url": "http://x"}, "init: Not a picture"),
        ({"jobId": "0" * 32, "number": 0}, "init: 'number' must be"),
        ({"jobId": "0" * 32, "number": True}, "init: 'number' must be"),
        ({"jobId": "0" * 32}, "init: There is no job with this id."),
        ({"jobId": "../../etc/passwd"}, "init: Not a picture"),
        ({"jobId": "0" * 32, "input": "init"}, "init: There is no job with this id."),
        ({"jobId": "0" * 32, "input": "../init"}, "init: 'input' must be the name"),
        ({"jobId": "0" * 32, "input": "init", "number": 1}, "init: Not a picture"),
        ({"uploadId": "0" * 32}, "init: There is no upload with this id"),
        ("data:image/png;base64,", "init: The file is not a picture"),
        ("data:image/png;base64,!!!", "init: The base64 of the data: URL is malformed."),
        ("data:image/png,abc", "init: Not a data: URL"),
        ("data:image/svg+xml;base64,PHN2Zy8+", "init: The media type 'image/svg+xml' is not accepted"),
        ("data:text/html;base64,PGh0bWw+", "init: The media type 'text/html' is not accepted"),
        (data_url(bytes(MAX_DATA_URL_BYTES + 10)), "init: A data: URL may have 8 MiB"),
        (data_url(b"<html>"), "init: The file is not a picture"),
    ],
)
def test_other_values_are_refused_with_their_reason(pictures: AppClient, value: Any, problem: str) -> None:
    """No URL is ever fetched and no path is read."""
    response = submit(pictures, init=value)

    assert response.status_code == 400
    assert response.json["error"]["details"][0].startswith(problem), response.text
    eventually(lambda: stored_objects(pictures) == [])


def test_pictures_of_others_look_like_missing_ones(pictures: AppClient) -> None:
    """Neither a job nor an upload of another caller can be used or seen."""
    job_id = submit(pictures, init=data_url(PHOTO)).json["id"]
    finish(pictures, job_id, GeneratedImage(PHOTO, "image/png", 96, 64))
    upload_id = pictures.post("/api/v1/uploads", data={"file": (io.BytesIO(PHOTO), "p")}).json["id"]
    bob = {"x-api-key": str(pictures.stores.api_keys.create("bob"))}

    for own, missing in (
        ({"jobId": job_id}, {"jobId": "0" * 32}),
        ({"jobId": job_id, "input": "init"}, {"jobId": "0" * 32, "input": "init"}),
        ({"uploadId": upload_id}, {"uploadId": "0" * 32}),
    ):
        answers = [
            pictures.client.post("/api/v1/jobs", json={"prompt": PROMPT, "inputs": {"init": source}}, headers=bob)
            for source in (own, missing)
        ]
        assert [answer.status_code for answer in answers] == [400, 400]
        assert answers[0].json["error"] == answers[1].json["error"]
    assert pictures.client.get(f"/api/v1/uploads/{upload_id}", headers=bob).status_code == 404
    assert pictures.client.get(f"/console/jobs/{job_id}/inputs/init", headers=bob).status_code == 404
    assert pictures.client.delete(f"/api/v1/uploads/{upload_id}", headers=bob).status_code == 404


def test_expired_sources_are_refused(pictures: AppClient) -> None:
    """A job and an upload that have expired, a job without a picture yet, and a number that it does not have."""
    running = submit(pictures, init=data_url(PHOTO)).json["id"]
    assert "has no picture" in submit(pictures, init={"jobId": running}).text
    finish(pictures, running, GeneratedImage(PHOTO, "image/png", 96, 64))
    assert "none with number 2" in submit(pictures, init={"jobId": running, "number": 2}).text
    pictures.stores.redis.delete(job_key(running, "image"))
    assert "init: Image expired" in submit(pictures, init={"jobId": running}).text
    pictures.stores.redis.delete(job_key(running, "job"))
    assert "init: Image expired" in submit(pictures, init={"jobId": running}).text
    upload_id = pictures.post("/api/v1/uploads", data={"file": (io.BytesIO(PHOTO), "p")}).json["id"]
    pictures.stores.redis.delete(upload_key(upload_id))
    assert "init: There is no upload" in submit(pictures, init={"uploadId": upload_id}).text


def test_a_mask_must_fit_its_picture(pictures: AppClient) -> None:
    """Its size must be equal, and it needs the picture."""
    wrong = submit_form(pictures, init=PHOTO, mask=encode(draw_image((64, 64)), "PNG"))
    alone = submit_form(pictures, mask=MASK)

    assert wrong.json["error"]["details"] == [
        "mask: Has 64x64 pixels; init has 96x64, and both must have the same size."
    ]
    assert alone.json["error"]["details"] == ["mask: Needs the input 'init' as well."]
    eventually(lambda: stored_objects(pictures) == [])


def test_a_recipe_states_the_pictures_that_it_takes(pictures: AppClient) -> None:
    """Required pictures and media types are checked, and the description of the site has them with all limits."""
    missing = pictures.post("/api/v1/jobs", json={"prompt": PROMPT, "site": "strict"})
    wrong = submit_form(pictures, site="strict", init=PHOTO)
    view = pictures.get("/api/v1/sites/strict").json["inputs"]

    assert missing.json["error"]["details"] == ["init: strict needs this input."]
    assert wrong.json["error"]["details"] == ["init: The picture is image/png; the page takes image/jpeg."]
    assert view["init"] == {
        "type": "image",
        "description": "The picture to begin with",
        "required": True,
        "accept": ["image/jpeg"],
        "maxBytes": MAX_IMAGE_BYTES,
        "maxPixels": formats.MAX_PIXELS,
        "maxDataUrlBytes": MAX_DATA_URL_BYTES,
    }
    assert view["mask"]["sameSizeAs"] == "init"
    assert view["mask"]["accept"] == [form.media_type for form in formats.ACCEPTED]


def test_a_repeated_request_gets_the_first_job(pictures: AppClient) -> None:
    """Its pictures count by their bytes; they are examined once, and may have expired meanwhile."""
    upload_id = pictures.post("/api/v1/uploads", data={"file": (io.BytesIO(PHOTO), "p")}).json["id"]
    for init in (PHOTO, f"upload:{upload_id}"):
        key = {"Idempotency-Key": f"key-{len(init)}"}
        first = submit_form(pictures, headers=key, init=init)
        if init != PHOTO:
            pictures.stores.redis.delete(upload_key(upload_id))
        again = submit_form(pictures, headers=key, init=init)
        other = submit_form(pictures, headers=key, init=MASK)
        assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
        assert first.json["id"] == again.json["id"]
        assert again.headers["Idempotent-Replayed"] == "true"
    jobs = pictures.get("/api/v1/jobs").json["jobs"]
    kept = [key for key in stored_objects(pictures) if key.startswith(INPUTS_PREFIX) and "/upload." not in key]
    assert sorted(key.split("/")[1] for key in kept) == sorted(job["id"] for job in jobs)


def test_a_picture_lives_as_long_as_its_job(pictures: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It survives the upload that it came from and every retry, and is deleted once the job has expired."""
    upload_id = pictures.post("/api/v1/uploads", data={"file": (io.BytesIO(PHOTO), "p")}).json["id"]
    job_id = submit(pictures, init={"uploadId": upload_id}).json["id"]
    assert pictures.delete(f"/api/v1/uploads/{upload_id}").json == {"deleted": True}
    later = replace_clock(pictures.stores.input_images, pictures, ORPHAN_AGE_S + 60)

    assert later.delete_orphans() == 0
    assert pictures_of(pictures, job_id) == {"init": PHOTO}
    job = pictures.stores.attempts.claim("w1")
    assert job is not None
    pictures.stores.attempts.release(job, InputMissing())
    assert later.delete_orphans() == 0
    pictures.stores.redis.delete(job_key(job_id, "job"))
    assert pictures.stores.input_images.delete_orphans() == 0
    assert later.delete_orphans() == 1
    eventually(lambda: stored_objects(pictures) == [])
    with pytest.raises(InputMissing, match="init"):
        pictures.stores.input_images.load(job, pictures.stores.recipes.get("pictures"))


def test_a_job_is_made_again_with_its_pictures(pictures: AppClient) -> None:
    """The new job has its own copy; a seed that is a number takes the place of the first. One press is one job."""
    photo = encode(draw_image((96, 64)), "JPEG")
    job_id = submit_form(pictures, site="strict", init=photo, seed="1").json["id"]
    path = f"/console/jobs/{job_id}/retry"
    forms = ({}, {"seed": "5"}, {"seed": "5", "intent": "press"}, {"seed": "5", "intent": "press"}, {"seed": "x"})
    again = [pictures.post(path, data=form) for form in forms]

    assert [answer.status_code for answer in again] == [303, 303, 303, 303, 400]
    made = [answer.headers["Location"].rsplit("/", 1)[1] for answer in again[:4]]
    assert (made.pop() == made[2], len(set(made)), made.pop() in made) == (True, 3, False)
    assert [pictures.get_job(each)["inputs"]["seed"] for each in made] == [1, 5]
    assert [pictures_of(pictures, each) for each in made] == [pictures_of(pictures, job_id)] * 2


def replace_clock(inputs: InputImages, app: AppClient, later_s: int) -> InputImages:
    """Return the same store with a clock that is ahead."""

    class LaterClock:
        def now_ms(self) -> int:
            return app.stores.clock.now_ms() + later_s * 1000

    return InputImages(
        app.stores.redis,
        LaterClock(),  # type: ignore[arg-type] # the one method that is used
        media=app.stores.media,
        inspections=app.stores.image_inspections,
        jobs=app.stores.jobs,
        results=app.stores.results,
    )


def test_too_many_and_too_large_files_are_refused_while_they_arrive(pictures: AppClient) -> None:
    """The limits are those of the documentation."""
    large = submit_form(pictures, init=bytes(MAX_IMAGE_BYTES + 1))
    many = submit_form(pictures, **{f"init{number}": PHOTO for number in range(9)})
    body = pictures.post("/api/v1/jobs", data=b'{"prompt": "' + b"x" * 25_200_000, content_type="application/json")

    assert (large.status_code, many.status_code, body.status_code) == (413, 400, 413)
    assert "50 MiB" in large.text
    assert "more than 8 files" in many.text
    assert "24 MiB" in body.text


def test_pictures_do_not_appear_in_logs(pictures: AppClient) -> None:
    """Neither bytes nor data: URLs are logged."""
    with structlog.testing.capture_logs() as logs:
        assert submit(pictures, init=data_url(PHOTO)).status_code == 202
        assert submit(pictures, init=data_url(b"<html>")).status_code == 400

    assert "base64" not in json.dumps(logs, default=str)


def test_the_description_of_the_api_has_pictures(pictures: AppClient) -> None:
    """OpenAPI lists the form of submissions and the routes of uploads."""
    document = pictures.get("/openapi.json").json

    content = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    assert set(document["paths"]["/api/v1/uploads"]) == {"post"}
    assert {"get", "delete"} <= set(document["paths"]["/api/v1/uploads/{upload_id}"])


@pytest.fixture
def server(pictures: AppClient) -> Iterator[str]:
    """Serve the app over HTTP, with a worker that completes every job; yields its address."""
    with serve_app(pictures.client.application) as url, AutomaticWorker(pictures.stores):
        yield url


def test_the_python_client_sends_pictures(pictures: AppClient, server: str, tmp_path: Path) -> None:
    """As bytes, as the path of a file, as an upload, and from an earlier job."""
    (tmp_path / "photo.png").write_bytes(PHOTO)
    with Darkroom(server, API_KEY) as darkroom:
        upload_id = darkroom.upload(tmp_path / "photo.png")
        jobs = [
            darkroom.submit(PROMPT, inputs={"init": f"upload:{upload_id}"}),
            darkroom.submit(PROMPT, images={"init": tmp_path / "photo.png"}, priority=3),
            darkroom.submit(PROMPT, images={"init": PHOTO}, site="pictures"),
            darkroom.submit(PROMPT, images={"init": {"uploadId": upload_id}}),
        ]
        with pytest.raises(DarkroomError) as caught:
            darkroom.submit(PROMPT, images={"init": b"<html>"})
    assert [pictures_of(pictures, job.id) for job in jobs] == [{"init": PHOTO}] * 4
    assert caught.value.problems[0].startswith("init: The file is not a picture")


async def submit_async(url: str, image: bytes) -> str:
    """Submit and upload a picture with the asyncio client; return the id of the job."""
    async with AsyncDarkroom(url, API_KEY) as darkroom:
        upload_id = await darkroom.upload(image)
        return (await darkroom.submit(PROMPT, images={"init": image, "mask": {"uploadId": upload_id}})).id


def test_the_asyncio_client_sends_pictures(pictures: AppClient, server: str) -> None:
    """A form may have a file and a reference."""
    assert pictures_of(pictures, asyncio.run(submit_async(server, PHOTO))) == {"init": PHOTO, "mask": PHOTO}


def test_the_javascript_client_sends_pictures(pictures: AppClient, server: str, tmp_path: Path) -> None:
    """As a Blob, and as an upload."""
    (tmp_path / "client.mjs").write_text(CLIENT_FILE.read_text())
    (tmp_path / "run.mjs").write_text(
        'import { Darkroom } from "./client.mjs";\n'
        "const [url, key, base64] = process.argv.slice(2);\n"
        'const photo = new Blob([Buffer.from(base64, "base64")]);\n'
        "const darkroom = new Darkroom(url, key);\n"
        f"const first = await darkroom.submit({PROMPT!r}, {{ images: {{ init: photo }}, priority: 2 }});\n"
        "const uploadId = await darkroom.upload(photo);\n"
        f"const second = await darkroom.submit({PROMPT!r}, {{ images: {{ init: {{ uploadId }} }} }});\n"
        "console.log(JSON.stringify([first.id, second.id]));\n"
    )
    arguments = [server, API_KEY, base64.b64encode(PHOTO).decode()]
    command = [compute_driver_executable()[0], str(tmp_path / "run.mjs"), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 0, process.stderr

    assert [pictures_of(pictures, job_id) for job_id in json.loads(process.stdout)] == [{"init": PHOTO}] * 2


def test_the_command_line_sends_pictures(pictures: AppClient, server: str, tmp_path: Path) -> None:
    """``--image`` names the input and the file, or a reference; a missing file is a usage error."""
    (tmp_path / "photo.png").write_bytes(PHOTO)
    output = tmp_path / "result.png"
    options = ["--url", server, "--key", API_KEY, "-o", str(output)]
    done = CliRunner().invoke(generate, [PROMPT, "--image", f"init={tmp_path / 'photo.png'}", *options])
    assert done.exit_code == 0, done.output
    assert output.read_bytes() == IMAGE.data
    [job] = pictures.get("/api/v1/jobs").json["jobs"]
    assert pictures_of(pictures, job["id"]) == {"init": PHOTO}

    missing = CliRunner().invoke(generate, [PROMPT, "--image", "init=nowhere.png", *options])
    unknown = CliRunner().invoke(generate, [PROMPT, "--image", f"init=upload:{'0' * 32}", *options])
    assert (missing.exit_code, "no file 'nowhere.png'" in missing.output) == (2, True)
    assert (unknown.exit_code, "init: There is no upload" in unknown.output) == (1, True)
