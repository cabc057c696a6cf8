"""The HTTP front without a worker: keys, checks, errors, limits, headers."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from ops.settings import Settings
from schemas.jobs import Picture
from tests.conftest import KEY
from tests.integration.conftest import Front, close_front, open_front

ROUTES_WITH_KEY = (
    "/generateImage?prompt=a+lighthouse+at+dusk",
    "/status/" + "0" * 32,
    "/search-loras?query=ink",
    "/quota",
    "/metrics",
    "/api/v1/jobs",
    "/api/v1/jobs/" + "0" * 32,
    "/api/v1/sites",
    "/api/v1/sites/studio",
)
PROMPT = "a lighthouse at dusk"


@pytest.mark.parametrize("path", ROUTES_WITH_KEY)
@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": "wrong"}, {"Authorization": "Bearer wrong"}, {"x-api-key": "k" * 9999}]
)
def test_no_route_opens_without_the_key(front: Front, path: str, headers: dict[str, str]) -> None:
    """Missing or wrong: 401."""
    answer = front.client.get(path, headers=headers)

    assert answer.status_code == 401
    if not path.startswith("/api"):
        assert answer.json == {"error": "Invalid or missing API key."}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": KEY},
        {"authorization": f"bearer {KEY}"},
    ],
)
def test_the_key_travels_in_three_ways(front: Front, headers: dict[str, str]) -> None:
    """As clients of the original and of everything else send it."""
    assert front.client.get("/quota", headers=headers).status_code == 200


def test_a_submission_can_be_read_at_once(front: Front) -> None:
    """QUEUED, with every field that clients rely on; the body of a GET is never read."""
    headers = {"Content-Type": "application/json"}
    answer = front.get("/generateImage", query_string={"prompt": PROMPT, "loraName": "Ink Wash"}, headers=headers)

    accepted = answer.json
    assert (answer.status_code, accepted["success"], accepted["position"]) == (200, True, 1)
    ident = accepted["imageId"]
    url = front.stores.settings.public_url
    assert (f"{url}/{ident}.jpg", f"{url}/status/{ident}") == (accepted["imageUrl"], accepted["statusUrl"])
    shown = front.get(f"/status/{ident}", headers=headers, data="{").json
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
def test_a_prompt_arrives_in_every_documented_way(front: Front, send: dict[str, Any]) -> None:
    """As query, as its alias, as JSON, as a form, with and without a slash."""
    answer = front.client.open(send.pop("path", "/generateImage"), headers={"x-api-key": KEY}, **send)

    assert answer.status_code == 200
    assert front.get(f"/status/{answer.json['imageId']}").json["prompt"] == PROMPT


def test_a_prompt_is_decoded_once(front: Front) -> None:
    """A literal percent sign, a plus and an emoji survive."""
    prompt = "50% %41 grey + white 🌊 & foam"
    answer = front.get("/generateImage", query_string={"prompt": prompt})

    assert prompt == front.get(f"/status/{answer.json['imageId']}").json["prompt"]


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
        ({"prompt": PROMPT, "site": "nowhere"}, "site: there is no site 'nowhere' here. Known: studio."),
        ({"prompt": PROMPT, "loraName": "x" * 201}, "loraName: must be a string of at most 200 characters."),
    ],
)
def test_a_bad_submission_is_told_what_is_wrong(front: Front, fields: dict[str, str], detail: str) -> None:
    """400 in the shape of the original, and nothing is queued."""
    answer = front.get("/generateImage", query_string=fields)

    assert (400, {"error": "Validation error", "details": [detail]}) == (answer.status_code, answer.json)
    assert not front.stores.redis.zcard("dr:open")


@pytest.mark.parametrize("body", ["[]", '"text"', "7", "{", '{"prompt": 7}', '{"prompt": ["a lighthouse at dusk"]}'])
def test_json_of_another_shape_is_a_400(front: Front, body: str) -> None:
    """Whatever the body is, the answer is JSON and says 400."""
    answer = front.post("/generateImage", data=body, content_type="application/json")

    assert answer.status_code == 400
    assert "error" in answer.json


def test_a_full_queue_says_when_to_come_back(settings: Settings) -> None:
    """429 with the original's words and whole seconds."""
    front = open_front(replace(settings, max_queue_size=2))
    codes = [front.get("/generateImage", query_string={"prompt": PROMPT}).status_code for _ in range(2)]
    answer = front.get("/generateImage", query_string={"prompt": PROMPT})

    assert [*codes, answer.status_code] == [200, 200, 429]
    assert answer.json["error"] == "Server is busy. Please try again later."
    assert answer.headers["Retry-After"].isdigit()
    close_front(front)


def test_an_unknown_picture_is_not_found(front: Front) -> None:
    """In the shape that clients of the original know, whatever the id looks like."""
    for ident in ("0" * 32, "nope", "...", "Z" * 32, "0" * 3000):
        answer = front.get(f"/status/{ident}")
        assert (answer.status_code, answer.json) == (404, {"status": "NOT_FOUND", "error": "Image not found"})


def test_a_status_knows_who_has_seen_it(front: Front) -> None:
    """A weak ETag, and 304 for whoever has it; a change gives another."""
    ident = front.submit()
    first = front.get(f"/status/{ident}")
    etag = first.headers["ETag"]

    assert etag.startswith("W/")
    same = front.get(f"/status/{ident}", headers={"If-None-Match": etag})
    assert (same.status_code, same.data) == (304, b"")
    front.stores.jobs.cancel(ident)
    changed = front.get(f"/status/{ident}", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert etag != changed.headers["ETag"]


@pytest.mark.parametrize("path", ["/status/{}", "/api/v1/jobs/{}"])
def test_a_waiting_client_hears_of_a_change(front: Front, path: str) -> None:
    """A long-poll answers as soon as the number moves, not when its time is over."""
    ident = front.submit()
    seen = front.job(ident)["seq"]
    heard: list[Any] = []

    def wait() -> None:
        heard.append(front.get(path.format(ident), query_string={"wait": 30, "since": seen}).json)

    waiting = threading.Thread(target=wait)
    waiting.start()
    front.stores.jobs.cancel(ident)
    waiting.join(10)

    assert not waiting.is_alive()
    assert ("FAILED", seen + 1) == (heard[0]["status"], heard[0]["seq"])


def test_a_wait_without_change_ends_in_time(front: Front) -> None:
    """And answers as an ordinary poll would."""
    ident = front.submit()

    shown = front.get(f"/status/{ident}", query_string={"wait": 0.2}).json

    assert shown["status"] == "QUEUED"


@pytest.mark.parametrize(
    "query", [{"wait": "x"}, {"wait": "-1"}, {"wait": "nan"}, {"wait": "inf"}, {"wait": "1", "since": "x"}]
)
def test_a_wait_of_no_number_is_refused(front: Front, query: dict[str, str]) -> None:
    """400, and not an endless wait."""
    assert front.get(f"/status/{front.submit()}", query_string=query).status_code == 400


def test_ones_jobs_are_ones_own(front: Front) -> None:
    """Another caller's job is as unknown as one that never was, on every native route."""
    ident = front.submit()
    bob = {"Authorization": f"Bearer {front.stores.keys.create('bob')}"}

    for path in ("", "/result", "/failure"):
        assert front.client.get(f"/api/v1/jobs/{ident}{path}", headers=bob).status_code == 404
    assert front.client.delete(f"/api/v1/jobs/{ident}", headers=bob).status_code == 404
    assert front.client.get("/api/v1/jobs", headers=bob).json["jobs"] == []
    assert [ident] == [job["id"] for job in front.get("/api/v1/jobs").json["jobs"]]
    assert front.client.get("/quota", headers=bob).json["usage"]["QUEUED_IMAGE_JOBS"] == 0


def test_a_native_submission_says_where_it_is(front: Front) -> None:
    """202, Location, and the job itself."""
    answer = front.post("/api/v1/jobs", json={"prompt": "x", "lora": "Linocut", "inputs": {"negativePrompt": "fog"}})

    job = answer.json
    assert (202, f"/api/v1/jobs/{job['id']}") == (answer.status_code, answer.headers["Location"])
    assert tuple(job[name] for name in ("status", "site", "lora", "inputs", "position")) == (
        "QUEUED",
        "studio",
        "Linocut",
        {"negativePrompt": "fog"},
        1,
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "prompt: Missing data for required field."),
        ({"prompt": ""}, "prompt: Length must be between 1 and 4000."),
        ({"prompt": "x", "colour": "red"}, "colour: Unknown field."),
        ({"prompt": "x", "inputs": {"seed": -1}}, "seed: "),
        ({"prompt": "x", "inputs": []}, "inputs: Not a valid mapping type."),
        ({"prompt": "x", "site": "nowhere"}, "site: there is no site 'nowhere' here."),
        ({"prompt": "\ud800"}, "prompt: "),
    ],
)
def test_a_bad_native_submission_names_the_field(front: Front, body: dict[str, Any], words: str) -> None:
    """400 with a code, a hint, and a sentence for each field."""
    answer = front.post("/api/v1/jobs", json=body)

    error = answer.json["error"]
    assert (answer.status_code, error["code"], error["retryable"]) == (400, "invalid", False)
    assert words in error["details"][0]
    assert error["hint"]


def test_pages_of_jobs_join(front: Front) -> None:
    """Cursors lead through everything once; a foreign one is refused."""
    ids = [front.submit() for _ in range(5)]
    first = front.get("/api/v1/jobs?limit=3").json
    second = front.get("/api/v1/jobs", query_string={"limit": 3, "cursor": first["nextCursor"]}).json

    assert set(ids) == {job["id"] for job in first["jobs"] + second["jobs"]}
    assert second["nextCursor"] is None
    for query in ("cursor=!", "limit=0", "limit=101", "limit=x"):
        assert front.get(f"/api/v1/jobs?{query}").status_code == 400


def test_cancelling_twice_changes_nothing(front: Front) -> None:
    """A job that waits ends at once; after that its end stays."""
    ident = front.submit()
    first, second = front.delete(f"/api/v1/jobs/{ident}"), front.delete(f"/api/v1/jobs/{ident}")

    assert (first.status_code, first.json["status"], first.json["error"]["code"]) == (200, "FAILED", "cancelled")
    assert (200, first.json) == (second.status_code, second.json)
    assert front.delete("/api/v1/jobs/" + "0" * 32).status_code == 404


def test_a_result_that_is_not_there_is_a_conflict(front: Front) -> None:
    """The answer says in which state the job is."""
    answer = front.get(f"/api/v1/jobs/{front.submit()}/result")

    assert answer.status_code == 409
    assert "QUEUED" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("GET", "/api/v1/nothing", 404),
        ("PUT", "/generateImage", 405),
        ("PATCH", "/api/v1/jobs", 405),
        ("GET", "/studio/../../etc/passwd", 404),
        ("GET", "/studio/%2e%2e/studio.toml", 404),
        ("GET", "/studio//etc/passwd", 404),
    ],
)
def test_every_error_is_json(front: Front, method: str, path: str, status: int) -> None:
    """Also those that no view has made."""
    answer = front.client.open(path, method=method, headers={"x-api-key": KEY})

    assert (status, "application/json") == (answer.status_code, answer.mimetype)
    assert answer.json["error"]


def test_a_body_too_large_is_refused(front: Front) -> None:
    """413 on both surfaces, as JSON."""
    for path in ("/generateImage", "/api/v1/jobs"):
        answer = front.post(path, data=b'{"prompt": "' + b"x" * 1_100_000, content_type="application/json")
        assert (answer.status_code, answer.mimetype) == (413, "application/json")


def test_a_body_of_another_type_is_refused(front: Front) -> None:
    """415, and the answer says which type is wanted."""
    answer = front.post("/api/v1/jobs", data="prompt=x", content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 415
    assert "application/json" in answer.json["error"]["message"]


def test_a_fault_of_ours_is_json_without_details(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 tells the client nothing about the inside but the id to look for."""
    monkeypatch.setattr(front.stores.quotas, "read", lambda _owner: 1 / 0, raising=True)
    front.client.application.config["PROPAGATE_EXCEPTIONS"] = False

    answer = front.get("/quota", headers={"X-Request-ID": "look-for-me"})

    assert (
        answer.status_code,
        answer.mimetype,
        answer.headers["X-Request-ID"],
    ) == (500, "application/json", "look-for-me")
    assert "division" not in answer.get_data(as_text=True)


def test_health_without_workers_is_degraded(front: Front) -> None:
    """503 names the part; details are for those with a key."""
    short = front.client.get("/health")
    full = front.get("/health")

    assert (short.status_code, short.json) == (503, {"status": "DEGRADED", "failing": ["workers"]})
    assert full.status_code == 503
    assert full.json["redis"]["ok"]
    assert full.json["database"]["ok"]
    assert (full.json["workers"]["alive"], full.json["queue"]["waiting"]) == (0, 0)
    assert front.client.get("/health", headers={"x-api-key": "wrong"}).status_code == 401


def test_without_redis_nothing_is_accepted(settings: Settings) -> None:
    """503 with Retry-After, never 200 for something that is not stored; /health says which part it is."""
    nowhere = f"unix://{settings.data_dir / 'none.sock'}?db=0"
    front = open_front(replace(settings, redis_url=nowhere, broker_url=nowhere))

    for answer in (
        front.get("/generateImage", query_string={"prompt": PROMPT}),
        front.post("/api/v1/jobs", json={"prompt": PROMPT}),
        front.get("/status/" + "0" * 32),
    ):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"].isdigit()
    assert {"redis", "queue", "workers"} == set(front.client.get("/health").json["failing"])
    close_front(front)


def test_quota_is_real_and_has_every_key(front: Front) -> None:
    """All the kinds of the original; usage counts, and remaining is limit minus usage."""
    front.submit()
    quota = front.get("/quota").json

    assert {"isPremium", "usage", "limits", "remaining", "resetAt"} <= set(quota)
    assert len(quota["usage"]) >= 18
    assert 21 <= len(quota["limits"]) == len(quota["remaining"])
    assert tuple(quota[part]["QUEUED_IMAGE_JOBS"] for part in ("usage", "limits", "remaining")) == (1, 1000, 999)
    assert (quota["usage"]["DAILY_IMAGE_CREATIONS"], quota["limits"]["DAILY_IMAGE_CREATIONS"]) == (1, "Infinity")
    assert quota["limits"]["CHAT_MESSAGES"] == "Infinity"


def test_a_site_that_does_not_answer_is_not_an_empty_list(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with Retry-After while nothing is known; later what was known before, marked as such."""
    monkeypatch.setattr("api.lookups.SEARCH_PATIENCE_S", 0.1)
    monkeypatch.setattr("api.lookups.SEARCH_FRESH_S", 0)
    path = "/search-loras?query=ink"
    unknown = front.get(path)
    front.stores.lookups.answer("search_loras", "studio", "ink", [{"name": "Ink Wash"}])
    known = front.get(path)

    assert unknown.status_code == 503
    assert unknown.headers["Retry-After"].isdigit()
    assert (known.status_code, known.json, known.headers["X-Darkroom-Partial"]) == (200, [{"name": "Ink Wash"}], "site")


@pytest.mark.parametrize("query", ["", "?query=", "?query=%20", "?q=ink"])
def test_a_search_needs_words(front: Front, query: str) -> None:
    """400 with the original's sentence."""
    answer = front.get(f"/search-loras{query}")

    assert (answer.status_code, answer.json["details"]) == (400, ["Query parameter is required."])


def test_pictures_need_no_key_and_come_when_they_are_there(front: Front) -> None:
    """Before the first preview 404 with Retry-After; then the preview; then the picture, and only as what it is."""
    ident = front.submit()
    client, jobs = front.client, front.stores.jobs
    nothing = client.get(f"/{ident}.jpg")
    assert (nothing.status_code, nothing.headers["Retry-After"]) == (404, "1")

    job = jobs.claim(ident, "w1")
    assert job
    jobs.accepted(job)
    jobs.note_preview(job, b"preview")
    assert (client.get(f"/{ident}.jpg").data, client.get(f"/{ident}.jpg").mimetype) == (b"preview", "image/jpeg")
    assert client.get(f"/{ident}.png").status_code == 404

    picture = Picture(b"original", "image/webp", 1, 1)
    jobs.put(job, picture, b"jpeg")
    jobs.complete(job, picture)
    done = client.get(f"/{ident}.jpg")
    assert (done.data, done.mimetype, done.headers["X-Content-Type-Options"]) == (b"jpeg", "image/jpeg", "nosniff")
    for path in (f"/{ident}", f"/{ident}.webp"):
        assert (client.get(path).data, client.get(path).mimetype) == (b"original", "image/webp")


def test_the_picture_of_a_failed_job_is_explained(front: Front) -> None:
    """404 with the job's own reason."""
    ident = front.submit()
    front.delete(f"/api/v1/jobs/{ident}")

    answer = front.client.get(f"/{ident}.jpg")
    assert answer.status_code == 404
    assert "cancelled" in answer.json["error"]


def test_other_origins_are_let_in_only_when_named(settings: Settings, front: Front) -> None:
    """CORS is off by default, and on for the origins of CORS_ORIGINS alone."""
    allowed = "Access-Control-Allow-Origin"
    origin = {"Origin": "https://app.example.org"}
    assert allowed not in front.get("/quota", headers=origin).headers

    open_to_one = open_front(replace(settings, cors_origins=("https://app.example.org",)))
    assert open_to_one.get("/quota", headers=origin).headers[allowed] == "https://app.example.org"
    assert allowed not in open_to_one.get("/quota", headers={"Origin": "https://evil.example.org"}).headers
    assert (
        open_to_one.client.options(
            "/api/v1/jobs", headers=origin | {"Access-Control-Request-Method": "POST"}
        ).status_code
        == 200
    )
    close_front(open_to_one)


def test_sites_say_what_they_accept(front: Front) -> None:
    """Types, ranges and defaults of every input."""
    sites = front.get("/api/v1/sites").json
    studio = front.get("/api/v1/sites/studio").json

    assert (sites["default"], [site["name"] for site in sites["sites"]]) == ("studio", ["studio"])
    assert tuple(studio["inputs"]["width"][name] for name in ("minimum", "maximum", "multipleOf", "default")) == (
        256,
        1024,
        8,
        512,
    )
    assert "procedural" in studio["title"]
    assert front.get("/api/v1/sites/nowhere").status_code == 404


def test_metrics_count_jobs_and_requests(front: Front) -> None:
    """Prometheus' text, with figures that are right."""
    front.submit()
    front.delete(f"/api/v1/jobs/{front.submit()}")
    text = front.get("/metrics").get_data(as_text=True)

    assert 'darkroom_jobs{site="studio",state="QUEUED"} 1.0' in text
    assert 'darkroom_jobs_ended_total{code="cancelled",site="studio",state="FAILED"} 1.0' in text
    assert "darkroom_queue_depth 1.0" in text
    for name in ("queue_oldest_seconds", "job_pickup_seconds_bucket", "job_run_seconds_bucket", "browser_contexts"):
        assert f"darkroom_{name}" in text
    assert 'darkroom_http_request_seconds_bucket{le="0.001",method="POST",route="jobs.create",status="202"}' in text


def test_the_description_is_complete(front: Front) -> None:
    """OpenAPI 3.1 with every route that clients may call, and a page of it that asks nothing of other hosts."""
    spec = front.client.get("/openapi.json").json
    page = front.client.get("/docs")
    rules = {rule.rule for rule in front.client.application.url_map.iter_rules()}

    assert spec["openapi"].startswith("3.1")
    assert {"/health", "/generateImage", "/status/{image_id}", "/search-loras", "/quota"} <= set(spec["paths"])
    undocumented = {"/", "/docs", "/openapi.json"} | {rule for rule in rules if rule.startswith(("/studio", "/docs/"))}
    assert len(rules - undocumented) == len(spec["paths"])
    text = page.get_data(as_text=True)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "http://" not in text
    assert "https://" not in text
    assert "site_refused" in text


def test_the_studio_is_served_to_people_too(front: Front) -> None:
    """With the same policy as to the worker's browser, and called what it is."""
    page = front.client.get("/studio", follow_redirects=True, buffered=True)

    assert "procedural demo" in page.get_data(as_text=True).lower()
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert front.client.get("/studio/studio.js", buffered=True).mimetype == "text/javascript"
