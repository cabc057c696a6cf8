"""The Weights API without a worker: submissions, status, waits, pictures, search, quota."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from ops.infra.settings import Settings
from schemas.jobs.job import GeneratedImage
from stores.accounts.api_keys import ApiKeys
from tests.conftest import API_KEY, eventually
from tests.integration.conftest import AppClient, close_app, open_app

PROMPT = "a lighthouse at dusk"


def test_a_submission_can_be_read_at_once(app: AppClient) -> None:
    """QUEUED, with every field that clients rely on; the body of a GET is never read."""
    headers = {"Content-Type": "application/json"}
    answer = app.get("/generateImage", query_string={"prompt": PROMPT, "loraName": "Ink Wash"}, headers=headers)

    accepted = answer.json
    assert (answer.status_code, accepted["success"], accepted["position"]) == (200, True, 1)
    ident = accepted["imageId"]
    url = app.stores.settings.public_url
    assert (f"{url}/{ident}.jpg", f"{url}/status/{ident}") == (accepted["imageUrl"], accepted["statusUrl"])
    shown = app.get(f"/status/{ident}", headers=headers, data="{").json
    assert tuple(shown[name] for name in ("status", "prompt", "error", "loraName", "position")) == (
        "QUEUED",
        PROMPT,
        None,
        "Ink Wash",
        1,
    )
    assert isinstance(shown["startTime"], int)
    assert shown["lastModifiedDate"] >= shown["startTime"] > 1_600_000_000_000


@pytest.mark.parametrize(
    "send",
    [
        {"query_string": {"query": PROMPT}},
        {"method": "POST", "json": {"prompt": PROMPT, "seed": 7}},
        {"method": "POST", "data": {"prompt": PROMPT, "seed": "7"}},
        {"path": "/generateImage/", "query_string": {"prompt": PROMPT}},
    ],
)
def test_a_prompt_arrives_in_every_documented_way(app: AppClient, send: dict[str, Any]) -> None:
    """As query, as its alias, as JSON, as a form, with and without a slash."""
    answer = app.client.open(send.pop("path", "/generateImage"), headers={"x-api-key": API_KEY}, **send)

    assert answer.status_code == 200
    assert app.get(f"/status/{answer.json['imageId']}").json["prompt"] == PROMPT


def test_a_prompt_is_decoded_once(app: AppClient) -> None:
    """A literal percent sign, a plus and an emoji survive."""
    prompt = "50% %41 grey + white 🌊 & foam"
    answer = app.get("/generateImage", query_string={"prompt": prompt})

    assert prompt == app.get(f"/status/{answer.json['imageId']}").json["prompt"]


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
            "site: there is no site 'nowhere' here. Known: automatic1111, comfyui, fooocus, gradio, studio, weights.",
        ),
        (
            {"prompt": PROMPT, "loraName": "x" * 201},
            f"loraName: Longer than maximum length 200. (given: '{'x' * 59}…)",
        ),
    ],
)
def test_a_bad_submission_is_told_what_is_wrong(app: AppClient, fields: dict[str, str], detail: str) -> None:
    """400 in the shape of the original, and nothing is queued."""
    answer = app.get("/generateImage", query_string=fields)

    assert (400, {"error": "Validation error", "details": [detail]}) == (answer.status_code, answer.json)
    assert not app.stores.redis.zcard("dr:open")


@pytest.mark.parametrize("body", ["[]", '"text"', "7", "{", '{"prompt": 7}', '{"prompt": ["a lighthouse at dusk"]}'])
def test_json_of_another_shape_is_a_400(app: AppClient, body: str) -> None:
    """Whatever the body is, the answer is JSON and says 400."""
    answer = app.post("/generateImage", data=body, content_type="application/json")

    assert answer.status_code == 400
    assert "error" in answer.json


def test_a_full_queue_says_when_to_come_back(settings: Settings) -> None:
    """429 with the original's words and whole seconds."""
    front = open_app(replace(settings, max_queue_size=2))
    codes = [front.get("/generateImage", query_string={"prompt": PROMPT}).status_code for _ in range(2)]
    answer = front.get("/generateImage", query_string={"prompt": PROMPT})

    assert [*codes, answer.status_code] == [200, 200, 429]
    assert answer.json["error"] == "Server is busy. Please try again later."
    assert answer.headers["Retry-After"].isdigit()
    close_app(front)


def test_an_unknown_picture_is_not_found(app: AppClient) -> None:
    """In the shape that clients of the original know, whatever the id looks like."""
    for ident in ("0" * 32, "nope", "...", "Z" * 32, "0" * 3000):
        answer = app.get(f"/status/{ident}")
        assert (answer.status_code, answer.json) == (404, {"status": "NOT_FOUND", "error": "Image not found"})


def test_a_status_knows_who_has_seen_it(app: AppClient) -> None:
    """A weak ETag, and 304 for whoever has it; a change gives another."""
    ident = app.submit()
    first = app.get(f"/status/{ident}")
    etag = first.headers["ETag"]

    assert etag.startswith("W/")
    same = app.get(f"/status/{ident}", headers={"If-None-Match": etag})
    assert (same.status_code, same.data) == (304, b"")
    app.stores.jobs.cancel(ident)
    changed = app.get(f"/status/{ident}", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert etag != changed.headers["ETag"]


@pytest.mark.parametrize("path", ["/status/{}", "/api/v1/jobs/{}"])
def test_a_waiting_client_hears_of_a_change(app: AppClient, path: str) -> None:
    """A long-poll answers as soon as the number moves, not when its time is over."""
    ident = app.submit()
    seen = app.get_job(ident)["seq"]
    heard: list[Any] = []

    def wait() -> None:
        heard.append(app.get(path.format(ident), query_string={"wait": 30, "since": seen}).json)

    waiting = threading.Thread(target=wait)
    waiting.start()
    app.stores.jobs.cancel(ident)
    waiting.join(10)

    assert not waiting.is_alive()
    assert ("FAILED", seen + 1) == (heard[0]["status"], heard[0]["seq"])


@pytest.mark.parametrize("path", ["/status/{}", "/api/v1/jobs/{}"])
def test_no_wait_outlives_its_key(app: AppClient, path: str) -> None:
    """It ends as the next request would."""
    key = app.stores.api_keys.create("bob")
    caller = app.stores.api_keys.authenticate(key)
    assert caller
    bob = {"x-api-key": key}
    ident = app.client.post("/api/v1/jobs", json={"prompt": "a lake"}, headers=bob).json["id"]
    heard: list[Any] = []

    def wait() -> None:
        heard.append(app.client.get(f"{path.format(ident)}?wait=60", headers=bob))

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: app.stores.notifier._signals)
    ApiKeys(app.stores.engine, app.stores.clock, app.stores.owner_key).revoke(caller.id)
    waiting.join(30)

    assert [answer.status_code for answer in heard] == [401]
    assert "a lake" not in heard[0].get_data(as_text=True)


def test_anothers_job_is_not_found(app: AppClient) -> None:
    """Neither its prompt nor that there is one; waiting changes nothing."""
    ident = app.submit()
    stranger = {"x-api-key": app.stores.api_keys.create("bob")}

    for query in ("", "?wait=30"):
        answer = app.client.get(f"/status/{ident}{query}", headers=stranger)
        assert (answer.status_code, answer.json) == (404, {"status": "NOT_FOUND", "error": "Image not found"})


def test_a_wait_without_change_ends_in_time(app: AppClient) -> None:
    """And answers as an ordinary poll would."""
    ident = app.submit()

    shown = app.get(f"/status/{ident}", query_string={"wait": 0.2}).json

    assert shown["status"] == "QUEUED"


@pytest.mark.parametrize(
    "query", [{"wait": "x"}, {"wait": "-1"}, {"wait": "nan"}, {"wait": "inf"}, {"wait": "1", "since": "x"}]
)
def test_a_wait_of_no_number_is_refused(app: AppClient, query: dict[str, str]) -> None:
    """400, and not an endless wait."""
    assert app.get(f"/status/{app.submit()}", query_string=query).status_code == 400


def test_quota_is_real_and_has_every_key(app: AppClient) -> None:
    """All the kinds of the original; usage counts, and remaining is limit minus usage."""
    app.submit()
    quota = app.get("/quota").json

    assert {"isPremium", "usage", "limits", "remaining", "resetAt"} <= set(quota)
    assert len(quota["usage"]) >= 18
    assert 21 <= len(quota["limits"]) == len(quota["remaining"])
    assert tuple(quota[part]["QUEUED_IMAGE_JOBS"] for part in ("usage", "limits", "remaining")) == (1, 1000, 999)
    assert (quota["usage"]["DAILY_IMAGE_CREATIONS"], quota["limits"]["DAILY_IMAGE_CREATIONS"]) == (1, "Infinity")
    assert quota["limits"]["CHAT_MESSAGES"] == "Infinity"


def test_a_site_that_does_not_answer_is_not_an_empty_list(app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with Retry-After while nothing is known; later what was known before, marked as such."""
    monkeypatch.setattr("api.sites.site_queries.SEARCH_TIMEOUT_S", 0.1)
    monkeypatch.setattr("api.sites.site_queries.SEARCH_CACHE_TTL_S", 0)
    path = "/search-loras?query=ink"
    unknown = app.get(path)
    app.stores.site_queries.store_answer("search_loras", "studio", "ink", [{"name": "Ink Wash"}])
    known = app.get(path)

    assert unknown.status_code == 503
    assert unknown.headers["Retry-After"].isdigit()
    assert (known.status_code, known.json, known.headers["X-Darkroom-Partial"]) == (200, [{"name": "Ink Wash"}], "site")


@pytest.mark.parametrize("query", ["", "?query=", "?query=%20", "?q=ink"])
def test_a_search_needs_words(app: AppClient, query: str) -> None:
    """400 with the original's sentence."""
    answer = app.get(f"/search-loras{query}")

    assert (answer.status_code, answer.json["details"]) == (400, ["Query parameter is required."])


def test_pictures_need_no_key_and_come_when_they_are_there(app: AppClient) -> None:
    """Before the first preview 404 with Retry-After; then the preview; then the picture, and only as what it is."""
    ident = app.submit()
    client, attempts = app.client, app.stores.attempts
    nothing = client.get(f"/{ident}.jpg")
    assert (nothing.status_code, nothing.headers["Retry-After"]) == (404, "1")

    job = attempts.claim("w1")
    assert job
    attempts.mark_accepted(job)
    attempts.record_preview(job, b"preview")
    assert (client.get(f"/{ident}.jpg").data, client.get(f"/{ident}.jpg").mimetype) == (b"preview", "image/jpeg")
    assert client.get(f"/{ident}.png").status_code == 404

    picture = GeneratedImage(b"original", "image/webp", 1, 1)
    attempts.store_images(job, [picture], b"jpeg")
    attempts.complete(job, [picture])
    done = client.get(f"/{ident}.jpg")
    assert (done.data, done.mimetype, done.headers["X-Content-Type-Options"]) == (b"jpeg", "image/jpeg", "nosniff")
    for path in (f"/{ident}", f"/{ident}.webp"):
        assert (client.get(path).data, client.get(path).mimetype) == (b"original", "image/webp")


def test_the_picture_of_a_failed_job_is_explained(app: AppClient) -> None:
    """404 with the job's own reason."""
    ident = app.submit()
    app.delete(f"/api/v1/jobs/{ident}")

    answer = app.client.get(f"/{ident}.jpg")
    assert answer.status_code == 404
    assert "cancelled" in answer.json["error"]


def test_asking_about_a_submission_makes_none(app: AppClient) -> None:
    """HEAD is refused, and nothing is queued."""
    answer = app.client.head("/generateImage", query_string={"prompt": PROMPT}, headers={"x-api-key": API_KEY})

    assert answer.status_code == 405
    assert not app.stores.redis.zcard("dr:open")


@pytest.mark.parametrize("path", ["/generateImage?prompt=a+lighthouse+%ff+at+dusk", "/search-loras?query=%ed%a0%80"])
def test_a_query_that_is_not_utf8_is_refused(app: AppClient, path: str) -> None:
    """Nothing is painted that the client did not write."""
    answer = app.get(path)

    assert (answer.status_code, answer.json["details"]) == (400, ["The query is not valid UTF-8."])


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"prompt": "a lighthouse \ud800 at dusk"}, "Unicode"),
        ({"prompt": PROMPT, "loraName": "\ud800"}, "loraName"),
        ({"prompt": PROMPT, "site": ["studio"]}, "site"),
        ({"prompt": PROMPT, "site": {}}, "site"),
    ],
)
def test_a_body_that_json_allows_and_nobody_can_paint_is_refused(
    app: AppClient, body: dict[str, Any], word: str
) -> None:
    """With the field's name, and not as a fault of ours."""
    answer = app.post("/generateImage", json=body)

    assert (answer.status_code, word in answer.json["details"][0]) == (400, True)


def test_a_picture_that_is_known_is_not_sent_again(app: AppClient) -> None:
    """304 for whoever has it, by its ETag or by any."""
    ident = app.submit()
    job = app.stores.attempts.claim("w1")
    assert job
    app.stores.attempts.mark_accepted(job)
    picture = GeneratedImage(b"original", "image/png", 1, 1)
    app.stores.attempts.store_images(job, [picture], b"jpeg")
    app.stores.attempts.complete(job, [picture])
    etag = app.client.get(f"/{ident}.jpg").headers["ETag"]

    for known in (etag, "*"):
        assert app.client.get(f"/{ident}.jpg", headers={"If-None-Match": known}).status_code == 304
