"""The API of AUTOMATIC1111 without a browser: keys, errors, options, lists, progress, interruption."""

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flask import Flask
from PIL import Image, PngImagePlugin

from api.compat.sdapi import generation, pictures
from api.compat.sdapi.attempts import Outcome, make_pictures
from ops.infra.settings import Settings
from schemas.accounts.caller import Scope
from schemas.errors import InputNotOffered, SiteRefused, WorkerStopping
from schemas.images.input_images import ImageSource
from schemas.jobs.job import GeneratedImage, Job, JobRequest, Progress
from schemas.sites.missing_fields import missing_field_message
from schemas.sites.recipe import Recipe
from stores.accounts.api_keys import KeyChange
from tests.conftest import API_KEY, eventually, isolated_settings
from tests.integration.conftest import AppClient, close_app, open_app
from tests.support.images import draw_image, encode
from tests.support.library import run_image_inspector

BODY = {"prompt": "a harbour", "negative_prompt": "fog", "steps": 12, "width": 512, "height": 384, "seed": 41}
PREVIEW = encode(draw_image((32, 24)), "JPEG")


@pytest.fixture(scope="module")
def app(base_settings: Settings, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """An app without workers, which the tests of this module share; each leaves no unfinished job."""
    folder = tmp_path_factory.mktemp("sdapi")
    opened = open_app(isolated_settings(base_settings, redis_url, folder))
    yield opened
    close_app(opened)


def png(**texts: str) -> bytes:
    """Return a PNG with texts."""
    info, out = PngImagePlugin.PngInfo(), io.BytesIO()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.new("RGB", (64, 48), "teal").save(out, "PNG", pnginfo=info)
    return out.getvalue()


def basic(password: str, user: str = "anyone") -> dict[str, str]:
    """Return the header of basic authentication."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


@dataclass
class Call:
    """A request in a thread of its own; ``response`` is there when it has ended."""

    thread: threading.Thread
    response: Any = None

    def wait(self) -> Any:
        """Return the response."""
        self.thread.join(60)
        assert self.response is not None, "the request has not ended within 60 s"
        return self.response


def start(app: AppClient, path: str, body: dict[str, Any], **headers: str) -> Call:
    """POST in a thread, because the answer comes when the jobs have ended."""
    client = app.client.application.test_client()

    def run() -> None:
        call.response = client.post(path, json=body, headers={**basic(API_KEY), **headers})

    call = Call(threading.Thread(target=run))
    call.thread.start()
    return call


def claim(app: AppClient) -> Job:
    """Claim the next job, as a worker would, and let the page accept it."""
    job = eventually(lambda: app.stores.attempts.claim("w1"))
    app.stores.attempts.mark_accepted(job)
    return job


def complete(app: AppClient, job: Job, *pictures: bytes) -> None:
    """End a job with pictures."""
    images = [GeneratedImage(data, "image/png", 64, 48) for data in pictures]
    keys = app.stores.attempts.store_images(job, images, b"jpeg bytes")
    app.stores.attempts.complete(job, images, keys)


def wait_for_group(app: AppClient, count: int) -> None:
    """Wait until a request with so many jobs is the current one."""
    eventually(lambda: app.get("/sdapi/v1/progress").json["state"]["job_count"] == count)


def run(app: AppClient, body: dict[str, Any]) -> Job:
    """Ask for a picture and return its job, which has ended."""
    call = start(app, "/sdapi/v1/txt2img", body)
    job = claim(app)
    complete(app, job, png())
    assert call.wait().status_code == 200
    return job


def decode(text: str) -> Any:
    """Open a picture of an answer."""
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_a_picture_comes_with_its_infotext(app: AppClient) -> None:
    """It is a PNG in base64, and everything that clients read names seed and size."""
    call = start(app, "/sdapi/v1/txt2img", BODY | {"cfg_scale": 7.5, "eta": 1.0})
    job = claim(app)
    complete(app, job, png())
    answer = call.wait().json

    assert job.request.inputs == {"negative_prompt": "fog", "steps": 12, "width": 512, "height": 384, "seed": 41}
    info = json.loads(answer["info"])
    [text] = info["infotexts"]
    assert text.startswith("a harbour\nNegative prompt: fog\nSteps: 12, Seed: 41, Size: 64x48, Model: studio")
    assert decode(answer["images"][0]).info["parameters"] == text
    assert (info["seed"], info["all_seeds"], info["steps"]) == (41, [41], 12)
    assert info["darkroom"] == {"jobs": [job.id], "ignored": ["cfg_scale"], "failures": []}
    assert (answer["parameters"]["prompt"], answer["parameters"]["n_iter"]) == ("a harbour", 1)


def test_an_answer_without_pictures(app: AppClient) -> None:
    """The client has asked for that; `info` says what there would be."""
    call = start(app, "/sdapi/v1/txt2img", BODY | {"send_images": False})
    complete(app, claim(app), png())
    answer = call.wait().json

    assert answer["images"] == []
    assert json.loads(answer["info"])["all_seeds"] == [41]


def test_a_picture_of_the_web_ui_is_unchanged(app: AppClient) -> None:
    """Its own infotext says more than Darkroom knows."""
    own = "a harbour\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 99, Size: 64x48, Model hash: abc"
    call = start(app, "/sdapi/v1/txt2img", BODY)
    data = png(parameters=own)
    complete(app, claim(app), data, png())
    answer = call.wait().json

    info = json.loads(answer["info"])
    assert base64.b64decode(answer["images"][0]) == data
    assert (info["infotexts"][0], info["all_seeds"]) == (own, [99, 41])
    assert len(answer["images"]) == 2


def test_each_picture_of_a_batch_is_a_job(app: AppClient) -> None:
    """Seeds count up; failures cost their own pictures only; progress counts the jobs."""
    call = start(app, "/sdapi/v1/txt2img", BODY | {"batch_size": 2, "n_iter": 2, "seed": -1})
    first = claim(app)
    wait_for_group(app, 4)
    app.stores.attempts.record_progress(first, Progress(50.0, 6, 12))
    app.stores.attempts.record_preview(first, PREVIEW)
    shown = app.get("/sdapi/v1/progress").json
    hidden = app.get("/sdapi/v1/progress?skip_current_image=true").json
    complete(app, first, png())
    second = claim(app)
    app.stores.attempts.fail(second, SiteRefused("Not here."))
    others = [claim(app), claim(app)]
    later = app.get("/sdapi/v1/progress").json
    for job in others:
        complete(app, job, png())
    answer = call.wait().json

    assert shown["progress"] == 0.125
    assert base64.b64decode(shown["current_image"]) == PREVIEW
    assert hidden["current_image"] is None
    state = shown["state"]
    assert (state["job_count"], state["job_no"], state["sampling_step"], state["sampling_steps"]) == (4, 0, 6, 12)
    assert (later["state"]["job_no"], later["progress"]) == (2, 0.5)
    info = json.loads(answer["info"])
    seeds = sorted(job.request.inputs["seed"] for job in (first, *others))
    assert sorted(info["all_seeds"]) == seeds
    assert len({*seeds, second.request.inputs["seed"]}) == 4
    assert len(answer["images"]) == 3
    assert [(each["job"], each["code"]) for each in info["darkroom"]["failures"]] == [(second.id, "site_refused")]
    assert app.get("/sdapi/v1/progress").json["state"]["job_count"] == 0


def test_inputs_that_the_page_lacks_are_left_out(app: AppClient) -> None:
    """The job is tried again without them, and the next request does not ask for them; pictures are never left out."""
    body = {"prompt": "a harbour", "width": 512, "height": 384, "seed": 5, "steps": 4}
    body |= {"override_settings": {"sd_model_checkpoint": "gradio"}}
    call = start(app, "/sdapi/v1/txt2img", body)
    for name in ("width", "seed"):
        message = missing_field_message(name, "no element matches")
        app.stores.attempts.fail(claim(app), InputNotOffered(message))
    last = claim(app)
    complete(app, last, png())
    info = json.loads(call.wait().json["info"])
    again = run(app, body)

    assert last.request.inputs == again.request.inputs == {"steps": 4}
    assert (info["all_seeds"], info["darkroom"]["failures"]) == ([-1], [])
    assert info["darkroom"]["ignored"] == ["seed", "width", "height"]
    assert info["darkroom"]["jobs"] == [last.id]


def test_a_failure_without_pictures_is_an_error(app: AppClient) -> None:
    """In the form of the web UI, with the words of the site."""
    call = start(app, "/sdapi/v1/txt2img", BODY)
    app.stores.attempts.fail(claim(app), SiteRefused("Not here."))
    response = call.wait()

    assert response.status_code == 422
    assert response.json == {"error": "HTTPException", "detail": "Not here.", "body": "", "errors": "Not here."}


def test_interrupt_and_skip(app: AppClient) -> None:
    """Skip ends the present job and interrupt all of the request; jobs of other APIs go on."""
    native = app.submit()
    other = claim(app)
    call = start(app, "/sdapi/v1/txt2img", BODY | {"n_iter": 3})
    running = claim(app)
    app.stores.attempts.record_preview(running, PREVIEW)
    wait_for_group(app, 3)
    assert app.post("/sdapi/v1/skip").json is None
    assert app.get(f"/api/v1/jobs/{running.id}").json["cancelRequestedAt"]
    assert app.post("/sdapi/v1/interrupt").json == {}
    state = app.get("/sdapi/v1/progress").json["state"]
    app.stores.attempts.release(running, WorkerStopping())
    response = call.wait()

    assert state["interrupted"] is True
    assert response.status_code == 200
    assert json.loads(response.json["info"])["darkroom"]["failures"][0]["code"] == "cancelled"
    assert not app.get(f"/api/v1/jobs/{native}").json["cancelRequestedAt"]
    complete(app, other, png())
    assert app.post("/sdapi/v1/interrupt").json == {}
    assert app.post("/sdapi/v1/skip").json is None


def test_one_idempotency_key_makes_one_request(app: AppClient) -> None:
    """Also where the seed is left to chance; another body is refused."""
    body = BODY | {"n_iter": 2, "seed": -1}
    calls = [start(app, "/sdapi/v1/txt2img", body, **{"Idempotency-Key": "k"})]
    jobs = [claim(app), claim(app)]
    calls.append(start(app, "/sdapi/v1/txt2img", body, **{"Idempotency-Key": "k"}))
    for job in jobs:
        complete(app, job, png())
    answers = [json.loads(call.wait().json["info"]) for call in calls]

    assert answers[0]["all_seeds"] == answers[1]["all_seeds"]
    assert answers[0]["darkroom"]["jobs"] == answers[1]["darkroom"]["jobs"]
    assert set(answers[0]["darkroom"]["jobs"]) == {job.id for job in jobs}
    other = app.post("/sdapi/v1/txt2img", json=body | {"steps": 3}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json["error"]) == (422, "HTTPException")


REFUSED: list[tuple[str, Any, int, str]] = [
    ("txt2img", {"prompt": "x", "steps": "many"}, 422, "steps"),
    ("txt2img", {"prompt": "x", "width": 4096}, 422, "width"),
    ("txt2img", {"prompt": ""}, 422, "prompt"),
    ("txt2img", {"prompt": "x", "n_iter": 5, "batch_size": 5}, 422, "16"),
    ("txt2img", {"prompt": "x <lora:a:1> <lora:b:1>"}, 422, "a, b"),
    ("txt2img", {"prompt": "x", "script_name": "X/Y/Z plot"}, 422, "X/Y/Z"),
    ("txt2img", {"prompt": "x", "alwayson_scripts": {"ADetailer": {}}}, 422, "ADetailer"),
    ("txt2img", {"prompt": "x", "override_settings": {"sd_model_checkpoint": "nowhere"}}, 422, "nowhere"),
    ("txt2img", {"prompt": "x", "override_settings": {"sd_model_checkpoint": "studio:best"}}, 422, "studio"),
    ("txt2img", {"prompt": "x <lora:a:1>", "override_settings": {"sd_model_checkpoint": "gradio"}}, 422, "LoRA"),
    ("txt2img", ["x"], 422, "dict"),
    ("img2img", {"prompt": "x"}, 404, "Init image"),
    ("img2img", {"prompt": "x", "init_images": ["AAAA"]}, 422, "takes no picture"),
    ("options", {"CLIP_stop_at_last_layers": "two"}, 422, "CLIP_stop"),
    ("options", {"sd_model_checkpoint": "nowhere"}, 422, "nowhere"),
    ("png-info", {}, 422, "image"),
    ("png-info", {"image": "AAAA"}, 422, "image"),
    ("extra-single-image", {"image": "AAAA"}, 501, "not offered"),
    ("extra-batch-images", {"imageList": []}, 501, "not offered"),
    ("interrogate", {"image": "AAAA"}, 501, "not offered"),
    ("train/embedding", {}, 501, "not offered"),
    ("nowhere", {}, 404, ""),
]


def test_what_is_refused(app: AppClient) -> None:
    """The answer has a list of FastAPI's, or the four fields of the web UI; no job is made."""
    before = app.get("/api/v1/jobs").json
    for path, body, status, words in REFUSED:
        response = app.post(f"/sdapi/v1/{path}", json=body)

        assert response.status_code == status, (path, body, response.text)
        assert words in json.dumps(response.json), (path, body, response.text)
        assert set(response.json) in ({"detail"}, {"error", "detail", "body", "errors"}), (path, body)
    assert app.get("/api/v1/jobs").json == before


def test_bodies_that_are_no_json_are_refused(app: AppClient) -> None:
    """Nor is one taken that a form of another site's page could send."""
    broken = app.post("/sdapi/v1/txt2img", data=b"{", content_type="application/json")
    plain = app.post("/sdapi/v1/txt2img", data=json.dumps(BODY), content_type="text/plain")
    wrong = app.get("/sdapi/v1/progress?skip_current_image=perhaps")

    assert [response.status_code for response in (broken, plain, wrong)] == [422, 422, 422]
    assert all(response.json["detail"] for response in (broken, plain, wrong))


def test_keys_come_in_any_header(app: AppClient) -> None:
    """As a password, a user's name, a bearer token or a header of its own; without one, in the web UI's words."""
    headers = [
        basic(API_KEY),
        basic("", user=API_KEY),
        {"x-api-key": API_KEY},
        {"Authorization": f"Bearer {API_KEY}"},
    ]

    def status(sent: dict[str, str]) -> int:
        return int(app.client.get("/sdapi/v1/options", headers=sent).status_code)

    assert [status(each) for each in headers] == [200] * 4
    assert [status(each) for each in ({}, basic("wrong"), {"Authorization": "Basic ???"})] == [401] * 3
    refused = app.client.get("/sdapi/v1/options")
    assert refused.json["error"] == "HTTPException"
    assert "WWW-Authenticate" not in refused.headers
    assert app.client.get("/internal/ping").json == {}
    assert isinstance(app.client.get("/app_id").json["app_id"], int)


def test_a_password_that_a_browser_keeps_proves_no_intent(app: AppClient) -> None:
    """A page of another site cannot change anything with it."""
    headers = basic(API_KEY) | {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"}

    assert app.client.post("/sdapi/v1/interrupt", headers=headers).status_code == 403
    assert app.client.get("/sdapi/v1/progress", headers=headers).status_code == 200
    own = headers | {"x-api-key": API_KEY}
    assert app.client.post("/sdapi/v1/interrupt", headers=own).status_code == 200
    for sent in ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}):
        opened = app.client.get("/generateImage?prompt=a+harbour", headers=basic(API_KEY) | sent)
        assert (opened.status_code, "x-api-key" in opened.get_data(as_text=True)) == (403, True)
    assert app.client.post("/sdapi/v1/interrupt", headers=basic(API_KEY)).status_code == 200


def test_scopes_hold(app: AppClient) -> None:
    """A key for reading makes no pictures and interrupts none, but reads pictures' texts."""
    key = app.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ})))

    def post(path: str, body: Any) -> int:
        return int(app.client.post(f"/sdapi/v1/{path}", json=body, headers=basic(key)).status_code)

    assert (post("txt2img", BODY), post("interrupt", {}), post("options", {})) == (403, 403, 403)
    assert post("png-info", {"image": base64.b64encode(png()).decode()}) == 200


def test_options_are_the_callers_own(app: AppClient) -> None:
    """Programs send back all options; those that have a meaning are kept for the key and used."""
    bob = basic(app.stores.api_keys.create("bob"))
    options = app.get("/sdapi/v1/options").json
    assert (options["sd_model_checkpoint"], options["CLIP_stop_at_last_layers"]) == ("studio", 1)

    changed = options | {"sd_model_checkpoint": "gradio", "CLIP_stop_at_last_layers": 2, "samples_format": "jpg"}
    assert app.post("/sdapi/v1/options", json=changed).json is None

    mine, bobs = app.get("/sdapi/v1/options").json, app.client.get("/sdapi/v1/options", headers=bob).json
    assert (mine["sd_model_checkpoint"], mine["CLIP_stop_at_last_layers"], mine["samples_format"]) == (
        "gradio",
        2,
        "png",
    )
    assert bobs == options
    assert run(app, BODY | {"override_settings": {"sd_model_checkpoint": "studio"}}).request.site == "studio"
    assert run(app, {"prompt": "a harbour", "seed": 5}).request.site == "gradio"
    assert app.get("/sdapi/v1/options").json["sd_model_checkpoint"] == "gradio"
    kept = {"override_settings": {"sd_model_checkpoint": "studio"}, "override_settings_restore_afterwards": False}
    assert run(app, BODY | kept).request.site == "studio"
    assert app.get("/sdapi/v1/options").json["sd_model_checkpoint"] == "studio"


def test_no_other_site_replaces_one_that_is_missing(app: AppClient) -> None:
    """Requests are refused until a site is chosen; the options that clients read have the default one."""
    key = app.stores.api_keys.create("carol")
    owner = next(each.id for each in app.stores.api_keys.list_active() if each.name == "carol")
    app.stores.client_options.change(owner, {"sd_model_checkpoint": "vanished"})
    refused = app.client.post("/sdapi/v1/txt2img", json={"prompt": "x"}, headers=basic(key))
    options = app.client.get("/sdapi/v1/options", headers=basic(key)).json

    assert (refused.status_code, "'vanished' not found" in refused.text) == (422, True)
    assert options["sd_model_checkpoint"] == "studio"


def test_the_lists_that_clients_read(app: AppClient) -> None:
    """Each has the web UI's form, and the empty ones are there."""
    titles = [model["title"] for model in app.get("/sdapi/v1/sd-models").json]
    assert {"studio", "gradio", "automatic1111"} <= set(titles)
    assert [sampler["name"] for sampler in app.get("/sdapi/v1/samplers").json] == ["Automatic"]
    assert [scheduler["name"] for scheduler in app.get("/sdapi/v1/schedulers").json] == ["automatic"]
    assert [upscaler["name"] for upscaler in app.get("/sdapi/v1/upscalers").json] == ["None"]
    assert app.get("/sdapi/v1/embeddings").json == {"loaded": {}, "skipped": {}}
    assert app.get("/sdapi/v1/scripts").json == {"txt2img": [], "img2img": []}
    for name in ("sd-vae", "hypernetworks", "face-restorers", "prompt-styles", "latent-upscale-modes", "extensions"):
        assert app.get(f"/sdapi/v1/{name}").json == [], name
    assert app.get("/sdapi/v1/memory").json["ram"]["total"] > 0
    assert app.get("/sdapi/v1/cmd-flags").json["api"] is True
    assert app.get("/queue/status").json["queue_size"] == 0
    assert app.post("/sdapi/v1/refresh-checkpoints").json is None


def test_pictures_that_are_too_large_together(app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says where they are."""
    monkeypatch.setattr(pictures, "MAX_ANSWER_BYTES", 100)
    call = start(app, "/sdapi/v1/txt2img", BODY | {"n_iter": 2})
    complete(app, claim(app), png())
    response = call.wait()

    assert (response.status_code, "/api/v1/jobs" in response.json["detail"]) == (409, True)
    assert app.stores.attempts.claim("w1") is None


def test_a_picture_that_is_not_converted_in_time_costs_itself(app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a failure of its job; the others are sent."""
    monkeypatch.setattr(pictures, "CONVERSION_TIMEOUT_S", 0.1)
    call = start(app, "/sdapi/v1/txt2img", BODY | {"n_iter": 2})
    slow = claim(app)
    image = GeneratedImage(encode(draw_image(), "WEBP"), "image/webp", 64, 48)
    keys = app.stores.attempts.store_images(slow, [image], b"jpeg bytes")
    app.stores.attempts.complete(slow, [image], keys)
    complete(app, claim(app), png())
    answer = call.wait().json

    [failure] = json.loads(answer["info"])["darkroom"]["failures"]
    assert (failure["job"], failure["code"]) == (slow.id, "unavailable")
    assert [decode(text).format for text in answer["images"]] == ["PNG"]


def test_a_picture_that_has_expired_is_named(app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a failure of its job; without any other picture it is the answer."""
    body, headers = BODY | {"n_iter": 2}, {"Idempotency-Key": "expired"}
    call = start(app, "/sdapi/v1/txt2img", body, **headers)
    jobs = [claim(app), claim(app)]
    for job in jobs:
        complete(app, job, png())
    assert len(call.wait().json["images"]) == 2
    read, expired = app.stores.results.get_original, {jobs[0].id}
    monkeypatch.setattr(
        app.stores.results, "get_original", lambda job_id, number: None if job_id in expired else read(job_id, number)
    )
    one = start(app, "/sdapi/v1/txt2img", body, **headers).wait()
    expired.add(jobs[1].id)
    none = start(app, "/sdapi/v1/txt2img", body, **headers).wait()

    [failure] = json.loads(one.json["info"])["darkroom"]["failures"]
    assert (len(one.json["images"]), failure["job"], failure["code"]) == (1, jobs[0].id, "expired")
    assert (none.status_code, "has expired" in none.json["detail"]) == (410, True)


def test_jobs_share_the_pictures_of_their_request(app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is in memory once, and every job has it whole."""
    sent: list[JobRequest] = []

    def make(recipe: Recipe, requests: Sequence[JobRequest], *args: Any, **kwargs: Any) -> Outcome:
        sent.extend(requests)
        return make_pictures(recipe, requests, *args, **kwargs)

    monkeypatch.setattr(generation, "make_pictures", make)
    photos = [encode(draw_image(size), "PNG") for size in ((64, 48), (32, 24))]
    body = {"prompt": "a harbour", "init_images": [base64.b64encode(photo).decode() for photo in photos], "n_iter": 3}
    body |= {"override_settings": {"sd_model_checkpoint": "automatic1111"}}
    found: list[bytes] = []
    with run_image_inspector(app.stores):
        call = start(app, "/sdapi/v1/img2img", body)
        for _ in range(3):
            job = claim(app)
            files = app.stores.input_images.load(job, app.stores.recipes.get(job.request.site))
            found += [file.data for file in files.values()]
            complete(app, job, png())

    assert call.wait().status_code == 200
    assert found == [photos[0], photos[1], photos[0]]
    sources = [value for each in sent for value in each.inputs.values() if isinstance(value, ImageSource)]
    assert (len(sources), len({id(source.file) for source in sources})) == (3, 2)


def test_png_info_reads_what_programs_embed(app: AppClient) -> None:
    """Also from a data: URL; a picture without texts has none."""
    text = 'a harbour\nNegative prompt: fog\nSteps: 4, Sampler: Euler, Seed: 7, Size: 64x48, Model: "a, b"'
    image = base64.b64encode(png(parameters=text, Software="mine")).decode()

    answer = app.post("/sdapi/v1/png-info", json={"image": f"data:image/png;base64,{image}"}).json

    assert (answer["info"], answer["items"]) == (text, {"Software": "mine"})
    parameters = answer["parameters"]
    assert (parameters["Prompt"], parameters["Seed"], parameters["Size-1"], parameters["Model"]) == (
        "a harbour",
        "7",
        "64",
        "a, b",
    )
    empty = app.post("/sdapi/v1/png-info", json={"image": base64.b64encode(png()).decode()}).json
    assert empty == {"info": "", "items": {}, "parameters": {}}


@contextmanager
def anonymous_app(app: AppClient) -> Iterator[AppClient]:
    """An app on the same stores that needs no key for this API."""
    opened = open_app(replace(app.stores.settings, allow_anonymous_sdapi=True))
    try:
        yield opened
    finally:
        close_app(opened)


def test_plugins_without_a_key_can_be_allowed(app: AppClient) -> None:
    """By this API and by nothing else, and not for pages of other sites."""
    assert app.client.get("/sdapi/v1/options").status_code == 401
    with anonymous_app(app) as opened:
        client = opened.client
        refused: list[Callable[[], Any]] = [
            lambda: client.get("/api/v1/jobs"),
            lambda: client.get("/sdapi/v1/options", headers=basic("wrong")),
            lambda: client.post("/sdapi/v1/interrupt", headers={"Sec-Fetch-Site": "cross-site"}),
            lambda: client.post("/sdapi/v1/interrupt", base_url="http://rebound.example:3000"),
        ]
        assert [call().status_code for call in refused] == [401, 401, 403, 403]
        assert client.get("/sdapi/v1/options", base_url="http://127.0.0.1:3000").status_code == 200
        call = anonymous_call(opened.client.application)
        job = claim(opened)
        complete(opened, job, png())
        assert call.wait().status_code == 200
        assert job.owner == "anonymous"


def anonymous_call(application: Flask) -> Call:
    """Ask for a picture without a key."""

    def run() -> None:
        call.response = application.test_client().post("/sdapi/v1/txt2img", json=BODY)

    call = Call(threading.Thread(target=run))
    call.thread.start()
    return call
