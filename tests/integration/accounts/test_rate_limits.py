"""Rate limits, quotas, plans and scopes: the responses, and that their headers are true."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.compat.sdapi import pictures
from api.jobs import completion
from ops.infra.settings import Settings
from schemas.accounts.caller import Scope, parse_limits
from stores import open_stores
from stores.accounts.api_keys import KeyChange
from tests.conftest import API_KEY, FakeClock, create_tables
from tests.integration.conftest import AppClient, described_client

PROMPT = {"prompt": "a quiet lake at dawn"}
OWNER_KEY = {"x-api-key": API_KEY}
HANDSHAKE = {"Connection": "Upgrade", "Upgrade": "websocket"}
SUBMISSIONS = (("/api/v1/jobs", PROMPT), ("/generateImage", PROMPT), ("/v1/consumer/gen", {"input": PROMPT}))


@contextmanager
def open_limited_app(settings: Settings, clock: FakeClock, **changes: Any) -> Iterator[AppClient]:
    """An app with other settings, and a clock that the test controls."""
    changed = replace(settings, **changes)
    create_tables(changed.database_url)
    stores = open_stores(changed, clock=clock)
    yield AppClient(described_client(create_app(stores)), stores)
    stores.close()


def new_key(app: AppClient, **properties: Any) -> dict[str, str]:
    """The header of a new key with these properties."""
    return {"x-api-key": app.stores.api_keys.create("bob", KeyChange(**properties))}


def get(client: FlaskClient, path: str, headers: dict[str, str] | None = None) -> Any:
    """Send a GET request."""
    return client.get(path, headers=headers)


@pytest.mark.parametrize(
    ("path", "setting"),
    [
        ("/api/v1/jobs", "rate_limit"),
        ("/api/v1/quota", "rate_limit"),
        ("/status/" + "a" * 32, "rate_limit_status"),
        ("/health", "rate_limit_status"),
        ("/v1/consumer/user-info/", "rate_limit"),
    ],
)
def test_retry_after_is_exact(settings: Settings, clock: FakeClock, path: str, setting: str) -> None:
    """A client is accepted again after ``Retry-After`` seconds and not earlier; both families of headers agree."""
    clock.time_ms += 20_500
    with open_limited_app(settings, clock, **{setting: "3/minute"}) as app:
        for left in (2, 1, 0):
            response = get(app.client, path, OWNER_KEY)
            policy, _, rest = response.headers["RateLimit"].partition(";")
            assert response.status_code != 429
            assert rest == f"r={left};t=40"
            assert response.headers["RateLimit-Policy"] == f"{policy};q=3;w=60"
            assert response.headers["X-RateLimit-Limit"] == "3"
            assert response.headers["X-RateLimit-Remaining"] == str(left)
            assert int(response.headers["X-RateLimit-Reset"]) * 1000 == clock.now_ms() + 39_500
            assert "Retry-After" not in response.headers
        rejected = get(app.client, path, OWNER_KEY)
        assert (rejected.status_code, rejected.headers["Retry-After"]) == (429, "40")
        clock.advance(39)
        assert get(app.client, path, OWNER_KEY).status_code == 429
        clock.advance(1)
        assert get(app.client, path, OWNER_KEY).status_code != 429


@pytest.mark.parametrize(("path", "body"), SUBMISSIONS)
def test_submissions_have_their_own_limit(
    settings: Settings, clock: FakeClock, path: str, body: dict[str, Any]
) -> None:
    """Every API names the policy in its own format; a key may have its own rate."""
    with open_limited_app(settings, clock) as app:
        headers = new_key(app, limits=parse_limits("rate=1/hour"))
        assert app.client.post(path, json=body, headers=headers).status_code in (200, 202)
        rejected = app.client.post(path, json=body, headers=headers)
        assert rejected.status_code == 429
        assert '"submit"' in rejected.headers["RateLimit-Policy"]
        message = rejected.get_data(as_text=True)
        assert "at most 1/hour" in message
        assert '"submit"' in message
        assert app.client.get("/api/v1/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/images/generations", PROMPT | {"n": 3}), ("/sdapi/v1/txt2img", PROMPT | {"n_iter": 3})]
)
def test_each_job_of_a_request_counts(
    settings: Settings, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    """A request for more jobs than the rate has left creates none of them."""
    monkeypatch.setattr(completion, "MAX_SILENT_WAIT_S", 0.0)
    monkeypatch.setattr(pictures, "WAIT_S_PER_JOB", 0.0)
    with open_limited_app(settings, clock) as app:
        headers = new_key(app, limits=parse_limits("rate=5/hour"))
        first, second = (app.client.post(path, json=body, headers=headers) for _ in range(2))
        assert (first.status_code, first.headers["X-RateLimit-Remaining"]) == (504, "2")
        assert (second.status_code, second.headers["X-RateLimit-Remaining"]) == (429, "0")
        assert '"submit"' in second.headers["RateLimit-Policy"]
        assert len(app.client.get("/api/v1/jobs", headers=headers).json["jobs"]) == 3


@pytest.mark.parametrize(("path", "body"), SUBMISSIONS)
def test_an_exhausted_quota_names_itself(settings: Settings, clock: FakeClock, path: str, body: dict[str, Any]) -> None:
    """The response names the quota, and the time after which it works again."""
    with open_limited_app(settings, clock) as app:
        headers = new_key(app, limits=parse_limits("daily=1"))
        app.client.post(path, json=body, headers=headers)
        rejected = app.client.post(path, json=body, headers=headers)
        assert rejected.status_code == 429
        assert '"daily"' in rejected.get_data(as_text=True)
        wait_s = int(rejected.headers["Retry-After"])
        clock.advance(wait_s)
        assert app.client.post(path, json=body, headers=headers).status_code in (200, 202)


@pytest.mark.parametrize(
    ("limits", "max_queue_size", "policy", "message", "reset_s"),
    [
        ("queued=1", 9, "queued", '"queued";q=1', 5),
        ("queued=9", 1, "full", '"full";q=1', 5),
        ("daily=1", 9, "daily", '"daily";q=1;w=86400', None),
        ("weekly=1", 9, "weekly", '"weekly";q=1;w=604800', None),
        ("daily=1,rate=unlimited", 9, "daily", '"daily";q=1;w=86400', None),
    ],
)
def test_headers_describe_the_exceeded_quota(  # noqa: PLR0917 - a row of the table
    settings: Settings,
    clock: FakeClock,
    limits: str,
    max_queue_size: int,
    policy: str,
    message: str,
    reset_s: int | None,
) -> None:
    """The RateLimit headers describe the exceeded quota, not the submission rate that was not exceeded."""
    with open_limited_app(settings, clock, max_queue_size=max_queue_size) as app:
        headers = new_key(app, limits=parse_limits(limits))
        for path, body in SUBMISSIONS:
            app.client.post(path, json=body, headers=headers)
            rejected = app.client.post(path, json=body, headers=headers)
            wait_s = int(rejected.headers["Retry-After"])
            assert (rejected.status_code, wait_s) == (429, reset_s or wait_s)
            assert f'"{policy}"' in rejected.get_data(as_text=True)
            assert rejected.headers.getlist("RateLimit-Policy") == [message]
            assert rejected.headers.getlist("RateLimit") == [f'"{policy}";r=0;t={wait_s}']
            assert rejected.headers.getlist("X-RateLimit-Limit") == ["1"]
            assert rejected.headers.getlist("X-RateLimit-Remaining") == ["0"]
            assert int(rejected.headers["X-RateLimit-Reset"]) == -(-clock.now_ms() // 1000) + wait_s


def test_generaitiv_errors_have_the_fields_of_the_draft(settings: Settings, clock: FakeClock) -> None:
    """Type, title and violated policies are beside the message that its clients read."""
    with open_limited_app(settings, clock) as app:
        headers = new_key(app, limits=parse_limits("weekly=0"))
        body = app.client.post("/v1/consumer/gen", json={"input": PROMPT}, headers=headers).json
    assert body["violated-policies"] == ["weekly"]
    assert body["type"].endswith("#quota-exceeded")
    assert body["status"] == 429
    assert "LIMIT_WEEKLY_IMAGES" in body["message"]


def test_anonymous_requests_are_counted_by_address(settings: Settings, clock: FakeClock) -> None:
    """Clients that guess keys are limited; valid keys are not affected."""
    with open_limited_app(settings, clock, rate_limit_address="2/minute") as app:
        statuses = [get(app.client, "/api/v1/jobs", {"x-api-key": f"dr_guess_{n}"}).status_code for n in range(4)]
        assert statuses == [401, 401, 429, 429]
        assert get(app.client, "/docs").status_code == 429
        assert get(app.client, "/ws", HANDSHAKE).status_code == 429
        assert get(app.client, "/api/v1/jobs", OWNER_KEY).status_code == 200


@pytest.mark.parametrize(("proxies", "status"), [(0, 429), (1, 401)])
def test_forwarded_addresses_need_a_trusted_proxy(
    settings: Settings, clock: FakeClock, proxies: int, status: int
) -> None:
    """Otherwise a client could choose its address."""
    with open_limited_app(settings, clock, rate_limit_address="1/minute", trusted_proxies=proxies) as app:
        get(app.client, "/api/v1/jobs", {"X-Forwarded-For": "192.0.2.1"})
        assert get(app.client, "/api/v1/jobs", {"X-Forwarded-For": "192.0.2.2"}).status_code == status


def test_ipv6_clients_are_counted_by_network(settings: Settings, clock: FakeClock) -> None:
    """All addresses of a /64 share one count."""
    with open_limited_app(settings, clock, rate_limit_address="1/minute", trusted_proxies=1) as app:
        statuses = [
            get(app.client, "/api/v1/jobs", {"X-Forwarded-For": address}).status_code
            for address in ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1", "nonsense")
        ]
    assert statuses == [401, 429, 401, 401]


def test_an_unlimited_rate_has_no_headers(settings: Settings, clock: FakeClock) -> None:
    """As the draft says: no policy, no header fields."""
    with open_limited_app(settings, clock, rate_limit="unlimited") as app:
        response = get(app.client, "/api/v1/jobs", OWNER_KEY)
    assert not [name for name, _ in response.headers if "ratelimit" in name.lower()]


def test_submission_without_a_plan_needs_payment(settings: Settings, clock: FakeClock) -> None:
    """The status is 402 with the upgrade URL and without Retry-After; the owner needs no plan."""
    upgrade_url = "https://example.com/plans"
    with open_limited_app(settings, clock, require_subscription=True, upgrade_url=upgrade_url) as app:
        without_plan, with_plan = new_key(app), new_key(app, plan="pro")
        for path, body in (
            ("/api/v1/jobs", PROMPT),
            ("/generateImage", PROMPT),
            ("/v1/consumer/gen", {"input": PROMPT}),
        ):
            rejected = app.client.post(path, json=body, headers=without_plan)
            assert rejected.status_code == 402
            assert "Retry-After" not in rejected.headers
            assert upgrade_url in rejected.get_data(as_text=True)
            assert app.client.post(path, json=body, headers=with_plan).status_code in (200, 202)
            assert app.client.post(path, json=body, headers=OWNER_KEY).status_code in (200, 202)
        body = app.client.post("/v1/consumer/gen?dry_run=1", json={"input": PROMPT}, headers=without_plan).json
        assert body["blocked_by"]["policy"] == "payment_required"
        assert body["blocked_by"]["retry_after"] is None


def test_scopes_are_enforced(settings: Settings, clock: FakeClock) -> None:
    """The message names the missing scope."""
    with open_limited_app(settings, clock) as app:
        reader, admin = new_key(app, scopes=frozenset({Scope.READ})), new_key(app, scopes=frozenset({Scope.ADMIN}))
        default = new_key(app)
        assert get(app.client, "/api/v1/jobs", reader).status_code == 200
        for path, body in (*SUBMISSIONS, ("/api/v1/webhooks", {})):
            rejected = app.client.post(path, json=body, headers=reader)
            assert rejected.status_code == 403
            assert "This key lacks the scope 'generate'." in rejected.get_data(as_text=True)
        assert get(app.client, f"/generateImage?prompt={'lake+' * 4}", reader).status_code == 403
        assert app.client.post("/api/v1/sites/studio/circuit/close", headers=default).status_code == 403
        assert app.client.post("/api/v1/jobs", json=PROMPT, headers=admin).status_code == 202


def test_quota_shows_all_limits_of_a_key(settings: Settings, clock: FakeClock) -> None:
    """Quotas and rates are there; null means unlimited."""
    with open_limited_app(settings, clock, limit_weekly_images=9) as app:
        headers = new_key(app, limits=parse_limits("daily=3,rate=5/second"), plan="pro")
        app.client.post("/api/v1/jobs", json=PROMPT, headers=headers)
        body = get(app.client, "/api/v1/quota", headers).json
    assert body["plan"] == "pro"
    assert body["scopes"] == ["gallery", "generate", "library", "read"]
    daily = body["quotas"]["daily"]
    assert (daily["limit"], daily["used"], daily["remaining"]) == (3, 1, 2)
    assert daily["resetsAt"] > clock.now_ms()
    assert body["quotas"]["weekly"]["remaining"] == 8
    assert body["quotas"]["concurrent"] == {"limit": None, "used": 0, "remaining": None, "resetsAt": None}
    assert body["rates"]["submit"] == {"limit": 5, "windowSeconds": 1}
    assert body["rates"]["requests"] == {"limit": 6000, "windowSeconds": 60}
