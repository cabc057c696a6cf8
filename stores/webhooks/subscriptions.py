"""Webhooks: who wants which events to be sent where. Their secrets are encrypted at rest."""

import base64
import hmac
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from redis import Redis
from sqlalchemy import Engine, delete, func, insert, select, update

from ops.infra.clock import Clock
from schemas.errors import Conflict, NotFound
from schemas.webhooks.signing import SECRET_PREFIX, Signer, generate_secret, validate_secret
from schemas.webhooks.subscriptions import FINAL_EVENTS, MAX_SUBSCRIPTIONS, Subscription
from stores.redis.errors import redis_errors
from stores.sql.errors import sql_errors
from stores.sql.tables import webhooks

OLD_SECRET_TTL_MS = 24 * 3_600_000
SUBSCRIBED = "dr:subscribed"
SIGNING_KEY_LABEL = b"darkroom: signing webhooks"
OWNER_SECRET_LABEL = b"darkroom: secret of "


class Subscriptions:
    """The webhooks in one database."""

    def __init__(self, engine: Engine, client: Redis, clock: Clock, key: str) -> None:
        """``key`` encrypts secrets, and from it follow those that are not drawn; ``client`` answers bytes."""
        self._engine = engine
        self._redis = client
        self._clock = clock
        self._key = key.encode()
        self._fernet = Fernet(key)

    @property
    def signer(self) -> Signer:
        """What signs for this installation."""
        return Signer(hmac.digest(self._key, SIGNING_KEY_LABEL, "sha256"))

    def owner_secret(self, owner: str) -> str:
        """What signs deliveries to addresses that a caller's jobs name themselves."""
        raw = hmac.digest(self._key, OWNER_SECRET_LABEL + owner.encode(), "sha256")
        return SECRET_PREFIX + base64.b64encode(raw).decode()

    def create(self, owner: str, url: str, fields: Mapping[str, Any]) -> Subscription:
        """A new webhook; ``wanted`` may have ``types``, ``description`` and ``secret``.

        Raises:
            Invalid: the secret is none.
            Conflict: the owner has as many as one may have, and waiting would not help.
        """
        secret = validate_secret(fields["secret"]) if fields.get("secret") else generate_secret()
        made = Subscription(
            id=f"wh_{secrets.token_hex(12)}",
            owner=owner,
            url=url,
            types=tuple(dict.fromkeys(fields.get("types", FINAL_EVENTS))),
            description=fields.get("description", ""),
            created_at=self._clock.now_ms(),
            secrets=(secret,),
        )
        count = select(func.count()).select_from(webhooks).where(webhooks.c.owner == owner)
        with sql_errors(), self._engine.begin() as connection:
            if connection.execute(count).scalar_one() >= MAX_SUBSCRIPTIONS:
                raise Conflict(f"You have {MAX_SUBSCRIPTIONS} webhooks; remove one first.")
            connection.execute(insert(webhooks).values(self._row_values(made)))
        self.sync_event_filter()
        return made

    def list_by_owner(self, owner: str) -> list[Subscription]:
        """The owner's webhooks, the oldest first."""
        query = select(webhooks).where(webhooks.c.owner == owner).order_by(webhooks.c.created_at, webhooks.c.id)
        with sql_errors(), self._engine.connect() as connection:
            return [self._from_row(row) for row in connection.execute(query)]

    def get(self, owner: str, webhook_id: str) -> Subscription:
        """One webhook of the owner's; raises NotFound."""
        found = self.get_many([webhook_id]).get(webhook_id)
        if found is None or found.owner != owner:
            raise NotFound("There is no webhook of that id.")
        return found

    def get_many(self, ids: Collection[str]) -> dict[str, Subscription]:
        """Webhooks by their ids, those that there are."""
        with sql_errors(), self._engine.connect() as connection:
            rows = connection.execute(select(webhooks).where(webhooks.c.id.in_(ids)))
            return {row.id: self._from_row(row) for row in rows}

    def enabled_for(self, owners: Collection[str]) -> list[Subscription]:
        """Those of some owners that are not disabled."""
        enabled = webhooks.c.owner.in_(owners) & webhooks.c.disabled_at.is_(None)
        with sql_errors(), self._engine.connect() as connection:
            return [self._from_row(row) for row in connection.execute(select(webhooks).where(enabled))]

    def update(self, owner: str, webhook_id: str, fields: Mapping[str, Any]) -> Subscription:
        """The webhook with another ``url``, ``types`` or ``description``; raises NotFound."""
        values = {name: fields[name] for name in ("url", "description") if name in fields}
        if "types" in fields:
            values["types"] = " ".join(dict.fromkeys(fields["types"]))
        return self._update_row(owner, webhook_id, values)

    def rotate_secret(self, owner: str, webhook_id: str) -> Subscription:
        """The webhook with a new secret; the old one signs along for a day. Raises NotFound."""
        values: dict[str, Any] = {"secret": self._encrypt(generate_secret())}
        if known := self.get(owner, webhook_id).secrets:
            until = self._clock.now_ms() + OLD_SECRET_TTL_MS
            values |= {"old_secret": self._encrypt(known[0]), "old_secret_until": until}
        return self._update_row(owner, webhook_id, values)

    def disable(self, owner: str, webhook_id: str, reason: str) -> Subscription:
        """The webhook, which gets nothing from now on.

        Raises:
            NotFound: there is none.
            Conflict: it was so before.
        """
        if self.get(owner, webhook_id).disabled_at is not None:
            raise Conflict("This webhook is disabled already.")
        values = {"disabled_at": self._clock.now_ms(), "disabled_because": reason}
        return self._update_row(owner, webhook_id, values)

    def enable(self, owner: str, webhook_id: str) -> Subscription:
        """The webhook, which gets what happens from now on; raises NotFound."""
        values = {"disabled_at": None, "disabled_because": None, "failing_since": None}
        return self._update_row(owner, webhook_id, values)

    def delete(self, owner: str, webhook_id: str) -> None:
        """Forget a webhook; raises NotFound."""
        self.get(owner, webhook_id)
        with sql_errors(), self._engine.begin() as connection:
            connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))
        self.sync_event_filter()

    def record_health(self, recovered: Collection[str], failing: Collection[str]) -> None:
        """Remember since when each of ``failing`` has failed without a break; ``well`` have answered well."""
        ok = webhooks.c.id.in_(recovered) & webhooks.c.failing_since.is_not(None)
        bad = webhooks.c.id.in_(failing) & webhooks.c.failing_since.is_(None)
        with sql_errors(), self._engine.begin() as connection:
            if recovered:
                connection.execute(update(webhooks).where(ok).values(failing_since=None))
            if failing:
                connection.execute(update(webhooks).where(bad).values(failing_since=self._clock.now_ms()))

    def sync_event_filter(self) -> None:
        """Tell the scripts who wants events that are no ends; ends are kept for the courier in any case."""
        enabled = select(webhooks.c.owner, webhooks.c.types).where(webhooks.c.disabled_at.is_(None))
        with sql_errors(), self._engine.connect() as connection:
            rows = connection.execute(enabled).all()
        wanted = {
            f"{row.owner} {kind.removeprefix('job.')}"
            for row in rows
            for kind in _non_final_job_types(row.types.split())
        }
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.delete(SUBSCRIBED)
            if wanted:
                pipe.sadd(SUBSCRIBED, *wanted)
            pipe.execute()

    def _update_row(self, owner: str, webhook_id: str, values: Mapping[str, Any]) -> Subscription:
        one = (webhooks.c.id == webhook_id) & (webhooks.c.owner == owner)
        if values:
            with sql_errors(), self._engine.begin() as connection:
                connection.execute(update(webhooks).where(one).values(values))
            self.sync_event_filter()
        return self.get(owner, webhook_id)

    def _row_values(self, subscription: Subscription) -> dict[str, Any]:
        row = asdict(subscription) | {
            "types": " ".join(subscription.types),
            "secret": self._encrypt(subscription.secrets[0]),
        }
        del row["secrets"]
        return row

    def _from_row(self, row: Any) -> Subscription:
        hidden = [row.secret]
        if row.old_secret and row.old_secret_until > self._clock.now_ms():
            hidden.append(row.old_secret)
        return Subscription(
            id=row.id,
            owner=row.owner,
            url=row.url,
            types=tuple(row.types.split()),
            description=row.description,
            created_at=row.created_at,
            secrets=tuple(secret for one in hidden if (secret := self._decrypt(one))),
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
            # Another SESSION_KEY encrypted it: nobody can know it any more, and rotating makes a new one.
            return None


def _non_final_job_types(types: Iterable[str]) -> list[str]:
    return [kind for kind in types if kind not in FINAL_EVENTS and kind.startswith("job.")]
