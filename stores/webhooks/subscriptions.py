"""Webhook subscriptions: which events go to which URL. Signing secrets are encrypted at rest with SESSION_KEY.

Subscriptions live in SQL. Redis has a copy of the subscribed event types, so that scripts add only events to the
outbox that some webhook wants.
"""

import base64
import hmac
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import structlog
from cryptography.fernet import Fernet, InvalidToken
from redis import Redis
from sqlalchemy import Engine, delete, func, insert, select, update

from ops.infra.clock import Clock
from schemas.errors import Conflict, NotFound, Unavailable
from schemas.webhooks.signing import SECRET_PREFIX, Signer, generate_secret, validate_secret
from schemas.webhooks.subscriptions import FINAL_EVENTS, MAX_SUBSCRIPTIONS, Subscription
from stores.redis.keys import SUBSCRIBED
from stores.sql.database import Database
from stores.sql.tables import webhooks

OLD_SECRET_TTL_MS = 24 * 3_600_000
# Labels that derive independent keys from the one secret key. Changing them invalidates signatures.
SIGNING_KEY_LABEL = b"darkroom: signing webhooks"
OWNER_SECRET_LABEL = b"darkroom: secret of "

log = structlog.get_logger(__name__)


class Subscriptions:
    """The webhook subscriptions in one database."""

    def __init__(self, engine: Engine, client: Redis, clock: Clock, key: str) -> None:
        """``key`` is a Fernet key; it encrypts the secrets, and the derived keys are computed from it."""
        self._database = Database(engine)
        self._redis = client
        self._clock = clock
        self._key = key.encode()
        self._fernet = Fernet(key)

    @property
    def signer(self) -> Signer:
        """The signer with this installation's Ed25519 key."""
        return Signer(hmac.digest(self._key, SIGNING_KEY_LABEL, "sha256"))

    def owner_secret(self, owner: str) -> str:
        """Return the secret that signs deliveries to the webhook URLs of a caller's jobs."""
        raw = hmac.digest(self._key, OWNER_SECRET_LABEL + owner.encode(), "sha256")
        return SECRET_PREFIX + base64.b64encode(raw).decode()

    def create(self, owner: str, url: str, fields: Mapping[str, Any]) -> Subscription:
        """Create a webhook; ``fields`` may contain ``types``, ``description`` and ``secret``.

        Raises:
            Invalid: the secret is malformed.
            Conflict: the owner has MAX_SUBSCRIPTIONS webhooks.
        """
        secret = validate_secret(fields["secret"]) if "secret" in fields else generate_secret()
        subscription = Subscription(
            id=f"wh_{secrets.token_hex(12)}",
            owner=owner,
            url=url,
            types=tuple(dict.fromkeys(fields.get("types", FINAL_EVENTS))),
            description=fields.get("description", ""),
            created_at=self._clock.now_ms(),
            secrets=(secret,),
        )
        count = select(func.count()).select_from(webhooks).where(webhooks.c.owner == owner)
        with self._database.write() as connection:
            if connection.execute(count).scalar_one() >= MAX_SUBSCRIPTIONS:
                raise Conflict(f"You have {MAX_SUBSCRIPTIONS} webhooks, the maximum. Delete one first.")
            connection.execute(insert(webhooks).values(self._row_values(subscription)))
        self.sync_event_filter()
        return subscription

    def list_by_owner(self, owner: str) -> list[Subscription]:
        """Return the owner's webhooks, oldest first."""
        query = select(webhooks).where(webhooks.c.owner == owner).order_by(webhooks.c.created_at, webhooks.c.id)
        with self._database.read() as connection:
            return [self._from_row(row) for row in connection.execute(query)]

    def get(self, owner: str, webhook_id: str) -> Subscription:
        """Return a webhook of the owner; raise NotFound for another owner's as well."""
        subscription = self.get_many([webhook_id]).get(webhook_id)
        if subscription is None or subscription.owner != owner:
            raise NotFound("There is no webhook with this id.")
        return subscription

    def get_many(self, ids: Collection[str]) -> dict[str, Subscription]:
        """Return the existing ones among these webhooks, by id."""
        with self._database.read() as connection:
            rows = connection.execute(select(webhooks).where(webhooks.c.id.in_(ids)))
            return {row.id: self._from_row(row) for row in rows}

    def enabled_for(self, owners: Collection[str]) -> list[Subscription]:
        """Return the enabled webhooks of these owners."""
        enabled = webhooks.c.owner.in_(owners) & webhooks.c.disabled_at.is_(None)
        with self._database.read() as connection:
            return [self._from_row(row) for row in connection.execute(select(webhooks).where(enabled))]

    def update(self, owner: str, webhook_id: str, fields: Mapping[str, Any]) -> Subscription:
        """Change ``url``, ``types`` or ``description``; raise NotFound."""
        values = {name: fields[name] for name in ("url", "description") if name in fields}
        if "types" in fields:
            values["types"] = " ".join(dict.fromkeys(fields["types"]))
        return self._update_row(owner, webhook_id, values)

    def rotate_secret(self, owner: str, webhook_id: str) -> Subscription:
        """Set a new secret; the old one also signs for OLD_SECRET_TTL_MS. Raise NotFound."""
        values: dict[str, Any] = {"secret": self._encrypt(generate_secret())}
        if secrets_ := self.get(owner, webhook_id).secrets:
            until = self._clock.now_ms() + OLD_SECRET_TTL_MS
            values |= {"old_secret": self._encrypt(secrets_[0]), "old_secret_until": until}
        return self._update_row(owner, webhook_id, values)

    def disable(self, owner: str, webhook_id: str, reason: str) -> Subscription:
        """Stop deliveries to the webhook.

        Raises:
            NotFound: the owner has no such webhook.
            Conflict: it is disabled already.
        """
        if self.get(owner, webhook_id).disabled_at is not None:
            raise Conflict("The webhook is already disabled.")
        values = {"disabled_at": self._clock.now_ms(), "disabled_because": reason}
        self._write_row(owner, webhook_id, values)
        self._narrow_event_filter()
        return self.get(owner, webhook_id)

    def enable(self, owner: str, webhook_id: str) -> Subscription:
        """Resume deliveries, for events from now on; raise NotFound."""
        values = {"disabled_at": None, "disabled_because": None, "failing_since": None}
        return self._update_row(owner, webhook_id, values)

    def delete(self, owner: str, webhook_id: str) -> None:
        """Delete a webhook; raise NotFound."""
        self.get(owner, webhook_id)
        with self._database.write() as connection:
            connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))
        self._narrow_event_filter()

    def record_health(self, recovered: Collection[str], failing: Collection[str]) -> None:
        """Clear ``failing_since`` of the recovered webhooks, and set it for failing ones that do not have it yet."""
        was_failing = webhooks.c.id.in_(recovered) & webhooks.c.failing_since.is_not(None)
        was_healthy = webhooks.c.id.in_(failing) & webhooks.c.failing_since.is_(None)
        with self._database.write() as connection:
            if recovered:
                connection.execute(update(webhooks).where(was_failing).values(failing_since=None))
            if failing:
                connection.execute(update(webhooks).where(was_healthy).values(failing_since=self._clock.now_ms()))

    def sync_event_filter(self) -> None:
        """Copy the subscribed types of non-final events to Redis. Final events always go to the outbox."""
        enabled = select(webhooks.c.owner, webhooks.c.types).where(webhooks.c.disabled_at.is_(None))
        with self._database.read() as connection:
            rows = connection.execute(enabled).all()
        entries = {
            f"{row.owner} {kind.removeprefix('job.')}"
            for row in rows
            for kind in _non_final_job_types(row.types.split())
        }
        with self._redis.pipeline() as pipe:
            pipe.delete(SUBSCRIBED)
            if entries:
                pipe.sadd(SUBSCRIBED, *entries)
            pipe.execute()

    def _narrow_event_filter(self) -> None:
        """Copy the types to Redis if it answers. Otherwise it adds unwanted events until the sweeper copies them."""
        try:
            self.sync_event_filter()
        except Unavailable as error:
            log.warning("webhooks.filter_not_updated", error=str(error))

    def _update_row(self, owner: str, webhook_id: str, values: Mapping[str, Any]) -> Subscription:
        if values:
            self._write_row(owner, webhook_id, values)
            self.sync_event_filter()
        return self.get(owner, webhook_id)

    def _write_row(self, owner: str, webhook_id: str, values: Mapping[str, Any]) -> None:
        condition = (webhooks.c.id == webhook_id) & (webhooks.c.owner == owner)
        with self._database.write() as connection:
            connection.execute(update(webhooks).where(condition).values(values))

    def _row_values(self, subscription: Subscription) -> dict[str, Any]:
        row = asdict(subscription) | {
            "types": " ".join(subscription.types),
            "secret": self._encrypt(subscription.secrets[0]),
        }
        del row["secrets"]
        return row

    def _from_row(self, row: Any) -> Subscription:
        encrypted = [row.secret]
        if row.old_secret and row.old_secret_until > self._clock.now_ms():
            encrypted.append(row.old_secret)
        return Subscription(
            id=row.id,
            owner=row.owner,
            url=row.url,
            types=tuple(row.types.split()),
            description=row.description,
            created_at=row.created_at,
            secrets=tuple(secret for value in encrypted if (secret := self._decrypt(value))),
            disabled_at=row.disabled_at,
            disabled_because=row.disabled_because,
            failing_since=row.failing_since,
        )

    def _encrypt(self, secret: str) -> str:
        return self._fernet.encrypt(secret.encode()).decode()

    def _decrypt(self, encrypted: str) -> str | None:
        try:
            return self._fernet.decrypt(encrypted).decode()
        except InvalidToken:
            # SESSION_KEY has changed since. The secret is lost until the owner rotates it.
            return None


def _non_final_job_types(types: Iterable[str]) -> list[str]:
    return [kind for kind in types if kind not in FINAL_EVENTS and kind.startswith("job.")]
