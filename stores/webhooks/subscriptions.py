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
from schemas.webhooks.signing import SECRET_PREFIX, Signer, check_secret, new_secret
from schemas.webhooks.subscriptions import FINAL_TYPES, MOST_SUBSCRIPTIONS, Subscription
from stores.redis.scripts import redis_errors
from stores.sql.errors import sql_errors
from stores.sql.tables import webhooks

OLD_SECRET_SIGNS_MS = 24 * 3_600_000
SUBSCRIBED = "dr:subscribed"
SIGNING = b"darkroom: signing webhooks"
OWN_SECRET = b"darkroom: secret of "


class Webhooks:
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
        return Signer(hmac.digest(self._key, SIGNING, "sha256"))

    def own_secret(self, owner: str) -> str:
        """What signs deliveries to addresses that a caller's jobs name themselves."""
        raw = hmac.digest(self._key, OWN_SECRET + owner.encode(), "sha256")
        return SECRET_PREFIX + base64.b64encode(raw).decode()

    def create(self, owner: str, url: str, wanted: Mapping[str, Any]) -> Subscription:
        """A new webhook; ``wanted`` may have ``types``, ``description`` and ``secret``.

        Raises:
            Invalid: the secret is none.
            Conflict: the owner has as many as one may have, and waiting would not help.
        """
        secret = check_secret(wanted["secret"]) if wanted.get("secret") else new_secret()
        made = Subscription(
            id=f"wh_{secrets.token_hex(12)}",
            owner=owner,
            url=url,
            types=tuple(dict.fromkeys(wanted.get("types", FINAL_TYPES))),
            description=wanted.get("description", ""),
            created_at=self._clock.now_ms(),
            secrets=(secret,),
        )
        count = select(func.count()).select_from(webhooks).where(webhooks.c.owner == owner)
        with sql_errors(), self._engine.begin() as connection:
            if connection.execute(count).scalar_one() >= MOST_SUBSCRIPTIONS:
                raise Conflict(f"You have {MOST_SUBSCRIPTIONS} webhooks; remove one first.")
            connection.execute(insert(webhooks).values(self._row(made)))
        self.publish()
        return made

    def listing(self, owner: str) -> list[Subscription]:
        """The owner's webhooks, the oldest first."""
        query = select(webhooks).where(webhooks.c.owner == owner).order_by(webhooks.c.created_at, webhooks.c.id)
        with sql_errors(), self._engine.connect() as connection:
            return [self._read(row) for row in connection.execute(query)]

    def get(self, owner: str, webhook_id: str) -> Subscription:
        """One webhook of the owner's; raises NotFound."""
        found = self.by_ids([webhook_id]).get(webhook_id)
        if found is None or found.owner != owner:
            raise NotFound("There is no webhook of that id.")
        return found

    def by_ids(self, ids: Collection[str]) -> dict[str, Subscription]:
        """Webhooks by their ids, those that there are."""
        with sql_errors(), self._engine.connect() as connection:
            rows = connection.execute(select(webhooks).where(webhooks.c.id.in_(ids)))
            return {row.id: self._read(row) for row in rows}

    def wanting(self, owners: Collection[str]) -> list[Subscription]:
        """Those of some owners that are not disabled."""
        enabled = webhooks.c.owner.in_(owners) & webhooks.c.disabled_at.is_(None)
        with sql_errors(), self._engine.connect() as connection:
            return [self._read(row) for row in connection.execute(select(webhooks).where(enabled))]

    def change(self, owner: str, webhook_id: str, wanted: Mapping[str, Any]) -> Subscription:
        """The webhook with another ``url``, ``types`` or ``description``; raises NotFound."""
        values = {name: wanted[name] for name in ("url", "description") if name in wanted}
        if "types" in wanted:
            values["types"] = " ".join(dict.fromkeys(wanted["types"]))
        return self._update(owner, webhook_id, values)

    def rotate(self, owner: str, webhook_id: str) -> Subscription:
        """The webhook with a new secret; the old one signs along for a day. Raises NotFound."""
        values: dict[str, Any] = {"secret": self._hide(new_secret())}
        if known := self.get(owner, webhook_id).secrets:
            until = self._clock.now_ms() + OLD_SECRET_SIGNS_MS
            values |= {"old_secret": self._hide(known[0]), "old_secret_until": until}
        return self._update(owner, webhook_id, values)

    def disable(self, owner: str, webhook_id: str, because: str) -> Subscription:
        """The webhook, which gets nothing from now on.

        Raises:
            NotFound: there is none.
            Conflict: it was so before.
        """
        if self.get(owner, webhook_id).disabled_at is not None:
            raise Conflict("This webhook is disabled already.")
        values = {"disabled_at": self._clock.now_ms(), "disabled_because": because}
        return self._update(owner, webhook_id, values)

    def enable(self, owner: str, webhook_id: str) -> Subscription:
        """The webhook, which gets what happens from now on; raises NotFound."""
        values = {"disabled_at": None, "disabled_because": None, "failing_since": None}
        return self._update(owner, webhook_id, values)

    def remove(self, owner: str, webhook_id: str) -> None:
        """Forget a webhook; raises NotFound."""
        self.get(owner, webhook_id)
        with sql_errors(), self._engine.begin() as connection:
            connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))
        self.publish()

    def note_health(self, well: Collection[str], failing: Collection[str]) -> None:
        """Remember since when each of ``failing`` has failed without a break; ``well`` have answered well."""
        ok = webhooks.c.id.in_(well) & webhooks.c.failing_since.is_not(None)
        bad = webhooks.c.id.in_(failing) & webhooks.c.failing_since.is_(None)
        with sql_errors(), self._engine.begin() as connection:
            if well:
                connection.execute(update(webhooks).where(ok).values(failing_since=None))
            if failing:
                connection.execute(update(webhooks).where(bad).values(failing_since=self._clock.now_ms()))

    def publish(self) -> None:
        """Tell the scripts who wants events that are no ends; ends are kept for the courier in any case."""
        enabled = select(webhooks.c.owner, webhooks.c.types).where(webhooks.c.disabled_at.is_(None))
        with sql_errors(), self._engine.connect() as connection:
            rows = connection.execute(enabled).all()
        wanted = {f"{row.owner} {kind.removeprefix('job.')}" for row in rows for kind in _between(row.types.split())}
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.delete(SUBSCRIBED)
            if wanted:
                pipe.sadd(SUBSCRIBED, *wanted)
            pipe.execute()

    def _update(self, owner: str, webhook_id: str, values: Mapping[str, Any]) -> Subscription:
        one = (webhooks.c.id == webhook_id) & (webhooks.c.owner == owner)
        if values:
            with sql_errors(), self._engine.begin() as connection:
                connection.execute(update(webhooks).where(one).values(values))
            self.publish()
        return self.get(owner, webhook_id)

    def _row(self, made: Subscription) -> dict[str, Any]:
        row = asdict(made) | {"types": " ".join(made.types), "secret": self._hide(made.secrets[0])}
        del row["secrets"]
        return row

    def _read(self, row: Any) -> Subscription:
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
            secrets=tuple(secret for one in hidden if (secret := self._show(one))),
            disabled_at=row.disabled_at,
            disabled_because=row.disabled_because,
            failing_since=row.failing_since,
        )

    def _hide(self, secret: str) -> str:
        return self._fernet.encrypt(secret.encode()).decode()

    def _show(self, hidden: str) -> str | None:
        try:
            return self._fernet.decrypt(hidden).decode()
        except InvalidToken:
            # Another SESSION_KEY encrypted it: nobody can know it any more, and rotating makes a new one.
            return None


def _between(types: Iterable[str]) -> list[str]:
    return [kind for kind in types if kind not in FINAL_TYPES and kind.startswith("job.")]
