"""Webhook subscriptions on SQLite and PostgreSQL."""

import pytest
from cryptography.fernet import Fernet
from redis import Redis
from sqlalchemy import Engine, select

from ops.infra.redis import connect
from ops.infra.settings import Settings
from schemas.errors import Conflict, Invalid, NotFound, Unavailable
from schemas.webhooks.signing import generate_secret
from schemas.webhooks.subscriptions import FINAL_EVENTS, MAX_SUBSCRIPTIONS
from stores.redis.client import open_client
from stores.redis.keys import SUBSCRIBED
from stores.sql import tables
from stores.webhooks.subscriptions import Subscriptions
from tests.conftest import FakeClock

URL = "https://example.com/hook"
DAY_S = 86_400


@pytest.fixture
def redis(settings: Settings) -> Redis:
    """A client of a real server."""
    return connect(settings.redis_url)


@pytest.fixture
def webhooks(engine: Engine, redis: Redis, clock: FakeClock) -> Subscriptions:
    """The store under test."""
    return Subscriptions(engine, redis, clock, Fernet.generate_key().decode())


def test_a_webhook_is_visible_to_its_owner_only(webhooks: Subscriptions) -> None:
    """Other callers get NotFound."""
    webhook = webhooks.create("bob", URL, {"description": "mine"})
    assert webhooks.get("bob", webhook.id) == webhook
    assert webhook.types == FINAL_EVENTS
    assert webhooks.list_by_owner("bob") == [webhook]
    assert webhooks.list_by_owner("eve") == []
    for method in (webhooks.get, webhooks.rotate_secret, webhooks.enable, webhooks.delete):
        with pytest.raises(NotFound):
            method("eve", webhook.id)
    with pytest.raises(NotFound):
        webhooks.update("eve", webhook.id, {"url": "https://evil.example"})
    with pytest.raises(NotFound):
        webhooks.disable("eve", webhook.id, "you")
    assert webhooks.get("bob", webhook.id) == webhook


def test_secrets_are_encrypted_in_the_database(webhooks: Subscriptions, engine: Engine) -> None:
    """They are needed for signing, so they cannot be hashed."""
    secret = generate_secret()
    webhook = webhooks.create("bob", URL, {"secret": secret})
    assert webhook.secrets == (secret,)
    assert secret not in repr(webhook)
    with engine.connect() as connection:
        row = connection.execute(select(tables.webhooks)).one()
    assert secret not in str(row)
    assert secret.removeprefix("whsec_") not in str(row)


def test_an_undecryptable_secret_can_be_rotated(engine: Engine, redis: Redis, clock: FakeClock) -> None:
    """After a change of SESSION_KEY, only the Ed25519 signature is sent until then."""
    before, after = (Subscriptions(engine, redis, clock, Fernet.generate_key().decode()) for _ in range(2))
    webhook = before.create("bob", URL, {})
    assert after.get("bob", webhook.id).secrets == ()
    assert len(after.rotate_secret("bob", webhook.id).secrets) == 1


def test_an_old_secret_also_signs_for_a_day(webhooks: Subscriptions, clock: FakeClock) -> None:
    """The receiver has time to change its secret."""
    webhook = webhooks.create("bob", URL, {})
    rotated = webhooks.rotate_secret("bob", webhook.id)
    assert len(rotated.secrets) == 2
    assert rotated.secrets[1] == webhook.secrets[0]
    clock.advance(DAY_S + 1)
    assert webhooks.get("bob", webhook.id).secrets == rotated.secrets[:1]


def test_a_malformed_secret_is_rejected(webhooks: Subscriptions) -> None:
    """No webhook is created."""
    with pytest.raises(Invalid):
        webhooks.create("bob", URL, {"secret": "guess me"})
    assert webhooks.list_by_owner("bob") == []


def test_the_number_of_webhooks_is_limited(webhooks: Subscriptions) -> None:
    """Each owner has a separate limit."""
    for _ in range(MAX_SUBSCRIPTIONS):
        webhooks.create("bob", URL, {})
    with pytest.raises(Conflict, match="Delete one first"):
        webhooks.create("bob", URL, {})
    webhooks.create("eve", URL, {})


def test_a_disabled_webhook_gets_no_events(webhooks: Subscriptions) -> None:
    """It gets them again once it is enabled."""
    webhook = webhooks.create("bob", URL, {})
    assert webhooks.enabled_for(["bob", "eve"]) == [webhook]
    disabled = webhooks.disable("bob", webhook.id, "failing")
    assert disabled.disabled_because == "failing"
    assert webhooks.enabled_for(["bob"]) == []
    with pytest.raises(Conflict):
        webhooks.disable("bob", webhook.id, "you")
    assert webhooks.enable("bob", webhook.id).disabled_because is None
    assert [enabled.id for enabled in webhooks.enabled_for(["bob"])] == [webhook.id]


def test_failing_since_is_the_first_failure(webhooks: Subscriptions, clock: FakeClock) -> None:
    """Any success clears it."""
    webhook = webhooks.create("bob", URL, {})
    first = clock.now_ms()
    webhooks.record_health([], [webhook.id])
    clock.advance(60)
    webhooks.record_health([], [webhook.id])
    assert webhooks.get("bob", webhook.id).failing_since == first
    webhooks.record_health([webhook.id], [])
    assert webhooks.get("bob", webhook.id).failing_since is None


def test_redis_has_the_subscribed_event_types(webhooks: Subscriptions, redis: Redis) -> None:
    """It has only types of non-final events; final events always go to the outbox."""
    webhook = webhooks.create("bob", URL, {"types": ["job.completed", "job.starting", "webhook.disabled"]})
    assert redis.smembers(SUBSCRIBED) == {b"bob starting"}
    webhooks.update("bob", webhook.id, {"types": ["job.preview", "job.preview"]})
    assert redis.smembers(SUBSCRIBED) == {b"bob preview"}
    webhooks.delete("bob", webhook.id)
    assert redis.smembers(SUBSCRIBED) == set()


def test_owner_secrets_are_stable_and_distinct(webhooks: Subscriptions) -> None:
    """They are derived from the key, so all processes compute the same one."""
    assert webhooks.owner_secret("bob") == webhooks.owner_secret("bob")
    assert webhooks.owner_secret("bob") != webhooks.owner_secret("eve")
    assert webhooks.signer.public_key == webhooks.signer.public_key


def test_a_webhook_is_disabled_while_redis_is_down(webhooks: Subscriptions) -> None:
    """No webhook wants what Redis adds to the outbox meanwhile; the sweeper corrects the filter later."""
    webhook, other = (webhooks.create("bob", URL, {"types": ["job.progress"]}) for _ in range(2))
    webhooks._redis = open_client("redis://127.0.0.1:1/0", retries=0)

    assert webhooks.disable("bob", webhook.id, "gone").disabled_because == "gone"
    webhooks.delete("bob", other.id)
    assert webhooks.list_by_owner("bob") == [webhooks.get("bob", webhook.id)]
    with pytest.raises(Unavailable):
        webhooks.enable("bob", webhook.id)
