"""OpenAI's Images API over HTTP: errors, headers, and what a request for several pictures means."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import api.compat.openai.pictures
import stores.jobs.submission
from schemas.accounts.caller import Caller, CallerLimits, Scope
from schemas.accounts.rate_limits import Rate
from schemas.jobs.job import JobRequest
from stores import Stores
from stores.accounts.api_keys import KeyChange
from stores.jobs.jobs import AcceptedJob
from tests.conftest import API_KEY, eventually
from tests.integration.conftest import IMAGE, AppClient
from tests.support.automatic_worker import AutomaticWorker

PATH = "/v1/images/generations"
PROMPT = "a quiet lake at dawn"
ERRORS: list[tuple[str, str, Any, int, str]] = [
    ("POST", PATH, {"prompt": PROMPT, "model": "nowhere"}, 404, "model_not_found"),
    ("GET", "/v1/models/nowhere", None, 404, "model_not_found"),
    ("GET", "/v1/models/studio:dream", None, 404, "model_not_found"),
    ("GET", "/v1/models/dall-e-3", None, 404, "model_not_found"),
    ("POST", PATH, {"prompt": PROMPT, "model": "studio:dream"}, 400, "invalid"),
    ("POST", PATH, {"prompt": PROMPT, "webhook": "http://127.0.0.1:9/"}, 400, "invalid"),
    ("POST", PATH, [], 400, "invalid"),
    ("POST", PATH, None, 400, "invalid"),
    ("POST", "/v1/images/edits", {"prompt": PROMPT}, 400, "invalid"),
    ("POST", "/v1/images/edits", {"prompt": PROMPT, "image": "data:image/png;base64,AAAA"}, 400, "invalid"),
    ("POST", "/v1/images/variations", None, 404, "not_found"),
    ("GET", PATH, None, 405, "method_not_allowed"),
    ("DELETE", "/v1/models/studio", None, 405, "method_not_allowed"),
]


def generate(app: AppClient, key: str = API_KEY, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """Send a request for pictures."""
    authorization = {"Authorization": f"Bearer {key}"}
    return app.client.post(PATH, json={"prompt": PROMPT, **fields}, headers=authorization | (headers or {}))


def open_jobs(app: AppClient) -> int:
    """Return the number of jobs that have not ended."""
    return int(app.stores.redis.zcard("dr:open"))


@pytest.fixture
def served(app: AppClient) -> Iterator[AppClient]:
    """An app with a worker that completes every job."""
    with AutomaticWorker(app.stores):
        yield app


def test_an_answer_has_the_pictures(served: AppClient) -> None:
    """As bytes, as a URL that needs no key, or as both; the native API shows the same job."""
    both, url, data = (generate(served, **fields) for fields in ({}, form("url"), form("b64_json")))

    assert [set(answer.json["data"][0]) for answer in (both, url, data)] == [{"url", "b64_json"}, {"url"}, {"b64_json"}]
    assert base64.b64decode(data.json["data"][0]["b64_json"]) == IMAGE.data
    job = served.get_job(url.headers["X-Darkroom-Jobs"])
    path = url.json["data"][0]["url"].removeprefix(served.stores.settings.public_url)
    assert served.client.get(path).data == IMAGE.data
    assert (job["status"], job["prompt"], path) == ("COMPLETED", PROMPT, f"/{job['id']}.png")
    assert (both.json["size"], both.json["output_format"], both.json["usage"]["total_tokens"]) == ("640x480", "png", 0)
    assert isinstance(both.json["created"], int)


def form(response_format: str) -> dict[str, str]:
    """Return the field that chooses what an answer has."""
    return {"response_format": response_format}


@pytest.mark.parametrize("key", ["k", "k" * 255])
def test_several_pictures_are_several_jobs(served: AppClient, key: str) -> None:
    """Each has a seed of its own; the same idempotency key, however long, returns the same ones."""
    first, again = (generate(served, n=3, headers={"Idempotency-Key": key}) for _ in range(2))
    jobs = first.headers["X-Darkroom-Jobs"].split(",")

    assert len(first.json["data"]) == len(set(jobs)) == 3
    assert len({served.get_job(job_id)["inputs"]["seed"] for job_id in jobs}) == 3
    assert again.headers["X-Darkroom-Jobs"].split(",") == jobs
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert generate(served, n=2, seed=5, headers={"Idempotency-Key": key}).status_code == 422


def test_a_request_gets_all_pictures_or_none(app: AppClient) -> None:
    """No job is created if a limit forbids one of them, and the error has the shape for quotas."""
    expected = {"queued": ("requests", "rate_limit_exceeded"), "daily": ("insufficient_quota", "insufficient_quota")}
    for limit, kind in expected.items():
        key = app.stores.api_keys.create(limit, KeyChange(limits=CallerLimits(**{limit: 2})))
        refused = generate(app, key, n=3)
        error = refused.json["error"]
        assert (refused.status_code, error["type"], error["code"]) == (429, *kind)
        assert int(refused.headers["Retry-After"]) > 0
        assert app.client.get("/quota", headers={"x-api-key": key}).json["usage"]["DAILY_IMAGE_CREATIONS"] == 0
        assert app.client.get("/api/v1/jobs", headers={"x-api-key": key}).json["jobs"] == []


def test_a_refused_request_can_be_sent_again(app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its key is not used up, also where another request has taken the room between its jobs."""
    key = app.stores.api_keys.create("bob", KeyChange(limits=CallerLimits(queued=3)))
    submit = stores.jobs.submission.submit

    def submit_between(used: Stores, caller: Caller, *args: Any, **options: Any) -> AcceptedJob:
        accepted = submit(used, caller, *args, **options)
        other = replace(caller, limits=CallerLimits())
        submit(used, other, JobRequest("studio", PROMPT), request_id="another")
        return accepted

    with monkeypatch.context() as patched:
        patched.setattr(stores.jobs.submission, "submit", submit_between)
        refused = generate(app, key, {"Idempotency-Key": "k"}, n=3)
    again = generate(app, key, {"Idempotency-Key": "k"}, n=3)
    assert [answer.status_code for answer in (refused, again)] == [429, 429]
    assert open_jobs(app) == 1
    with AutomaticWorker(app.stores):
        eventually(lambda: open_jobs(app) == 0)
        made = generate(app, key, {"Idempotency-Key": "k"}, n=3)

    assert (made.status_code, len(made.json["data"])) == (200, 3)
    assert "Idempotent-Replayed" not in made.headers


def test_large_pictures_are_only_linked(served: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless their bytes were asked for: that is an error. A stream has each of them in an event of its own."""
    monkeypatch.setattr(api.compat.openai.pictures, "MAX_ANSWER_BYTES", len(IMAGE.data))
    whole, two = generate(served), generate(served, n=2)
    refused, streamed = (generate(served, n=2, **fields) for fields in (form("b64_json"), {"stream": True}))

    assert set(whole.json["data"][0]) == {"url", "b64_json"}
    assert [set(picture) for picture in two.json["data"]] == [{"url"}, {"url"}]
    assert (refused.status_code, refused.json["error"]["code"]) == (502, "result_not_accepted")
    assert streamed.text.count("event: image_generation.completed") == 2


def test_the_bytes_that_are_sent_count(served: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of converted pictures, which may have more than the originals, or fewer."""
    limit = len(IMAGE.data) // 2
    monkeypatch.setattr(api.compat.openai.pictures, "MAX_ANSWER_BYTES", limit)
    monkeypatch.setattr(api.compat.openai.pictures, "image_in_format", lambda *_: b"x" * limit)
    webp = {"output_format": "webp"}
    small, two = generate(served, **webp), generate(served, n=2, **webp)
    refused = generate(served, n=2, **webp, **form("b64_json"))

    assert set(small.json["data"][0]) == {"url", "b64_json"}
    assert [set(picture) for picture in two.json["data"]] == [{"url"}, {"url"}]
    assert (refused.status_code, refused.json["error"]["code"]) == (502, "result_not_accepted")


@pytest.mark.parametrize("fields", [{}, {"stream": True}], ids=["answer", "stream"])
def test_a_failed_job_is_an_error(served: AppClient, fields: dict[str, Any]) -> None:
    """It has the job's own code, is not sent again by the packages, and leaves no job behind."""
    answer = generate(served, prompt="gore", n=2, **fields)

    assert '"code": "site_refused"' in answer.text.replace('":"', '": "')
    assert "image_generation_user_error" in answer.text
    assert "Not here." in answer.text
    assert answer.status_code == (200 if fields else 422)
    assert len(answer.headers["X-Darkroom-Jobs"].split(",")) == 2
    assert fields or answer.headers["x-should-retry"] == "false"
    # One that the worker had already begun ends with its next report.
    eventually(lambda: open_jobs(served) == 0)


def test_unknown_fields_are_refused_with_what_the_site_takes(app: AppClient) -> None:
    """No job is created, and ``param`` names the first field that is wrong."""
    answer = generate(app, quality="hd", mood="gloomy")
    error = answer.json["error"]

    assert answer.status_code == 400
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "quality", "invalid")
    assert "mood: studio has no such input" in error["message"]
    assert "studio takes prompt, model, n, size" in error["message"]
    assert open_jobs(app) == 0


def test_every_error_has_the_shape_of_openai(app: AppClient) -> None:
    """Below ``/v1/images`` and ``/v1/models``, whatever goes wrong."""
    for method, path, body, status, code in ERRORS:
        answer = app.client.open(path, method=method, json=body, headers={"Authorization": f"Bearer {API_KEY}"})
        seen = method, path, body, answer.status_code, answer.json["error"]["code"]
        assert seen == (method, path, body, status, code)
        assert set(answer.json["error"]) == {"message", "type", "param", "code"}
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_the_generaitiv_api_keeps_its_prefix(app: AppClient) -> None:
    """Elsewhere below ``/v1`` errors have ``message``, also for an unknown URL."""
    for path in ("/v1/consumer/gen", "/v1/imagesque", "/v1/chat/completions"):
        assert "message" in app.post(path, json={}).json
    assert app.post("/v1/images", json={}).json["error"]["type"] == "invalid_request_error"


def test_limits_are_reported_in_the_headers_of_openai(app: AppClient) -> None:
    """Keys are wrong with the code that clients look for, and rate limits have their own type."""
    wrong = generate(app, "not a key")
    assert (wrong.status_code, wrong.json["error"]["code"]) == (401, "invalid_api_key")
    models = app.get("/v1/models")
    assert int(models.headers["x-ratelimit-remaining-requests"]) < int(models.headers["x-ratelimit-limit-requests"])
    assert models.headers["x-ratelimit-reset-requests"].endswith("s")
    carol = app.stores.api_keys.create("carol", KeyChange(scopes=frozenset({Scope.READ})))
    refused = generate(app, carol)
    assert (refused.status_code, refused.json["error"]["code"]) == (403, "forbidden")
    dave = app.stores.api_keys.create("dave", KeyChange(limits=CallerLimits(rate=Rate(1, 86_400))))
    first, second = (generate(app, dave, size="9x9") for _ in range(2))
    assert (first.status_code, first.headers["x-ratelimit-remaining-requests"]) == (400, "0")
    assert (second.status_code, second.json["error"]["type"]) == (429, "requests")
    assert (second.json["error"]["code"], int(second.headers["Retry-After"]) > 0) == ("rate_limit_exceeded", True)


def test_pages_of_any_origin_may_call_it(app: AppClient) -> None:
    """The package in a browser sends headers of its own, and reads whether to send a request again."""
    asked = {
        "Origin": "https://example.com",
        "Access-Control-Request-Headers": "authorization, x-stainless-lang,x-evil",
    }
    answer = app.client.options(PATH, headers=asked)

    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"Authorization", "x-stainless-lang", "X-Darkroom-Cancel-On-Disconnect"} <= set(allowed)
    assert "x-evil" not in allowed
    assert "x-should-retry" in answer.headers["Access-Control-Expose-Headers"]


def test_sites_are_models(app: AppClient) -> None:
    """Each has an id that requests take."""
    listed = app.get("/v1/models").json

    assert listed["object"] == "list"
    assert {"studio", "comfyui"} <= {model["id"] for model in listed["data"]}
    assert app.get("/v1/models/studio").json == next(model for model in listed["data"] if model["id"] == "studio")
    assert app.get("/v1/models/comfyui:dream/shaper.safetensors").json["id"] == "comfyui:dream/shaper.safetensors"
