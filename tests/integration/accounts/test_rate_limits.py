"""What a caller is told of limits, and that what is told is true."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import create_app
from ops.infra.database import migrate
from ops.infra.settings import Settings
from schemas.accounts.caller import Scope, parse_limits
from stores import open_stores
from stores.accounts.api_keys import KeyChange
from tests.conftest import API_KEY, FakeClock
from tests.integration.conftest import AppClient

PROMPT = {"prompt": "a quiet lake at dawn"}
OWNERS = {"x-api-key": API_KEY}
HANDSHAKE = {"Connection": "Upgrade", "Upgrade": "websocket"}
SUBMISSIONS = (("/api/v1/jobs", PROMPT), ("/generateImage", PROMPT), ("/v1/consumer/gen", {"input": PROMPT}))


@contextmanager
def limited(settings: Settings, clock: FakeClock, **changes: Any) -> Iterator[AppClient]:
    """A front with other settings, at a time that a test sets."""
    changed = replace(settings, **changes)
    migrate(changed.database_url)
    stores = open_stores(changed, clock=clock)
    yield AppClient(create_app(stores).test_client(), stores)
    stores.close()


def bobs(app: AppClient, **grant: Any) -> dict[str, str]:
    """The header of a key that may what is given."""
    return {"x-api-key": app.stores.api_keys.create("bob", KeyChange(**grant))}


def ask(client: FlaskClient, path: str, headers: dict[str, str] | None = None) -> Any:
    """A GET."""
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
def test_who_waits_as_long_as_is_said_may_go_on(settings: Settings, clock: FakeClock, path: str, setting: str) -> None:
    """And not a second earlier; both families of headers tell the same."""
    clock.time_ms += 20_500
    with limited(settings, clock, **{setting: "3/minute"}) as front:
        for left in (2, 1, 0):
            answer = ask(front.client, path, OWNERS)
            policy, _, rest = answer.headers["RateLimit"].partition(";")
            assert answer.status_code != 429
            assert rest == f"r={left};t=40"
            assert answer.headers["RateLimit-Policy"] == f"{policy};q=3;w=60"
            assert answer.headers["X-RateLimit-Limit"] == "3"
            assert answer.headers["X-RateLimit-Remaining"] == str(left)
            assert int(answer.headers["X-RateLimit-Reset"]) * 1000 == clock.now_ms() + 39_500
            assert "Retry-After" not in answer.headers
        over = ask(front.client, path, OWNERS)
        assert (over.status_code, over.headers["Retry-After"]) == (429, "40")
        clock.advance(39)
        assert ask(front.client, path, OWNERS).status_code == 429
        clock.advance(1)
        assert ask(front.client, path, OWNERS).status_code != 429


@pytest.mark.parametrize(("path", "body"), SUBMISSIONS)
def test_each_surface_says_which_policy(settings: Settings, clock: FakeClock, path: str, body: dict[str, Any]) -> None:
    """In its own shape; submissions have a count of their own, and a key may have its own rate."""
    with limited(settings, clock) as front:
        headers = bobs(front, limits=parse_limits("rate=1/hour"))
        assert front.client.post(path, json=body, headers=headers).status_code in (200, 202)
        over = front.client.post(path, json=body, headers=headers)
        assert over.status_code == 429
        assert '"submit"' in over.headers["RateLimit-Policy"]
        words = over.get_data(as_text=True)
        assert "at most 1/hour" in words
        assert '"submit"' in words
        assert front.client.get("/api/v1/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(("path", "body"), SUBMISSIONS)
def test_a_quota_that_is_used_up_says_so(settings: Settings, clock: FakeClock, path: str, body: dict[str, Any]) -> None:
    """Which, and until when."""
    with limited(settings, clock) as front:
        headers = bobs(front, limits=parse_limits("daily=1"))
        front.client.post(path, json=body, headers=headers)
        over = front.client.post(path, json=body, headers=headers)
        assert over.status_code == 429
        assert '"daily"' in over.get_data(as_text=True)
        wait_s = int(over.headers["Retry-After"])
        clock.advance(wait_s)
        assert front.client.post(path, json=body, headers=headers).status_code in (200, 202)


@pytest.mark.parametrize(
    ("limits", "most_unfinished", "policy", "words", "reset_s"),
    [
        ("queued=1", 9, "queued", '"queued";q=1', 5),
        ("queued=9", 1, "full", '"full";q=1', 5),
        ("daily=1", 9, "daily", '"daily";q=1;w=86400', None),
        ("weekly=1", 9, "weekly", '"weekly";q=1;w=604800', None),
        ("daily=1,rate=unlimited", 9, "daily", '"daily";q=1;w=86400', None),
    ],
)
def test_what_is_told_of_limits_is_about_the_one_that_was_reached(  # noqa: PLR0917 - a row of the table
    settings: Settings,
    clock: FakeClock,
    limits: str,
    most_unfinished: int,
    policy: str,
    words: str,
    reset_s: int | None,
) -> None:
    """In both families of headers, although the rate of submissions was kept: nothing is left, and until when."""
    with limited(settings, clock, max_queue_size=most_unfinished) as front:
        headers = bobs(front, limits=parse_limits(limits))
        for path, body in SUBMISSIONS:
            front.client.post(path, json=body, headers=headers)
            over = front.client.post(path, json=body, headers=headers)
            wait_s = int(over.headers["Retry-After"])
            assert (over.status_code, wait_s) == (429, reset_s or wait_s)
            assert f'"{policy}"' in over.get_data(as_text=True)
            assert over.headers.getlist("RateLimit-Policy") == [words]
            assert over.headers.getlist("RateLimit") == [f'"{policy}";r=0;t={wait_s}']
            assert over.headers.getlist("X-RateLimit-Limit") == ["1"]
            assert over.headers.getlist("X-RateLimit-Remaining") == ["0"]
            assert int(over.headers["X-RateLimit-Reset"]) == -(-clock.now_ms() // 1000) + wait_s


def test_the_generaitiv_answer_has_the_fields_of_the_draft(settings: Settings, clock: FakeClock) -> None:
    """Type, title and the policies that were violated, beside the message that its clients read."""
    with limited(settings, clock) as front:
        headers = bobs(front, limits=parse_limits("weekly=0"))
        told = front.client.post("/v1/consumer/gen", json={"input": PROMPT}, headers=headers).json
    assert told["violated-policies"] == ["weekly"]
    assert told["type"].endswith("#quota-exceeded")
    assert told["status"] == 429
    assert "LIMIT_WEEKLY_IMAGES" in told["message"]


def test_strangers_are_counted_by_address(settings: Settings, clock: FakeClock) -> None:
    """Whoever guesses keys is slowed down; who has one is not."""
    with limited(settings, clock, rate_limit_address="2/minute") as front:
        statuses = [ask(front.client, "/api/v1/jobs", {"x-api-key": f"dr_guess_{n}"}).status_code for n in range(4)]
        assert statuses == [401, 401, 429, 429]
        assert ask(front.client, "/docs").status_code == 429
        assert ask(front.client, "/ws", HANDSHAKE).status_code == 429
        assert ask(front.client, "/api/v1/jobs", OWNERS).status_code == 200


@pytest.mark.parametrize(("proxies", "status"), [(0, 429), (1, 401)])
def test_only_trusted_proxies_say_where_one_comes_from(
    settings: Settings, clock: FakeClock, proxies: int, status: int
) -> None:
    """Else anybody could say anything."""
    with limited(settings, clock, rate_limit_address="1/minute", trusted_proxies=proxies) as front:
        ask(front.client, "/api/v1/jobs", {"X-Forwarded-For": "192.0.2.1"})
        assert ask(front.client, "/api/v1/jobs", {"X-Forwarded-For": "192.0.2.2"}).status_code == status


def test_a_home_with_many_addresses_is_one_stranger(settings: Settings, clock: FakeClock) -> None:
    """By the network, in IPv6."""
    with limited(settings, clock, rate_limit_address="1/minute", trusted_proxies=1) as front:
        seen = [
            ask(front.client, "/api/v1/jobs", {"X-Forwarded-For": address}).status_code
            for address in ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1", "nonsense")
        ]
    assert seen == [401, 429, 401, 401]


def test_unlimited_tells_nothing(settings: Settings, clock: FakeClock) -> None:
    """As the draft says: no policy, no field."""
    with limited(settings, clock, rate_limit="unlimited") as front:
        answer = ask(front.client, "/api/v1/jobs", OWNERS)
    assert not [name for name, _ in answer.headers if "ratelimit" in name.lower()]


def test_without_a_plan_there_is_nothing_to_wait_for(settings: Settings, clock: FakeClock) -> None:
    """402 without Retry-After, and where a plan is to be had; the owner and whoever has a plan go on."""
    where = "https://example.com/plans"
    with limited(settings, clock, require_subscription=True, upgrade_url=where) as front:
        poor, rich = bobs(front), bobs(front, plan="pro")
        for path, body in (
            ("/api/v1/jobs", PROMPT),
            ("/generateImage", PROMPT),
            ("/v1/consumer/gen", {"input": PROMPT}),
        ):
            refused = front.client.post(path, json=body, headers=poor)
            assert refused.status_code == 402
            assert "Retry-After" not in refused.headers
            assert where in refused.get_data(as_text=True)
            assert front.client.post(path, json=body, headers=rich).status_code in (200, 202)
            assert front.client.post(path, json=body, headers=OWNERS).status_code in (200, 202)
        told = front.client.post("/v1/consumer/gen?dry_run=1", json={"input": PROMPT}, headers=poor).json
        assert told["blocked_by"]["policy"] == "payment_required"
        assert told["blocked_by"]["retry_after"] is None


def test_a_key_may_only_what_its_scopes_say(settings: Settings, clock: FakeClock) -> None:
    """Told which one it lacks."""
    with limited(settings, clock) as front:
        reader, admin = bobs(front, scopes=frozenset({Scope.READ})), bobs(front, scopes=frozenset({Scope.ADMIN}))
        usual = bobs(front)
        assert ask(front.client, "/api/v1/jobs", reader).status_code == 200
        for path, body in (*SUBMISSIONS, ("/api/v1/webhooks", {})):
            refused = front.client.post(path, json=body, headers=reader)
            assert refused.status_code == 403
            assert "This key lacks the scope 'generate'." in refused.get_data(as_text=True)
        assert ask(front.client, f"/generateImage?prompt={'lake+' * 4}", reader).status_code == 403
        assert front.client.post("/api/v1/sites/studio/circuit/close", headers=usual).status_code == 403
        assert front.client.post("/api/v1/jobs", json=PROMPT, headers=admin).status_code == 202


def test_a_key_is_told_all_that_it_may(settings: Settings, clock: FakeClock) -> None:
    """Quotas and rates; null where there is no limit."""
    with limited(settings, clock, limit_weekly_images=9) as front:
        headers = bobs(front, limits=parse_limits("daily=3,rate=5/second"), plan="pro")
        front.client.post("/api/v1/jobs", json=PROMPT, headers=headers)
        told = ask(front.client, "/api/v1/quota", headers).json
    assert told["plan"] == "pro"
    assert told["scopes"] == ["gallery", "generate", "library", "read"]
    daily = told["quotas"]["daily"]
    assert (daily["limit"], daily["used"], daily["remaining"]) == (3, 1, 2)
    assert daily["resetsAt"] > clock.now_ms()
    assert told["quotas"]["weekly"]["remaining"] == 8
    assert told["quotas"]["concurrent"] == {"limit": None, "used": 0, "remaining": None, "resetsAt": None}
    assert told["rates"]["submit"] == {"limit": 5, "windowSeconds": 1}
    assert told["rates"]["requests"] == {"limit": 6000, "windowSeconds": 60}
