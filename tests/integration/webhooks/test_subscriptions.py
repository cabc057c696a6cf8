"""HTTP API of webhooks and deliveries."""

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
EXCERPT = "<secret of the inner network>"


@pytest.fixture
def app(settings: Settings) -> Iterator[AppClient]:
    """An app that may call one port of this machine."""
    app = open_app(replace(settings, egress_allow=("127.0.0.1:9000",)))
    yield app
    close_app(app)


def create_webhook(app: AppClient, **fields: Any) -> dict[str, Any]:
    """Create a webhook and return the response body."""
    response = app.post("/api/v1/webhooks", json={"url": HOOK, **fields})
    assert response.status_code == 201, response.json
    webhook: dict[str, Any] = response.json
    return webhook


def create_failed_delivery(app: AppClient, webhook_id: str) -> dict[str, Any]:
    """Send a test delivery that fails permanently."""
    sent: dict[str, Any] = app.post(f"/api/v1/webhooks/{webhook_id}/test").json
    [claimed] = app.stores.deliveries.claim(destination_key(OWNER, HOOK, webhook_id), 1)
    attempt = DeliveryAttempt(1, 12, 500, None, EXCERPT)
    app.stores.deliveries.record_outcomes([DeliveryOutcome(claimed, attempt, DeliveryState.FAILED, reason="No.")])
    return sent


def test_a_secret_is_shown_only_on_creation_and_rotation(app: AppClient) -> None:
    """Later responses do not contain it."""
    webhook = create_webhook(app, description="mine", types=["job.failed"])
    assert webhook["secret"].startswith("whsec_")
    shown = app.get(f"/api/v1/webhooks/{webhook['id']}").json
    assert shown == {name: value for name, value in webhook.items() if name != "secret"}
    assert app.get("/api/v1/webhooks").json == {"webhooks": [shown]}
    rotated = app.post(f"/api/v1/webhooks/{webhook['id']}/rotate").json
    assert rotated["secret"] not in ("", webhook["secret"])


@pytest.mark.parametrize(
    ("body", "message"),
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
        ({"url": HOOK, "types": ["job.unknown"]}, "Must be one of"),
        ({"url": HOOK, "secret": "guess"}, "24 to 64 bytes"),
        ({"url": HOOK, "description": "x" * 201}, "description"),
        ({"url": HOOK, "colour": "red"}, "colour: Unknown field"),
    ],
)
def test_invalid_webhooks_are_rejected_with_a_reason(app: AppClient, body: dict[str, Any], message: str) -> None:
    """No webhook is created, and the response does not reveal to which addresses a name resolves."""
    response = app.post("/api/v1/webhooks", json=body)
    assert response.status_code == 400
    assert message in " ".join(response.json["error"]["details"])
    assert app.get("/api/v1/webhooks").json == {"webhooks": []}


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/consumer/gen"])
def test_a_job_with_a_forbidden_webhook_url_is_rejected(app: AppClient, path: str) -> None:
    """Every API rejects it at submission."""
    body = {"prompt": "a lake", "input": {"prompt": "a lake"}, "webhook": "http://10.0.0.1/"}
    body.pop("input" if path.startswith("/api") else "prompt")
    response = app.post(path, json=body)
    assert response.status_code == 400
    assert "webhook: 10.0.0.1 resolves to no address" in response.get_data(as_text=True)
    assert app.get("/api/v1/jobs").json["jobs"] == []


def test_a_webhook_can_be_changed_disabled_and_deleted(app: AppClient) -> None:
    """Each response shows the new state."""
    webhook = create_webhook(app)
    path = f"/api/v1/webhooks/{webhook['id']}"
    changed = app.client.patch(path, json={"types": ["job.queued"]}, headers={"x-api-key": API_KEY})
    assert changed.json["types"] == ["job.queued"]
    assert changed.json["url"] == HOOK
    disabled = app.post(f"{path}/disable").json
    assert disabled["disabledBecause"] == "you"
    assert app.post(f"{path}/disable").status_code == 409
    assert app.post(f"{path}/enable").json["disabledAt"] is None
    assert app.delete(path).status_code == 204
    for response in (app.get(path), app.delete(path), app.post(f"{path}/test"), app.post(f"{path}/rotate")):
        assert response.status_code == 404


def test_deliveries_are_listed_with_their_attempts(app: AppClient) -> None:
    """Response excerpts are visible to the owner of this Darkroom only."""
    webhook = create_webhook(app)
    sent = create_failed_delivery(app, webhook["id"])
    query = {"webhookId": webhook["id"], "state": "failed"}
    [listed] = app.get("/api/v1/deliveries", query_string=query).json["deliveries"]
    assert (listed["id"], listed["reason"], listed["type"]) == (sent["id"], "No.", "webhook.test")
    assert app.get("/api/v1/deliveries", query_string={"state": "delivered"}).json["deliveries"] == []
    [attempt] = app.get(f"/api/v1/deliveries/{sent['id']}").json["attempts"]
    assert attempt == {
        "at": 1,
        "durationMs": 12,
        "status": 500,
        "error": None,
        "excerpt": EXCERPT,
    }
    assert app.get("/api/v1/deliveries", query_string={"state": "lost"}).status_code == 400
    assert app.get("/api/v1/deliveries/msg_none").status_code == 404


def test_callers_see_only_their_deliveries_and_no_excerpts(app: AppClient) -> None:
    """A caller may have named a host inside the operator's network."""
    mine = create_failed_delivery(app, create_webhook(app)["id"])
    key = app.stores.api_keys.create("bob")
    theirs = {"x-api-key": key}
    bob = app.stores.api_keys.authenticate(key)
    assert bob
    webhook = app.client.post("/api/v1/webhooks", json={"url": HOOK}, headers=theirs).json
    sent = app.client.post(f"/api/v1/webhooks/{webhook['id']}/test", headers=theirs).json
    [claimed] = app.stores.deliveries.claim(destination_key(bob.id, HOOK, webhook["id"]), 1)
    app.stores.deliveries.record_outcomes(
        [DeliveryOutcome(claimed, DeliveryAttempt(1, 1, 500, None, "inner"), DeliveryState.FAILED)]
    )
    [attempt] = app.client.get(f"/api/v1/deliveries/{sent['id']}", headers=theirs).json["attempts"]
    assert "excerpt" not in attempt
    assert app.client.get(f"/api/v1/deliveries/{mine['id']}", headers=theirs).status_code == 404
    assert app.client.post(f"/api/v1/deliveries/{mine['id']}/redeliver", headers=theirs).status_code == 404


def test_failed_deliveries_can_be_redelivered(app: AppClient) -> None:
    """One of them can, or all since a time; pending ones cannot."""
    webhook = create_webhook(app)
    sent = create_failed_delivery(app, webhook["id"])
    again = app.post(f"/api/v1/deliveries/{sent['id']}/redeliver")
    assert (again.status_code, again.json["state"]) == (202, "pending")
    assert app.post(f"/api/v1/deliveries/{sent['id']}/redeliver").status_code == 409
    assert app.post("/api/v1/deliveries/redeliver", json={"since": 0}).json == {"redelivered": 0}
    app.post(f"/api/v1/webhooks/{webhook['id']}/disable")
    assert app.post("/api/v1/deliveries/redeliver", json={"since": 0}).json == {"redelivered": 0}
    app.post(f"/api/v1/webhooks/{webhook['id']}/enable")
    assert app.post("/api/v1/deliveries/redeliver", json={"since": 0}).json == {"redelivered": 1}
    assert app.post("/api/v1/deliveries/redeliver", json={"since": "noon"}).status_code == 400


@pytest.fixture
def app_on_database(request: pytest.FixtureRequest, settings: Settings) -> Iterator[AppClient]:
    """An app on SQLite or on PostgreSQL."""
    app = open_app(replace(settings, database_url=request.getfixturevalue(request.param)))
    yield app
    close_app(app)


@pytest.fixture
def sqlite_url(settings: Settings) -> str:
    """The URL of a new SQLite database."""
    return settings.database_url


@pytest.mark.parametrize("app_on_database", ["sqlite_url", "postgresql"], indirect=True)
def test_values_that_no_column_can_hold_are_client_errors(app_on_database: AppClient) -> None:
    """They are neither an internal error nor a reason to retry."""
    huge, nul = (Cursor(2**63, "x").encode(), Cursor(5, "\x00").encode())
    for response in (
        *(
            app_on_database.get(f"/api/v1/deliveries?{query}")
            for query in (f"cursor={huge}", f"cursor={nul}", "jobId=%00")
        ),
        *(app_on_database.get(f"/api/v1/jobs?cursor={cursor}") for cursor in (huge, nul)),
        *(
            app_on_database.post("/api/v1/deliveries/redeliver", json={"since": number})
            for number in (2**63, 10**400, -1)
        ),
        app_on_database.post("/api/v1/deliveries/redeliver", json={"since": 0, "webhookId": "a\x00"}),
        app_on_database.get("/api/v1/deliveries?webhookId=%00"),
    ):
        assert response.status_code == 400, response.json
        assert response.json["error"]["details"]
    paths = ("webhooks/%00", "deliveries/%00")
    actions = ("webhooks/%00/rotate", "webhooks/%00/enable", "webhooks/%00/disable", "webhooks/%00/test")
    for response in (
        *(app_on_database.get(f"/api/v1/{path}") for path in paths),
        *(app_on_database.post(f"/api/v1/{path}") for path in (*actions, "deliveries/%00/redeliver")),
        app_on_database.delete("/api/v1/webhooks/%00"),
        app_on_database.client.patch("/api/v1/webhooks/%00", json={"description": "x"}, headers={"x-api-key": API_KEY}),
    ):
        assert response.status_code in {400, 404}, response.json
    assert app_on_database.post("/api/v1/deliveries/redeliver", json={"since": 2**63 - 1}).json == {"redelivered": 0}


def test_the_public_key_is_public(app: AppClient) -> None:
    """It needs no API key."""
    [key] = app.client.get("/.well-known/webhooks.json").json["keys"]
    assert (key["algorithm"], key["publicKey"][:5]) == ("ed25519", "whpk_")
    assert Ed25519PublicKey.from_public_bytes(base64.b64decode(key["publicKey"][5:]))


def test_webhooks_require_an_api_key(app: AppClient) -> None:
    """Reading and creating both need it."""
    for path in ("/api/v1/webhooks", "/api/v1/webhooks/secret", "/api/v1/deliveries"):
        assert app.client.get(path).status_code == 401
    assert app.client.post("/api/v1/webhooks", json={"url": HOOK}).status_code == 401
