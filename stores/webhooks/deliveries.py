"""Deliveries: events on their way to webhooks, each with its attempts, from the first until it is forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ops.infra.clock import Clock
from schemas.errors import Conflict, NotFound
from schemas.paging import Cursor
from schemas.webhooks.subscriptions import FLEETING_TYPES, Attempt, Delivery, DeliveryState, Outgoing
from schemas.webhooks.target_url import read_target
from stores.sql.errors import sql_errors
from stores.sql.tables import attempts, deliveries, webhooks

# After this time a courier has lost what it had in hand; four rounds of attempts take no longer.
LEASE_MS = 120_000
DAY_MS = 86_400_000
DELIVERED_KEPT_MS, FAILED_KEPT_MS = 7 * DAY_MS, 30 * DAY_MS
_HELD = tuple(column for column in deliveries.c if column.name != "destination")
# Whoever holds a delivery no more has nothing to say of it, nor has anybody once it was given up.
_SETTLE = (
    update(deliveries)
    .where((deliveries.c.id == bindparam("held")) & (deliveries.c.next_at == bindparam("until")))
    .where(deliveries.c.state == DeliveryState.PENDING)
    .values({name: bindparam(name) for name in ("tries", "state", "next_at", "finished_at", "reason")})
)


@dataclass(frozen=True, slots=True)
class Settled:
    """What an attempt at a delivery has led to; ``next_at`` while it is still pending."""

    delivery: Delivery
    attempt: Attempt
    state: DeliveryState
    next_at: int = 0
    reason: str | None = None


class Deliveries:
    """The deliveries in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._clock = clock

    def add(self, outgoing: Sequence[Outgoing]) -> None:
        """Make deliveries that are due now; those that there are already stay as they are."""
        if not outgoing:
            return
        now = self._clock.now_ms()
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        with sql_errors(), self._engine.begin() as connection:
            connection.execute(
                dialect.insert(deliveries).on_conflict_do_nothing(), [_row(one, now) for one in outgoing]
            )

    # For couriers

    def destinations(self) -> list[str]:
        """Where deliveries are due to."""
        pending, to = deliveries.c.state == DeliveryState.PENDING, deliveries.c.destination
        # From one destination to the next by the index: one with a hundred thousand of them costs as much as any.
        walk = select(func.min(to).label("to")).where(pending).cte(recursive=True)
        following = select(func.min(to)).where(pending, to > walk.c.to).scalar_subquery()
        walk = walk.union_all(select(following).where(walk.c.to.is_not(None)))
        due = exists().where(pending, to == walk.c.to, deliveries.c.next_at <= self._clock.now_ms())
        with sql_errors(), self._engine.connect() as connection:
            return list(connection.execute(select(walk.c.to).where(due)).scalars())

    def claim(self, destination: str, most: int) -> list[Delivery]:
        """Take deliveries that are due to one destination, the oldest first; nobody else gets them for LEASE_MS."""
        now = self._clock.now_ms()
        due = (
            (deliveries.c.state == DeliveryState.PENDING)
            & (deliveries.c.destination == destination)
            & (deliveries.c.next_at <= now)
        )
        # PostgreSQL lets several couriers choose at once; SQLite has one writer at a time and knows no such words.
        chosen = select(deliveries.c.id).where(due).order_by(deliveries.c.next_at).limit(most)
        # Chosen once, and before anything changes: PostgreSQL might else choose anew for each row.
        locked = chosen.with_for_update(skip_locked=True).cte("chosen")
        taken = (
            update(deliveries)
            .where(deliveries.c.id.in_(select(locked.c.id)))
            .values(next_at=now + LEASE_MS)
            .returning(*_HELD)
        )
        with sql_errors(), self._engine.begin() as connection:
            return [_read(row) for row in connection.execute(taken)]

    def settle(self, settled: Sequence[Settled]) -> None:
        """Write down what attempts have led to, in one step; of a delivery held no more the attempt alone."""
        with sql_errors(), self._engine.begin() as connection:
            connection.execute(
                insert(attempts), [{"delivery": one.delivery.id, **asdict(one.attempt)} for one in settled]
            )
            connection.execute(_SETTLE, [self._values(one) for one in settled])

    def _values(self, one: Settled) -> dict[str, Any]:
        ended = None if one.state is DeliveryState.PENDING else self._clock.now_ms()
        held = {"held": one.delivery.id, "until": one.delivery.next_at, "tries": one.delivery.tries + 1}
        return held | {"state": one.state, "next_at": one.next_at, "finished_at": ended, "reason": one.reason}

    def release(self, held: Sequence[Delivery]) -> None:
        """Give back deliveries that were taken and not tried."""
        now = self._clock.now_ms()
        with sql_errors(), self._engine.begin() as connection:
            for one in held:
                same = (deliveries.c.id == one.id) & (deliveries.c.next_at == one.next_at)
                connection.execute(update(deliveries).where(same).values(next_at=now))

    def give_up(self, webhook_id: str, reason: str) -> None:
        """End what is on its way to a webhook that gets nothing any more."""
        values = {"state": DeliveryState.FAILED, "finished_at": self._clock.now_ms(), "reason": reason}
        pending = (deliveries.c.webhook == webhook_id) & (deliveries.c.state == DeliveryState.PENDING)
        with sql_errors(), self._engine.begin() as connection:
            connection.execute(update(deliveries).where(pending).values(values))

    def redirect(self, webhook_id: str, owner: str, url: str) -> None:
        """Send what is on its way to a webhook to its new address."""
        pending = (deliveries.c.webhook == webhook_id) & (deliveries.c.state == DeliveryState.PENDING)
        values = {"url": url, "destination": destination_of(owner, url, webhook_id)}
        with sql_errors(), self._engine.begin() as connection:
            connection.execute(update(deliveries).where(pending).values(values))

    def trim(self) -> None:
        """Forget what was delivered a week ago, and what failed a month ago."""
        now = self._clock.now_ms()
        kept = {DeliveryState.DELIVERED: DELIVERED_KEPT_MS, DeliveryState.FAILED: FAILED_KEPT_MS}
        with sql_errors(), self._engine.begin() as connection:
            for state, kept_ms in kept.items():
                old = (deliveries.c.state == state) & (deliveries.c.finished_at < now - kept_ms)
                ids = select(deliveries.c.id).where(old)
                connection.execute(delete(attempts).where(attempts.c.delivery.in_(ids)))
                connection.execute(delete(deliveries).where(old))

    # For callers

    def get(self, owner: str, delivery_id: str) -> Delivery:
        """One delivery of the owner's; raises NotFound."""
        one = (deliveries.c.id == delivery_id) & (deliveries.c.owner == owner)
        with sql_errors(), self._engine.connect() as connection:
            row = connection.execute(select(*_HELD).where(one)).one_or_none()
        if row is None:
            raise NotFound("There is no delivery of that id.")
        return _read(row)

    def attempts(self, delivery_id: str) -> list[Attempt]:
        """What has been tried, the oldest first."""
        query = select(attempts).where(attempts.c.delivery == delivery_id).order_by(attempts.c.id)
        with sql_errors(), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [Attempt(row.at, row.duration_ms, row.status, row.error, row.excerpt) for row in rows]

    def page(
        self, owner: str, wanted: Mapping[str, str], cursor: Cursor | None, limit: int
    ) -> tuple[list[Delivery], Cursor | None]:
        """The owner's deliveries, newest first, and where the next page begins.

        ``wanted`` may name the ``webhook``, the ``state`` and the ``job_id``.
        """
        query = select(*_HELD).where(deliveries.c.owner == owner)
        for name, value in wanted.items():
            query = query.where(deliveries.c[name] == value)
        if cursor:
            same = (deliveries.c.created_at == cursor.time_ms) & (deliveries.c.id < cursor.id)
            query = query.where((deliveries.c.created_at < cursor.time_ms) | same)
        query = query.order_by(deliveries.c.created_at.desc(), deliveries.c.id.desc()).limit(limit + 1)
        with sql_errors(), self._engine.connect() as connection:
            found = [_read(row) for row in connection.execute(query)]
        kept = found[:limit]
        return kept, Cursor(kept[-1].created_at, kept[-1].id) if len(found) > limit else None

    def redeliver(self, owner: str, delivery_id: str) -> Delivery:
        """The delivery, due once more under the same id.

        Raises:
            NotFound: there is none.
            Conflict: it is on its way already, or its webhook gets nothing any more.
        """
        ended = (deliveries.c.id == delivery_id) & (deliveries.c.owner == owner) & _ended()
        known = self.get(owner, delivery_id)
        if not self._again(ended):
            raise Conflict("This delivery is on its way already, or its webhook is disabled.")
        return self.get(owner, known.id)

    def redeliver_failed(self, owner: str, since_ms: int, webhook_id: str | None) -> int:
        """Make due once more what failed for good since then; how many those are."""
        failed = (
            (deliveries.c.owner == owner)
            & (deliveries.c.state == DeliveryState.FAILED)
            & (deliveries.c.created_at >= since_ms)
            & deliveries.c.type.not_in(FLEETING_TYPES)
        )
        return self._again(failed & (deliveries.c.webhook == webhook_id) if webhook_id else failed)

    def _again(self, which: Any) -> int:
        values = {"state": DeliveryState.PENDING, "tries": 0, "finished_at": None, "reason": None}
        with sql_errors(), self._engine.begin() as connection:
            again = update(deliveries).where(which & _reachable()).values(next_at=self._clock.now_ms(), **values)
            return connection.execute(again).rowcount


def destination_of(owner: str, url: str, webhook_id: str | None = None) -> str:
    """The queue of a delivery: no caller waits for another, and no webhook for another at the same host."""
    target = read_target(url)
    whose = f"{owner} {webhook_id}" if webhook_id else owner
    return f"{whose} {target.scheme}://{target.host}:{target.port}"


def _reachable() -> Any:
    enabled = select(webhooks.c.id).where(webhooks.c.disabled_at.is_(None))
    return deliveries.c.webhook.is_(None) | deliveries.c.webhook.in_(enabled)


def _ended() -> Any:
    return deliveries.c.state != DeliveryState.PENDING


def _row(one: Outgoing, now_ms: int) -> dict[str, Any]:
    return {
        "id": one.id,
        "owner": one.owner,
        "webhook": one.subscription,
        "job_id": one.job_id,
        "url": one.url,
        "destination": destination_of(one.owner, one.url, one.subscription),
        "type": one.type,
        "body": one.body,
        "state": DeliveryState.PENDING,
        "tries": 0,
        "created_at": now_ms,
        "next_at": now_ms,
    }


def _read(row: Any) -> Delivery:
    return Delivery(
        id=row.id,
        owner=row.owner,
        subscription=row.webhook,
        job_id=row.job_id,
        url=row.url,
        type=row.type,
        body=row.body,
        state=DeliveryState(row.state),
        tries=row.tries,
        created_at=row.created_at,
        next_at=row.next_at,
        finished_at=row.finished_at,
        reason=row.reason,
    )
