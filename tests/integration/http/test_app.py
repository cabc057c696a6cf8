"""The HTTP API without a worker: keys, errors, headers, health, metrics, pages."""

import json
import re
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from ops.infra.database import open_database
from ops.infra.settings import Settings
from stores.sql.database import Database
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
def test_routes_reject_a_missing_or_invalid_key(app: AppClient, path: str, headers: dict[str, str]) -> None:
    """Without a valid key the status is 401."""
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
def test_the_key_is_accepted_in_three_headers(app: AppClient, headers: dict[str, str]) -> None:
    """The key may be in ``x-api-key``, as a bearer token, or alone in ``Authorization``."""
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
def test_errors_outside_of_views_are_json(app: AppClient, method: str, path: str, status: int) -> None:
    """Unknown URLs and methods get a JSON body with ``error``."""
    answer = app.client.open(path, method=method, headers={"x-api-key": API_KEY})

    assert (status, "application/json") == (answer.status_code, answer.mimetype)
    assert answer.json["error"]


def test_requests_that_gunicorn_rejects_get_json(
    web_process: tuple[str, subprocess.Popen[bytes], Path],
) -> None:
    """Malformed requests, which no view sees, get both ``error`` and ``message``, for the clients of every API."""
    address = urlsplit(web_process[0])
    statuses = set()
    for header, line in (
        (b"X: " + b"a" * 70_000, b"GET /v1/consumer/user-info/"),
        (b"X: y", b"GET /v1/" + b"a" * 20_000),
        (b"Content-Length: many", b"POST /v1/consumer/gen"),
        (b"Expect: miracles", b"POST /v1/consumer/gen"),
    ):
        with socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S) as raw:
            raw.sendall(line + b" HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
            head, _, body = raw.recv(4096).partition(b"\r\n\r\n")
        statuses.add(int(head.split()[1]))
        error = json.loads(body)
        assert error["message"] == error["error"]
        assert error["requestId"]
    assert sorted(statuses) == [400, 414, 417, 431]


def test_a_body_that_is_too_large_is_rejected(app: AppClient) -> None:
    """The status is 413 and the body is JSON, in both APIs."""
    for path in ("/generateImage", "/api/v1/jobs"):
        answer = app.post(path, data=b'{"prompt": "' + b"x" * 25_200_000, content_type="application/json")
        assert (answer.status_code, answer.mimetype) == (413, "application/json")


def test_an_unexpected_error_reveals_no_details(app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 500 response has the request id and nothing of the exception."""
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
    """``/health`` returns 503 and names the failing part; details need a key."""
    summary = app.client.get("/health")
    details = app.get("/health")

    assert (summary.status_code, summary.json) == (503, {"status": "DEGRADED", "failing": ["workers"]})
    assert details.status_code == 503
    assert details.json["redis"]["ok"]
    assert details.json["database"]["ok"]
    assert (details.json["workers"]["alive"], details.json["queue"]["waiting"]) == (0, 0)
    assert app.client.get("/health", headers={"x-api-key": "wrong"}).status_code == 401


def test_without_redis_submissions_fail(settings: Settings) -> None:
    """Requests that need Redis get 503 with Retry-After, and ``/health`` names the failing parts."""
    missing = f"unix://{settings.data_dir / 'none.sock'}?db=0"
    app = open_app(replace(settings, redis_url=missing, broker_url=missing))

    for answer in (
        app.get("/generateImage", query_string={"prompt": PROMPT}),
        app.post("/api/v1/jobs", json={"prompt": PROMPT}),
        app.get("/status/" + "0" * 32),
    ):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"].isdigit()
    assert {"redis", "queue", "workers", "sites"} == set(app.client.get("/health").json["failing"])
    close_app(app)


def test_cors_is_limited_to_the_configured_origins(settings: Settings, app: AppClient) -> None:
    """CORS is off by default, and on for the origins in CORS_ORIGINS."""
    allowed = "Access-Control-Allow-Origin"
    origin = {"Origin": "https://app.example.org"}
    assert allowed not in app.get("/quota", headers=origin).headers

    restricted = open_app(replace(settings, cors_origins=("https://app.example.org",)))
    assert restricted.get("/quota", headers=origin).headers[allowed] == "https://app.example.org"
    assert allowed not in restricted.get("/quota", headers={"Origin": "https://evil.example.org"}).headers
    assert (
        restricted.client.options(
            "/api/v1/jobs", headers=origin | {"Access-Control-Request-Method": "POST"}
        ).status_code
        == 200
    )
    close_app(restricted)


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/consumer/user-info", "/v1"])
def test_cors_allows_the_headers_that_clients_need(settings: Settings, path: str) -> None:
    """Pages may send Last-Event-ID and read the headers about limits, with CORS_ORIGINS and in the generaitiv API."""
    app = open_app(replace(settings, cors_origins=("https://app.example.org",)))
    preflight_headers = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "GET"}
    requested = {"Access-Control-Request-Headers": "authorization,last-event-id"}
    preflight = app.client.options(path, headers=preflight_headers | requested).headers
    response = app.get(path, headers=preflight_headers).headers
    assert {"authorization", "last-event-id"} <= _names(preflight["Access-Control-Allow-Headers"])
    assert {"retry-after", "ratelimit", "x-ratelimit-reset"} <= _names(response["Access-Control-Expose-Headers"])
    assert response["Access-Control-Allow-Origin"] in {"*", "https://app.example.org"}
    close_app(app)


def _names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


def test_metrics_count_jobs_and_requests(app: AppClient) -> None:
    """``/metrics`` has the right counts of jobs, and the latencies of requests by route."""
    app.submit()
    app.delete(f"/api/v1/jobs/{app.submit()}")
    text = app.get("/metrics").get_data(as_text=True)

    assert 'darkroom_jobs{site="studio",state="QUEUED"} 1.0' in text
    server = app.stores.settings.redis_servers[0].name
    labels = f'code="cancelled",server="{server}",site="studio",state="FAILED"'
    assert f"darkroom_jobs_ended_total{{{labels}}} 1.0" in text
    assert "darkroom_queue_depth 1.0" in text
    for name in ("queue_oldest_seconds", "job_pickup_seconds_bucket", "job_run_seconds_bucket", "browser_contexts"):
        assert f"darkroom_{name}" in text
    assert 'darkroom_http_request_seconds_bucket{le="0.001",method="POST",route="jobs.create",status="202"}' in text


def test_the_openapi_description_is_complete(app: AppClient) -> None:
    """Every route but those of pages is described in OpenAPI 3.1; its HTML page loads nothing from other hosts."""
    spec = app.client.get("/openapi.json").json
    page = app.client.get("/docs")
    rules = {rule.rule for rule in app.client.application.url_map.iter_rules() if not rule.websocket}

    assert spec["openapi"].startswith("3.1")
    assert {"/health", "/generateImage", "/status/{image_id}", "/search-loras", "/quota"} <= set(spec["paths"])
    paths = {re.sub(r"<(?:[^<>]+:)?(\w+)>", r"{\1}", rule): rule for rule in rules}
    pages = ("/studio", "/docs", "/console/", "/design/", "/gallery", "/c/", "/u/", "/oembed")
    undocumented = {path for path in paths if path not in spec["paths"] and not path.startswith(pages)}
    assert undocumented == {"/", "/openapi.json", "/client.js"}
    html = page.get_data(as_text=True)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "http://" not in html
    assert "https://" not in html
    assert "site_refused" in html


def test_the_studio_is_served(app: AppClient) -> None:
    """The demo page has the same content security policy as in the workers' browsers, and correct media types."""
    page = app.client.get("/studio", follow_redirects=True, buffered=True)

    assert "procedural demo" in page.get_data(as_text=True).lower()
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert app.client.get("/studio/studio.js", buffered=True).mimetype == "text/javascript"


@pytest.mark.parametrize("request_id", ["x" * 65, "a b", "a\u00ff", "", "a;b"])
def test_an_invalid_request_id_is_replaced(app: AppClient, request_id: str) -> None:
    """A request id that is too long or has other characters is not echoed."""
    assert app.get("/quota", headers={"X-Request-ID": request_id}).headers["X-Request-ID"] != request_id


@pytest.mark.parametrize("is_logged", [True, False])
def test_the_line_for_each_request_has_a_switch(settings: Settings, tmp_path: Path, is_logged: bool) -> None:
    """Failures are logged in either case."""
    app = open_app(replace(settings, log_requests=is_logged))
    with capture_logs() as lines:
        app.get("/api/v1/sites")
        app.stores.subscriptions._database = Database(open_database(f"sqlite:///{tmp_path}"))
        app.get("/api/v1/webhooks")
    close_app(app)
    assert [line["event"] for line in lines] == (["request"] if is_logged else []) + ["unavailable"] + (
        ["request"] if is_logged else []
    )
