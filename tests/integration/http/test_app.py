"""The HTTP front without a worker: keys, errors, headers, health, metrics, pages."""

import json
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ops.infra.settings import Settings
from tests.conftest import API_KEY, TIMEOUT_S
from tests.integration.conftest import AppClient, close_app, open_app

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
def test_no_route_opens_without_the_key(app: AppClient, path: str, headers: dict[str, str]) -> None:
    """Missing or wrong: 401."""
    answer = app.client.get(path, headers=headers)

    assert answer.status_code == 401
    if not path.startswith("/api"):
        assert answer.json == {"error": "Invalid or missing API key."}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": API_KEY},
        {"Authorization": f"Bearer {API_KEY}"},
        {"Authorization": API_KEY},
        {"authorization": f"bearer {API_KEY}"},
    ],
)
def test_the_key_travels_in_three_ways(app: AppClient, headers: dict[str, str]) -> None:
    """As clients of the original and of everything else send it."""
    assert app.client.get("/quota", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api", 404),
        ("PUT", "/generateImage", 405),
        ("PATCH", "/api/v1/jobs", 405),
        ("GET", "/studio/../../etc/passwd", 404),
        ("GET", "/studio/%2e%2e/studio.toml", 404),
        ("GET", "/studio//etc/passwd", 404),
        ("GET", "/studio/" + "a" * 3000, 404),
        ("GET", "/studio/%00", 404),
    ],
)
def test_every_error_is_json(app: AppClient, method: str, path: str, status: int) -> None:
    """Also those that no view has made."""
    answer = app.client.open(path, method=method, headers={"x-api-key": API_KEY})

    assert (status, "application/json") == (answer.status_code, answer.mimetype)
    assert answer.json["error"]


def test_what_the_server_itself_cannot_read_is_told_to_clients_of_every_surface(
    web_process: tuple[str, subprocess.Popen[bytes], Path],
) -> None:
    """No view ever sees it: the sentence stands where each of them looks for it."""
    address = urlsplit(web_process[0])
    seen = {}
    for more, line in (
        (b"X: " + b"a" * 70_000, b"GET /v1/consumer/user-info/"),
        (b"X: y", b"GET /v1/" + b"a" * 20_000),
        (b"Content-Length: many", b"POST /v1/consumer/gen"),
        (b"Expect: miracles", b"POST /v1/consumer/gen"),
    ):
        with socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S) as raw:
            raw.sendall(line + b" HTTP/1.1\r\nHost: x\r\n" + more + b"\r\n\r\n")
            head, _, body = raw.recv(4096).partition(b"\r\n\r\n")
        seen[int(head.split()[1])] = told = json.loads(body)
        assert told["message"] == told["error"]
        assert told["requestId"]
    assert sorted(seen) == [400, 414, 417, 431]


def test_a_body_too_large_is_refused(app: AppClient) -> None:
    """413 on both surfaces, as JSON."""
    for path in ("/generateImage", "/api/v1/jobs"):
        answer = app.post(path, data=b'{"prompt": "' + b"x" * 1_100_000, content_type="application/json")
        assert (answer.status_code, answer.mimetype) == (413, "application/json")


def test_a_fault_of_ours_is_json_without_details(app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 tells the client nothing about the inside but the id to look for."""
    monkeypatch.setattr(app.stores.quotas, "summarize", lambda _owner: 1 / 0, raising=True)
    app.client.application.config["PROPAGATE_EXCEPTIONS"] = False

    answer = app.get("/quota", headers={"X-Request-ID": "look-for-me"})

    assert (
        answer.status_code,
        answer.mimetype,
        answer.headers["X-Request-ID"],
    ) == (500, "application/json", "look-for-me")
    assert "division" not in answer.get_data(as_text=True)


def test_health_without_workers_is_degraded(app: AppClient) -> None:
    """503 names the part; details are for those with a key."""
    short = app.client.get("/health")
    full = app.get("/health")

    assert (short.status_code, short.json) == (503, {"status": "DEGRADED", "failing": ["workers"]})
    assert full.status_code == 503
    assert full.json["redis"]["ok"]
    assert full.json["database"]["ok"]
    assert (full.json["workers"]["alive"], full.json["queue"]["waiting"]) == (0, 0)
    assert app.client.get("/health", headers={"x-api-key": "wrong"}).status_code == 401


def test_without_redis_nothing_is_accepted(settings: Settings) -> None:
    """503 with Retry-After, never 200 for something that is not stored; /health says which part it is."""
    nowhere = f"unix://{settings.data_dir / 'none.sock'}?db=0"
    front = open_app(replace(settings, redis_url=nowhere, broker_url=nowhere))

    for answer in (
        front.get("/generateImage", query_string={"prompt": PROMPT}),
        front.post("/api/v1/jobs", json={"prompt": PROMPT}),
        front.get("/status/" + "0" * 32),
    ):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"].isdigit()
    assert {"redis", "queue", "workers", "sites"} == set(front.client.get("/health").json["failing"])
    close_app(front)


def test_other_origins_are_let_in_only_when_named(settings: Settings, app: AppClient) -> None:
    """CORS is off by default, and on for the origins of CORS_ORIGINS alone."""
    allowed = "Access-Control-Allow-Origin"
    origin = {"Origin": "https://app.example.org"}
    assert allowed not in app.get("/quota", headers=origin).headers

    open_to_one = open_app(replace(settings, cors_origins=("https://app.example.org",)))
    assert open_to_one.get("/quota", headers=origin).headers[allowed] == "https://app.example.org"
    assert allowed not in open_to_one.get("/quota", headers={"Origin": "https://evil.example.org"}).headers
    assert (
        open_to_one.client.options(
            "/api/v1/jobs", headers=origin | {"Access-Control-Request-Method": "POST"}
        ).status_code
        == 200
    )
    close_app(open_to_one)


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/consumer/user-info", "/v1"])
def test_pages_of_other_origins_may_send_and_read_what_a_client_needs(settings: Settings, path: str) -> None:
    """Where a stream goes on, and how long to wait; where everybody may call as where somebody is named."""
    front = open_app(replace(settings, cors_origins=("https://app.example.org",)))
    asks = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "GET"}
    wanted = {"Access-Control-Request-Headers": "authorization,last-event-id"}
    preflight = front.client.options(path, headers=asks | wanted).headers
    told = front.get(path, headers=asks).headers
    assert {"authorization", "last-event-id"} <= _names(preflight["Access-Control-Allow-Headers"])
    assert {"retry-after", "ratelimit", "x-ratelimit-reset"} <= _names(told["Access-Control-Expose-Headers"])
    assert told["Access-Control-Allow-Origin"] in {"*", "https://app.example.org"}
    close_app(front)


def _names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


def test_metrics_count_jobs_and_requests(app: AppClient) -> None:
    """Prometheus' text, with figures that are right."""
    app.submit()
    app.delete(f"/api/v1/jobs/{app.submit()}")
    text = app.get("/metrics").get_data(as_text=True)

    assert 'darkroom_jobs{site="studio",state="QUEUED"} 1.0' in text
    assert 'darkroom_jobs_ended_total{code="cancelled",site="studio",state="FAILED"} 1.0' in text
    assert "darkroom_queue_depth 1.0" in text
    for name in ("queue_oldest_seconds", "job_pickup_seconds_bucket", "job_run_seconds_bucket", "browser_contexts"):
        assert f"darkroom_{name}" in text
    assert 'darkroom_http_request_seconds_bucket{le="0.001",method="POST",route="jobs.create",status="202"}' in text


def test_the_description_is_complete(app: AppClient) -> None:
    """OpenAPI 3.1 with every route that clients may call, and a page of it that asks nothing of other hosts."""
    spec = app.client.get("/openapi.json").json
    page = app.client.get("/docs")
    rules = {rule.rule for rule in app.client.application.url_map.iter_rules() if not rule.websocket}

    assert spec["openapi"].startswith("3.1")
    assert {"/health", "/generateImage", "/status/{image_id}", "/search-loras", "/quota"} <= set(spec["paths"])
    undocumented = {"/", "/docs", "/openapi.json", "/client.js"} | {
        rule for rule in rules if rule.startswith(("/studio", "/docs/"))
    }
    assert len(rules - undocumented) == len(spec["paths"])
    text = page.get_data(as_text=True)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "http://" not in text
    assert "https://" not in text
    assert "site_refused" in text


def test_the_studio_is_served_to_people_too(app: AppClient) -> None:
    """With the same policy as to the worker's browser, and called what it is."""
    page = app.client.get("/studio", follow_redirects=True, buffered=True)

    assert "procedural demo" in page.get_data(as_text=True).lower()
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert app.client.get("/studio/studio.js", buffered=True).mimetype == "text/javascript"


@pytest.mark.parametrize("given", ["x" * 65, "a b", "a\u00ff", "", "a;b"])
def test_a_request_id_of_another_shape_is_replaced(app: AppClient, given: str) -> None:
    """What comes back and goes to the log is plain."""
    assert app.get("/quota", headers={"X-Request-ID": given}).headers["X-Request-ID"] != given
