"""Webhooks, in SQLite and in PostgreSQL."""

import pytest
from cryptography.fernet import Fernet
from redis import Redis
from sqlalchemy import Engine, select

from ops.infra.redis import connect
from ops.infra.settings import Settings
from schemas.errors import Conflict, Invalid, NotFound
from schemas.webhooks.signing import generate_secret
from schemas.webhooks.subscriptions import FINAL_EVENTS, MAX_SUBSCRIPTIONS
from stores.sql import tables
from stores.webhooks.subscriptions import SUBSCRIBED, Subscriptions
from tests.conftest import FakeClock

URL = "https://example.com/hook"
DAY_S = 86_400


@pytest.fixture
def redis(settings: Settings) -> Redis:
    """A real server."""
    return connect(settings.redis_url)


@pytest.fixture
def webhooks(engine: Engine, redis: Redis, clock: FakeClock) -> Subscriptions:
    """The store under test."""
    return Subscriptions(engine, redis, clock, Fernet.generate_key().decode())


def test_a_webhook_is_its_owners_alone(webhooks: Subscriptions) -> None:
    """To others it is as good as none."""
    made = webhooks.create("bob", URL, {"description": "mine"})
    assert webhooks.get("bob", made.id) == made
    assert made.types == FINAL_EVENTS
    assert webhooks.list_by_owner("bob") == [made]
    assert webhooks.list_by_owner("eve") == []
    for act in (webhooks.get, webhooks.rotate_secret, webhooks.enable, webhooks.delete):
        with pytest.raises(NotFound):
            act("eve", made.id)
    with pytest.raises(NotFound):
        webhooks.update("eve", made.id, {"url": "https://evil.example"})
    with pytest.raises(NotFound):
        webhooks.disable("eve", made.id, "you")
    assert webhooks.get("bob", made.id) == made


def test_secrets_are_not_readable_in_the_database(webhooks: Subscriptions, engine: Engine) -> None:
    """They sign, so they cannot be hashed; they are encrypted."""
    secret = generate_secret()
    made = webhooks.create("bob", URL, {"secret": secret})
    assert made.secrets == (secret,)
    assert secret not in repr(made)
    with engine.connect() as connection:
        row = connection.execute(select(tables.webhooks)).one()
    assert secret not in str(row)
    assert secret.removeprefix("whsec_") not in str(row)


def test_a_secret_that_nobody_can_decrypt_is_rotated(engine: Engine, redis: Redis, clock: FakeClock) -> None:
    """Another SESSION_KEY encrypted it; the public signature goes on meanwhile."""
    before, after = (Subscriptions(engine, redis, clock, Fernet.generate_key().decode()) for _ in range(2))
    made = before.create("bob", URL, {})
    assert after.get("bob", made.id).secrets == ()
    assert len(after.rotate_secret("bob", made.id).secrets) == 1


def test_an_old_secret_signs_along_for_a_day(webhooks: Subscriptions, clock: FakeClock) -> None:
    """Long enough to tell the receiver the new one."""
    made = webhooks.create("bob", URL, {})
    rotated = webhooks.rotate_secret("bob", made.id)
    assert len(rotated.secrets) == 2
    assert rotated.secrets[1] == made.secrets[0]
    clock.advance(DAY_S + 1)
    assert webhooks.get("bob", made.id).secrets == rotated.secrets[:1]


def test_a_bad_secret_makes_nothing(webhooks: Subscriptions) -> None:
    """The error says what one looks like."""
    with pytest.raises(Invalid):
        webhooks.create("bob", URL, {"secret": "guess me"})
    assert webhooks.list_by_owner("bob") == []


def test_one_may_have_only_so_many(webhooks: Subscriptions) -> None:
    """Others still may."""
    for _ in range(MAX_SUBSCRIPTIONS):
        webhooks.create("bob", URL, {})
    with pytest.raises(Conflict, match="remove one first"):
        webhooks.create("bob", URL, {})
    webhooks.create("eve", URL, {})


def test_a_disabled_one_wants_nothing(webhooks: Subscriptions) -> None:
    """Until it is enabled again."""
    made = webhooks.create("bob", URL, {})
    assert webhooks.enabled_for(["bob", "eve"]) == [made]
    disabled = webhooks.disable("bob", made.id, "failing")
    assert disabled.disabled_because == "failing"
    assert webhooks.enabled_for(["bob"]) == []
    with pytest.raises(Conflict):
        webhooks.disable("bob", made.id, "you")
    assert webhooks.enable("bob", made.id).disabled_because is None
    assert [one.id for one in webhooks.enabled_for(["bob"])] == [made.id]


def test_since_when_it_fails_is_remembered_until_it_works(webhooks: Subscriptions, clock: FakeClock) -> None:
    """The first failure counts; any success ends it."""
    made = webhooks.create("bob", URL, {})
    first = clock.now_ms()
    webhooks.record_health([], [made.id])
    clock.advance(60)
    webhooks.record_health([], [made.id])
    assert webhooks.get("bob", made.id).failing_since == first
    webhooks.record_health([made.id], [])
    assert webhooks.get("bob", made.id).failing_since is None


def test_the_scripts_know_who_wants_what(webhooks: Subscriptions, redis: Redis) -> None:
    """Ends are kept in any case; of the rest only what somebody wants."""
    made = webhooks.create("bob", URL, {"types": ["job.completed", "job.starting", "webhook.disabled"]})
    assert redis.smembers(SUBSCRIBED) == {b"bob starting"}
    webhooks.update("bob", made.id, {"types": ["job.preview", "job.preview"]})
    assert redis.smembers(SUBSCRIBED) == {b"bob preview"}
    webhooks.delete("bob", made.id)
    assert redis.smembers(SUBSCRIBED) == set()


def test_a_callers_own_secret_stays_and_is_the_callers(webhooks: Subscriptions) -> None:
    """It follows from the key, so every process knows it."""
    assert webhooks.owner_secret("bob") == webhooks.owner_secret("bob")
    assert webhooks.owner_secret("bob") != webhooks.owner_secret("eve")
    assert webhooks.signer.public_key == webhooks.signer.public_key
