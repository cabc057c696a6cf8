"""The Weights API without a worker: submissions, status, long polling, images, search, quota."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from ops.infra.settings import Settings
from schemas.errors import SiteUnavailable
from schemas.jobs.job import GeneratedImage
from stores.accounts.api_keys import ApiKeys
from tests.conftest import API_KEY, eventually
from tests.integration.conftest import AppClient, FakeWorker, close_app, open_app

PROMPT = "a lighthouse at dusk"
SITES = ("automatic1111", "automatic1111_img2img", "comfyui", "fooocus", "gradio", "invokeai", "studio", "weights")


def test_a_submission_can_be_read_at_once(app: AppClient) -> None:
    """The status is QUEUED with every field that clients use, and the body of a GET request is ignored."""
    headers = {"Content-Type": "application/json"}
    response = app.get("/generateImage", query_string={"prompt": PROMPT, "loraName": "Ink Wash"}, headers=headers)

    accepted = response.json
    assert (response.status_code, accepted["success"], accepted["position"]) == (200, True, 1)
    job_id = accepted["imageId"]
    url = app.stores.settings.public_url
    assert (f"{url}/{job_id}.jpg", f"{url}/status/{job_id}") == (accepted["imageUrl"], accepted["statusUrl"])
    status = app.get(f"/status/{job_id}", headers=headers, data="{").json
    assert tuple(status[name] for name in ("status", "prompt", "error", "loraName", "position")) == (
        "QUEUED",
        PROMPT,
        None,
        "Ink Wash",
        1,
    )
    assert isinstance(status["startTime"], int)
    assert status["lastModifiedDate"] >= status["startTime"] > 1_600_000_000_000


@pytest.mark.parametrize(
    "send",
    [
        {"query_string": {"query": PROMPT}},
        {"method": "POST", "json": {"prompt": PROMPT, "seed": 7}},
        {"method": "POST", "data": {"prompt": PROMPT, "seed": "7"}},
        {"path": "/generateImage/", "query_string": {"prompt": PROMPT}},
    ],
)
def test_a_prompt_is_accepted_in_every_documented_way(app: AppClient, send: dict[str, Any]) -> None:
    """It can be a query parameter, its alias, JSON or a form, with and without a trailing slash."""
    response = app.client.open(send.pop("path", "/generateImage"), headers={"x-api-key": API_KEY}, **send)

    assert response.status_code == 200
    assert app.get(f"/status/{response.json['imageId']}").json["prompt"] == PROMPT


def test_a_prompt_is_decoded_once(app: AppClient) -> None:
    """A percent sign, a plus and an emoji survive."""
    prompt = "50% %41 grey + white 🌊 & foam"
    response = app.get("/generateImage", query_string={"prompt": prompt})

    assert prompt == app.get(f"/status/{response.json['imageId']}").json["prompt"]


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({}, "Prompt is required"),
        ({"prompt": "   "}, "Prompt is required"),
        ({"prompt": "too short"}, "Prompt is too short"),
        ({"prompt": "x" * 4001}, "Prompt is too long: at most 4000 characters"),
        ({"prompt": "a lighthouse\x00at dusk"}, "Prompt contains control characters"),
        ({"prompt": PROMPT, "seed": "x"}, "seed: Not a valid integer. (given: 'x')"),
        ({"prompt": PROMPT, "colour": "x"}, "colour: studio accepts negativePrompt, seed, width, height, steps."),
        (
            {"prompt": PROMPT, "site": "nowhere"},
            f"site: there is no site 'nowhere' here. Known: {', '.join(SITES)}.",
        ),
        (
            {"prompt": PROMPT, "loraName": "x" * 201},
            f"loraName: Longer than maximum length 200. (given: '{'x' * 59}…)",
        ),
    ],
)
def test_an_invalid_submission_is_explained(app: AppClient, fields: dict[str, str], detail: str) -> None:
    """The status is 400 in the format of the Weights API, and no job is created."""
    response = app.get("/generateImage", query_string=fields)

    assert (400, {"error": "Validation error", "details": [detail]}) == (response.status_code, response.json)
    assert not app.stores.redis.zcard("dr:open")


@pytest.mark.parametrize("body", ["[]", '"text"', "7", "{", '{"prompt": 7}', '{"prompt": ["a lighthouse at dusk"]}'])
def test_json_of_another_type_is_a_400(app: AppClient, body: str) -> None:
    """The response is JSON with status 400 whatever the body is."""
    response = app.post("/generateImage", data=body, content_type="application/json")

    assert response.status_code == 400
    assert "error" in response.json


def test_a_full_queue_has_retry_after(settings: Settings) -> None:
    """The status is 429 with the message that clients know and whole seconds."""
    app = open_app(replace(settings, max_queue_size=2))
    codes = [app.get("/generateImage", query_string={"prompt": PROMPT}).status_code for _ in range(2)]
    response = app.get("/generateImage", query_string={"prompt": PROMPT})

    assert [*codes, response.status_code] == [200, 200, 429]
    assert response.json["error"] == "Server is busy. Please try again later."
    assert response.headers["Retry-After"].isdigit()
    close_app(app)


def test_an_unknown_id_is_not_found(app: AppClient) -> None:
    """The format is the one that clients know, whatever the id looks like."""
    for job_id in ("0" * 32, "nope", "...", "Z" * 32, "0" * 3000):
        response = app.get(f"/status/{job_id}")
        assert (response.status_code, response.json) == (404, {"status": "NOT_FOUND", "error": "Image not found"})


def test_a_status_has_an_etag(app: AppClient) -> None:
    """The ETag is weak, gives 304 while nothing changes, and changes with the job."""
    job_id = app.submit()
    first = app.get(f"/status/{job_id}")
    etag = first.headers["ETag"]

    assert etag.startswith("W/")
    same = app.get(f"/status/{job_id}", headers={"If-None-Match": etag})
    assert (same.status_code, same.data) == (304, b"")
    app.stores.jobs.cancel(job_id)
    changed = app.get(f"/status/{job_id}", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert etag != changed.headers["ETag"]


@pytest.mark.parametrize("path", ["/status/{}", "/api/v1/jobs/{}"])
def test_a_long_poll_returns_on_a_change(app: AppClient, path: str) -> None:
    """It returns as soon as the job changes, not at the end of the wait."""
    job_id = app.submit()
    seq = app.get_job(job_id)["seq"]
    responses: list[Any] = []

    def wait() -> None:
        responses.append(app.get(path.format(job_id), query_string={"wait": 30, "since": seq}).json)

    thread = threading.Thread(target=wait)
    thread.start()
    app.stores.jobs.cancel(job_id)
    thread.join(60)

    assert not thread.is_alive()
    assert ("FAILED", seq + 1) == (responses[0]["status"], responses[0]["seq"])


@pytest.mark.parametrize("path", ["/status/{}", "/api/v1/jobs/{}"])
def test_a_long_poll_ends_when_its_key_is_revoked(app: AppClient, path: str) -> None:
    """The status is 401, as for the next request."""
    key = app.stores.api_keys.create("bob")
    caller = app.stores.api_keys.authenticate(key)
    assert caller
    bob = {"x-api-key": key}
    job_id = app.client.post("/api/v1/jobs", json={"prompt": "a lake"}, headers=bob).json["id"]
    responses: list[Any] = []

    def wait() -> None:
        responses.append(app.client.get(f"{path.format(job_id)}?wait=60", headers=bob))

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: app.stores.notifier._waiting._signals)
    ApiKeys(app.stores.engine, app.stores.clock, app.stores.owner_key).revoke(caller.id)
    thread.join(60)

    assert [response.status_code for response in responses] == [401]
    assert "a lake" not in responses[0].get_data(as_text=True)


def test_a_job_of_another_caller_is_not_found(app: AppClient) -> None:
    """It looks like a missing one, with and without waiting."""
    job_id = app.submit()
    other = {"x-api-key": app.stores.api_keys.create("bob")}

    for query in ("", "?wait=30"):
        response = app.client.get(f"/status/{job_id}{query}", headers=other)
        assert (response.status_code, response.json) == (404, {"status": "NOT_FOUND", "error": "Image not found"})


def test_a_long_poll_without_a_change_ends_in_time(app: AppClient) -> None:
    """It returns the same as a request without a wait."""
    job_id = app.submit()

    status = app.get(f"/status/{job_id}", query_string={"wait": 0.2}).json

    assert status["status"] == "QUEUED"


@pytest.mark.parametrize(
    "query", [{"wait": "x"}, {"wait": "-1"}, {"wait": "nan"}, {"wait": "inf"}, {"wait": "1", "since": "x"}]
)
def test_an_invalid_wait_is_rejected(app: AppClient, query: dict[str, str]) -> None:
    """The status is 400."""
    assert app.get(f"/status/{app.submit()}", query_string=query).status_code == 400


USAGE_KINDS = {
    *(f"QUEUED_{kind}_JOBS" for kind in ("IMAGE", "COVER", "SONG", "VIDEO")),
    *(f"QUEUED_{kind}_TRAINING_JOBS" for kind in ("VOICE", "IMAGE", "VIDEO")),
    *(f"DAILY_{kind}_CREATIONS" for kind in ("IMAGE", "COVER", "VIDEO", "SONG")),
    "DAILY_IMAGE_EDITS",
    "DAILY_FAST_IMAGE_TRAINING_JOBS",
    *(f"WEEKLY_{kind}_TRAINING_JOBS" for kind in ("IMAGE", "VOICE", "VIDEO")),
    "VOYAGES_DAILY_IMAGE_CREATIONS",
    "VOYAGES_WEEKLY_IMAGE_TRAINING_JOBS",
}
STATIC_KINDS = {"CHAT_CONVERSATIONS", "CHAT_MESSAGES", "COVER_AUDIO_LENGTH_SECONDS"}


def test_quota_has_exactly_the_known_kinds(app: AppClient) -> None:
    """Usage counts, and remaining is limit minus usage."""
    app.submit()
    quota = app.get("/quota").json

    assert quota.keys() == {"isPremium", "usage", "limits", "remaining"}
    assert quota["usage"].keys() == USAGE_KINDS
    assert quota["limits"].keys() == quota["remaining"].keys() == USAGE_KINDS | STATIC_KINDS
    assert tuple(quota[part]["QUEUED_IMAGE_JOBS"] for part in ("usage", "limits", "remaining")) == (1, 1000, 999)
    assert (quota["usage"]["DAILY_IMAGE_CREATIONS"], quota["limits"]["DAILY_IMAGE_CREATIONS"]) == (1, "Infinity")
    assert quota["limits"]["CHAT_MESSAGES"] == "Infinity"


def test_quota_fits_into_a_chat_message(settings: Settings) -> None:
    """Chat clients post it verbatim, and a message has at most 2,000 characters: also with large numbers."""
    app = open_app(replace(settings, limit_queued_images=10**9, limit_daily_images=10**9))
    app.submit()
    assert len(app.get("/quota").get_data(as_text=True)) < 2000
    assert {"daily", "weekly", "queued", "concurrent"} == app.get("/api/v1/quota").json["quotas"].keys()
    close_app(app)


@pytest.mark.parametrize("absent", ["null", "undefined", "None", "NaN", "", " ", " undefined "])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_values_that_clients_send_for_nothing_mean_nothing(app: AppClient, method: str, absent: str) -> None:
    """For the LoRA and for all other optional parameters, as a query, a form or JSON."""
    names = ("loraName", "site", "priority", "negativePrompt", "seed", "width", "height", "steps")
    fields = {"prompt": PROMPT, **dict.fromkeys(names, absent)}
    sent = {"query_string": fields} if method == "GET" else {"data": fields}
    for options in (sent, {"json": fields}, {"json": {"prompt": PROMPT, **dict.fromkeys(names)}}):
        if "json" in options and method == "GET":
            continue
        response = app.client.open("/generateImage", method=method, headers={"x-api-key": API_KEY}, **options)
        assert response.status_code == 200, response.json
        job = app.get_job(response.json["imageId"])
        assert (job["lora"], job["site"], job["priority"]) == (None, "studio", 0)
        assert not {"negativePrompt", "seed"} & {name for name, value in job["inputs"].items() if value == absent}


def test_words_that_only_begin_so_are_values(app: AppClient) -> None:
    """Only the literal words mean nothing, and never as a prompt."""
    lora = app.get("/generateImage", query_string={"prompt": PROMPT, "loraName": "undefined style"}).json["imageId"]
    assert app.get_job(lora)["lora"] == "undefined style"
    refused = app.get("/generateImage", query_string={"prompt": "undefined"})
    assert (refused.status_code, refused.json["details"]) == (400, ["Prompt is too short"])


def test_a_job_is_pending_once_it_has_a_preview(worker: FakeWorker, app: AppClient) -> None:
    """Clients fetch the picture on PENDING and use whatever they get; the native API shows the exact state."""

    def read() -> tuple[str, str, int, str]:
        status, picture = app.get(f"/status/{worker.job_id}").json["status"], app.client.get(f"/{worker.job_id}.jpg")
        return status, app.get_job(worker.job_id)["status"], picture.status_code, picture.mimetype

    json_type = "application/json"
    assert read() == ("QUEUED", "QUEUED", 404, json_type)
    worker.start()
    assert read() == ("STARTING", "PENDING", 404, json_type)
    assert app.client.get(f"/{worker.job_id}.jpg").headers["Retry-After"] == "1"
    worker.report_progress(3)
    assert read() == ("STARTING", "PENDING", 404, json_type)
    worker.report_preview()
    assert read() == ("PENDING", "PENDING", 200, "image/jpeg")
    worker.complete()
    assert read() == ("COMPLETED", "COMPLETED", 200, "image/jpeg")


def test_a_job_without_previews_is_starting_until_its_end(worker: FakeWorker, app: AppClient) -> None:
    """Also in its second attempt, whose first one had a preview."""
    worker.start()
    worker.report_preview()
    app.stores.attempts.retry(worker.job, SiteUnavailable("Away."), 0)
    assert app.get(f"/status/{worker.job_id}").json["status"] == "QUEUED"
    worker.start()
    assert app.get(f"/status/{worker.job_id}").json["status"] == "STARTING"
    worker.complete()
    assert app.get(f"/status/{worker.job_id}").json["status"] == "COMPLETED"


def test_search_without_an_answer_uses_the_cache(app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status is 503 without a cached answer; a stale one is marked as such."""
    monkeypatch.setattr("api.sites.site_queries.SEARCH_TIMEOUT_S", 0.1)
    monkeypatch.setattr("api.sites.site_queries.SEARCH_CACHE_TTL_S", 0)
    path = "/search-loras?query=ink"
    uncached = app.get(path)
    app.stores.site_queries.store_answer("search_loras", "studio", "ink", [{"name": "Ink Wash"}])
    cached = app.get(path)

    assert uncached.status_code == 503
    assert uncached.headers["Retry-After"].isdigit()
    assert (cached.status_code, cached.json, cached.headers["X-Darkroom-Partial"]) == (
        200,
        [{"name": "Ink Wash"}],
        "site",
    )


@pytest.mark.parametrize("query", ["", "?query=", "?query=%20", "?q=ink"])
def test_a_search_needs_a_query(app: AppClient, query: str) -> None:
    """The status is 400 with the message that clients know."""
    response = app.get(f"/search-loras{query}")

    assert (response.status_code, response.json["details"]) == (400, ["Query parameter is required."])


def test_images_need_no_key(app: AppClient) -> None:
    """Before the first preview the status is 404 with Retry-After; then come the preview and the result."""
    job_id = app.submit()
    client, attempts = app.client, app.stores.attempts
    missing = client.get(f"/{job_id}.jpg")
    assert (missing.status_code, missing.headers["Retry-After"]) == (404, "1")

    job = attempts.claim("w1")
    assert job
    attempts.mark_accepted(job)
    attempts.record_preview(job, b"preview")
    assert (client.get(f"/{job_id}.jpg").data, client.get(f"/{job_id}.jpg").mimetype) == (b"preview", "image/jpeg")
    assert client.get(f"/{job_id}.png").status_code == 404

    picture = GeneratedImage(b"original", "image/webp", 1, 1)
    keys = attempts.store_images(job, [picture], b"jpeg")
    attempts.complete(job, [picture], keys)
    completed = client.get(f"/{job_id}.jpg")
    assert (completed.data, completed.mimetype, completed.headers["X-Content-Type-Options"]) == (
        b"jpeg",
        "image/jpeg",
        "nosniff",
    )
    for path in (f"/{job_id}", f"/{job_id}.webp"):
        assert (client.get(path).data, client.get(path).mimetype) == (b"original", "image/webp")


def test_the_image_of_a_failed_job_is_explained(app: AppClient) -> None:
    """The status is 404 with the job's own error."""
    job_id = app.submit()
    app.delete(f"/api/v1/jobs/{job_id}")

    response = app.client.get(f"/{job_id}.jpg")
    assert response.status_code == 404
    assert "cancelled" in response.json["error"]


def test_head_submits_nothing(app: AppClient) -> None:
    """HEAD is not allowed, and no job is created."""
    response = app.client.head("/generateImage", query_string={"prompt": PROMPT}, headers={"x-api-key": API_KEY})

    assert response.status_code == 405
    assert not app.stores.redis.zcard("dr:open")


@pytest.mark.parametrize("path", ["/generateImage?prompt=a+lighthouse+%ff+at+dusk", "/search-loras?query=%ed%a0%80"])
def test_a_query_that_is_not_utf8_is_rejected(app: AppClient, path: str) -> None:
    """A prompt is never altered silently."""
    response = app.get(path)

    assert (response.status_code, response.json["details"]) == (400, ["The query is not valid UTF-8."])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"prompt": "a lighthouse \ud800 at dusk"}, "Unicode"),
        ({"prompt": PROMPT, "loraName": "\ud800"}, "loraName"),
        ({"prompt": PROMPT, "site": ["studio"]}, "site"),
        ({"prompt": PROMPT, "site": {}}, "site"),
    ],
)
def test_values_that_no_page_accepts_are_rejected(app: AppClient, body: dict[str, Any], text: str) -> None:
    """Lone surrogates and wrong types get 400 with the field's name."""
    response = app.post("/generateImage", json=body)

    assert (response.status_code, text in response.json["details"][0]) == (400, True)


def test_images_support_if_none_match(app: AppClient) -> None:
    """The status is 304 for the image's ETag and for ``*``."""
    job_id = app.submit()
    job = app.stores.attempts.claim("w1")
    assert job
    app.stores.attempts.mark_accepted(job)
    picture = GeneratedImage(b"original", "image/png", 1, 1)
    keys = app.stores.attempts.store_images(job, [picture], b"jpeg")
    app.stores.attempts.complete(job, [picture], keys)
    etag = app.client.get(f"/{job_id}.jpg").headers["ETag"]

    for value in (etag, "*"):
        assert app.client.get(f"/{job_id}.jpg", headers={"If-None-Match": value}).status_code == 304
