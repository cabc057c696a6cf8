"""The surface for webhooks and their deliveries."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ops.infra.settings import Settings
from schemas.paging import Cursor
from schemas.webhooks.subscriptions import DeliveryAttempt, DeliveryState
from stores.webhooks.deliveries import DeliveryOutcome, destination_key
from tests.conftest import API_KEY
from tests.integration.conftest import AppClient, close_app, open_app

HOOK = "http://127.0.0.1:9000/hook"
OWNER = "owner"
INNER = "<secret of the inner network>"


@pytest.fixture
def app(settings: Settings) -> Iterator[AppClient]:
    """A front that may call one port of this machine."""
    front = open_app(replace(settings, egress_allow=("127.0.0.1:9000",)))
    yield front
    close_app(front)


def create_webhook(app: AppClient, **more: Any) -> dict[str, Any]:
    """A new webhook, as it is shown on creation."""
    answer = app.post("/api/v1/webhooks", json={"url": HOOK, **more})
    assert answer.status_code == 201, answer.json
    made: dict[str, Any] = answer.json
    return made


def create_failed_delivery(app: AppClient, webhook_id: str) -> dict[str, Any]:
    """A test delivery that has failed for good."""
    sent: dict[str, Any] = app.post(f"/api/v1/webhooks/{webhook_id}/test").json
    [held] = app.stores.deliveries.claim(destination_key(OWNER, HOOK, webhook_id), 1)
    attempt = DeliveryAttempt(1, 12, 500, None, INNER)
    app.stores.deliveries.record_outcomes([DeliveryOutcome(held, attempt, DeliveryState.FAILED, reason="No.")])
    return sent


def test_a_secret_is_shown_when_it_is_made_and_not_again(app: AppClient) -> None:
    """On creation and on rotation."""
    made = create_webhook(app, description="mine", types=["job.failed"])
    assert made["secret"].startswith("whsec_")
    shown = app.get(f"/api/v1/webhooks/{made['id']}").json
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert app.get("/api/v1/webhooks").json == {"webhooks": [shown]}
    rotated = app.post(f"/api/v1/webhooks/{made['id']}/rotate").json
    assert rotated["secret"] not in ("", made["secret"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "url: Missing"),
        ({"url": 7}, "url: Not a valid string"),
        ({"url": "ftp://example.com"}, "url: Must begin with https://"),
        ({"url": "http://127.0.0.1:9001/"}, "no address that may be called"),
        ({"url": "http://2130706433/"}, "no address that may be called"),
        ({"url": "https://169.254.169.254/latest"}, "no address that may be called"),
        ({"url": "https://user:pw@example.com/"}, "Contains a user or a password"),
        ({"url": "https://nowhere.invalid/"}, "does not resolve"),
        ({"url": HOOK, "types": []}, "types"),
        ({"url": HOOK, "types": ["job.painted"]}, "Must be one of"),
        ({"url": HOOK, "secret": "guess"}, "24 to 64 bytes"),
        ({"url": HOOK, "description": "x" * 201}, "description"),
        ({"url": HOOK, "colour": "red"}, "colour: Unknown field"),
    ],
)
def test_what_makes_no_webhook_is_refused_with_the_reason(app: AppClient, body: dict[str, Any], words: str) -> None:
    """Nothing is made, and where names lead to is not told."""
    answer = app.post("/api/v1/webhooks", json=body)
    assert answer.status_code == 400
    assert words in " ".join(answer.json["error"]["details"])
    assert app.get("/api/v1/webhooks").json == {"webhooks": []}


@pytest.mark.parametrize("surface", ["/api/v1/jobs", "/v1/consumer/gen"])
def test_a_job_with_an_address_that_may_not_be_called_is_refused(app: AppClient, surface: str) -> None:
    """At once, and on every surface."""
    body = {"prompt": "a lake", "input": {"prompt": "a lake"}, "webhook": "http://10.0.0.1/"}
    body.pop("input" if surface.startswith("/api") else "prompt")
    answer = app.post(surface, json=body)
    assert answer.status_code == 400
    assert "webhook: 10.0.0.1 resolves to no address" in answer.get_data(as_text=True)
    assert app.get("/api/v1/jobs").json["jobs"] == []


def test_a_webhook_changes_and_ends(app: AppClient) -> None:
    """Disabled, enabled, removed; each time the answer shows it."""
    made = create_webhook(app)
    path = f"/api/v1/webhooks/{made['id']}"
    changed = app.client.patch(path, json={"types": ["job.queued"]}, headers={"x-api-key": API_KEY})
    assert changed.json["types"] == ["job.queued"]
    assert changed.json["url"] == HOOK
    disabled = app.post(f"{path}/disable").json
    assert disabled["disabledBecause"] == "you"
    assert app.post(f"{path}/disable").status_code == 409
    assert app.post(f"{path}/enable").json["disabledAt"] is None
    assert app.delete(path).status_code == 204
    for answer in (app.get(path), app.delete(path), app.post(f"{path}/test"), app.post(f"{path}/rotate")):
        assert answer.status_code == 404


def test_deliveries_are_listed_with_their_attempts(app: AppClient) -> None:
    """Of what a receiver answered only the owner of this Darkroom sees anything."""
    made = create_webhook(app)
    sent = create_failed_delivery(app, made["id"])
    wanted = {"webhookId": made["id"], "state": "failed"}
    [listed] = app.get("/api/v1/deliveries", query_string=wanted).json["deliveries"]
    assert (listed["id"], listed["reason"], listed["type"]) == (sent["id"], "No.", "webhook.test")
    assert app.get("/api/v1/deliveries", query_string={"state": "delivered"}).json["deliveries"] == []
    [attempt] = app.get(f"/api/v1/deliveries/{sent['id']}").json["attempts"]
    assert attempt == {
        "at": 1,
        "durationMs": 12,
        "status": 500,
        "error": None,
        "excerpt": INNER,
    }
    assert app.get("/api/v1/deliveries", query_string={"state": "lost"}).status_code == 400
    assert app.get("/api/v1/deliveries/msg_none").status_code == 404


def test_others_see_nothing_and_no_excerpts_of_their_own(app: AppClient) -> None:
    """A caller might have named an address within this network."""
    mine = create_failed_delivery(app, create_webhook(app)["id"])
    key = app.stores.api_keys.create("bob")
    theirs = {"x-api-key": key}
    bob = app.stores.api_keys.authenticate(key)
    assert bob
    webhook = app.client.post("/api/v1/webhooks", json={"url": HOOK}, headers=theirs).json
    sent = app.client.post(f"/api/v1/webhooks/{webhook['id']}/test", headers=theirs).json
    [held] = app.stores.deliveries.claim(destination_key(bob.id, HOOK, webhook["id"]), 1)
    app.stores.deliveries.record_outcomes(
        [DeliveryOutcome(held, DeliveryAttempt(1, 1, 500, None, "inner"), DeliveryState.FAILED)]
    )
    [attempt] = app.client.get(f"/api/v1/deliveries/{sent['id']}", headers=theirs).json["attempts"]
    assert "excerpt" not in attempt
    assert app.client.get(f"/api/v1/deliveries/{mine['id']}", headers=theirs).status_code == 404
    assert app.client.post(f"/api/v1/deliveries/{mine['id']}/redeliver", headers=theirs).status_code == 404


def test_what_failed_is_sent_once_more_on_demand(app: AppClient) -> None:
    """One, or all since a time; not what is on its way."""
    made = create_webhook(app)
    sent = create_failed_delivery(app, made["id"])
    again = app.post(f"/api/v1/deliveries/{sent['id']}/redeliver")
    assert (again.status_code, again.json["state"]) == (202, "pending")
    assert app.post(f"/api/v1/deliveries/{sent['id']}/redeliver").status_code == 409
    assert app.post("/api/v1/deliveries/redeliver", json={"since": 0}).json == {"redelivered": 0}
    app.post(f"/api/v1/webhooks/{made['id']}/disable")
    assert app.post("/api/v1/deliveries/redeliver", json={"since": 0}).json == {"redelivered": 0}
    app.post(f"/api/v1/webhooks/{made['id']}/enable")
    assert app.post("/api/v1/deliveries/redeliver", json={"since": 0}).json == {"redelivered": 1}
    assert app.post("/api/v1/deliveries/redeliver", json={"since": "noon"}).status_code == 400


@pytest.fixture
def either(request: pytest.FixtureRequest, settings: Settings) -> Iterator[AppClient]:
    """A front on SQLite, or on PostgreSQL."""
    front = open_app(replace(settings, database_url=request.getfixturevalue(request.param)))
    yield front
    close_app(front)


@pytest.fixture
def own_file(settings: Settings) -> str:
    """A file of the test's own."""
    return settings.database_url


@pytest.mark.parametrize("either", ["own_file", "postgresql"], indirect=True)
def test_what_no_database_holds_is_the_callers_fault(either: AppClient) -> None:
    """Not a fault of ours, and no reason to wait for the database."""
    huge, nul = (Cursor(2**63, "x").encode(), Cursor(5, "\x00").encode())
    for answer in (
        *(either.get(f"/api/v1/deliveries?{query}") for query in (f"cursor={huge}", f"cursor={nul}", "jobId=%00")),
        *(either.get(f"/api/v1/jobs?cursor={cursor}") for cursor in (huge, nul)),
        *(either.post("/api/v1/deliveries/redeliver", json={"since": number}) for number in (2**63, 10**400, -1)),
        either.post("/api/v1/deliveries/redeliver", json={"since": 0, "webhookId": "a\x00"}),
        either.get("/api/v1/deliveries?webhookId=%00"),
    ):
        assert answer.status_code == 400, answer.json
        assert answer.json["error"]["details"]
    paths = ("webhooks/%00", "deliveries/%00")
    acts = ("webhooks/%00/rotate", "webhooks/%00/enable", "webhooks/%00/disable", "webhooks/%00/test")
    for answer in (
        *(either.get(f"/api/v1/{path}") for path in paths),
        *(either.post(f"/api/v1/{path}") for path in (*acts, "deliveries/%00/redeliver")),
        either.delete("/api/v1/webhooks/%00"),
        either.client.patch("/api/v1/webhooks/%00", json={"description": "x"}, headers={"x-api-key": API_KEY}),
    ):
        assert answer.status_code in {400, 404}, answer.json
    assert either.post("/api/v1/deliveries/redeliver", json={"since": 2**63 - 1}).json == {"redelivered": 0}


def test_anybody_may_have_the_public_key(app: AppClient) -> None:
    """Without a key of one's own."""
    [key] = app.client.get("/.well-known/webhooks.json").json["keys"]
    assert (key["algorithm"], key["publicKey"][:5]) == ("ed25519", "whpk_")
    assert Ed25519PublicKey.from_public_bytes(base64.b64decode(key["publicKey"][5:]))


def test_without_a_key_there_is_nothing(app: AppClient) -> None:
    """Neither to read nor to make."""
    for path in ("/api/v1/webhooks", "/api/v1/webhooks/secret", "/api/v1/deliveries"):
        assert app.client.get(path).status_code == 401
    assert app.client.post("/api/v1/webhooks", json={"url": HOOK}).status_code == 401
