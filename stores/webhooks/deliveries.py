"""Deliveries: events on their way to webhooks, each with its attempts, from the first until it is forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ops.infra.clock import Clock
from schemas.errors import Conflict, NotFound
from schemas.http.webhook_url import parse_webhook_url
from schemas.paging import Cursor
from schemas.webhooks.subscriptions import EPHEMERAL_EVENTS, Delivery, DeliveryAttempt, DeliveryState, NewDelivery
from stores.sql.errors import sql_errors
from stores.sql.tables import deliveries, delivery_attempts, webhooks

# After this time a courier has lost what it had in hand; four rounds of attempts take no longer.
LEASE_MS = 120_000
DAY_MS = 86_400_000
DELIVERED_RETENTION_MS, FAILED_RETENTION_MS = 7 * DAY_MS, 30 * DAY_MS
_COLUMNS = tuple(column for column in deliveries.c if column.name != "destination")
# Whoever holds a delivery no more has nothing to say of it, nor has anybody once it was given up.
_RECORD_OUTCOME = (
    update(deliveries)
    .where((deliveries.c.id == bindparam("held")) & (deliveries.c.next_at == bindparam("until")))
    .where(deliveries.c.state == DeliveryState.PENDING)
    .values({name: bindparam(name) for name in ("tries", "state", "next_at", "finished_at", "reason")})
)


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What an attempt at a delivery has led to; ``next_at`` while it is still pending."""

    delivery: Delivery
    attempt: DeliveryAttempt
    state: DeliveryState
    next_at: int = 0
    reason: str | None = None


class Deliveries:
    """The deliveries in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._clock = clock

    def add(self, outgoing: Sequence[NewDelivery]) -> None:
        """Make deliveries that are due now; those that there are already stay as they are."""
        if not outgoing:
            return
        now = self._clock.now_ms()
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        with sql_errors(), self._engine.begin() as connection:
            connection.execute(
                dialect.insert(deliveries).on_conflict_do_nothing(), [_row_values(one, now) for one in outgoing]
            )

    # For couriers

    def due_destinations(self) -> list[str]:
        """Where deliveries are due to."""
        pending, to = deliveries.c.state == DeliveryState.PENDING, deliveries.c.destination
        # From one destination to the next by the index: one with a hundred thousand of them costs as much as any.
        walk = select(func.min(to).label("to")).where(pending).cte(recursive=True)
        following = select(func.min(to)).where(pending, to > walk.c.to).scalar_subquery()
        walk = walk.union_all(select(following).where(walk.c.to.is_not(None)))
        due = exists().where(pending, to == walk.c.to, deliveries.c.next_at <= self._clock.now_ms())
        with sql_errors(), self._engine.connect() as connection:
            return list(connection.execute(select(walk.c.to).where(due)).scalars())

    def claim(self, destination: str, limit: int) -> list[Delivery]:
        """Take deliveries that are due to one destination, the oldest first; nobody else gets them for LEASE_MS."""
        now = self._clock.now_ms()
        due = (
            (deliveries.c.state == DeliveryState.PENDING)
            & (deliveries.c.destination == destination)
            & (deliveries.c.next_at <= now)
        )
        # PostgreSQL lets several couriers choose at once; SQLite has one writer at a time and knows no such words.
        chosen = select(deliveries.c.id).where(due).order_by(deliveries.c.next_at).limit(limit)
        # Chosen once, and before anything changes: PostgreSQL might else choose anew for each row.
        locked = chosen.with_for_update(skip_locked=True).cte("chosen")
        taken = (
            update(deliveries)
            .where(deliveries.c.id.in_(select(locked.c.id)))
            .values(next_at=now + LEASE_MS)
            .returning(*_COLUMNS)
        )
        with sql_errors(), self._engine.begin() as connection:
            return [_delivery_from_row(row) for row in connection.execute(taken)]

    def record_outcomes(self, outcomes: Sequence[DeliveryOutcome]) -> None:
        """Write down what attempts have led to, in one step; of a delivery held no more the attempt alone."""
        with sql_errors(), self._engine.begin() as connection:
            connection.execute(
                insert(delivery_attempts), [{"delivery": one.delivery.id, **asdict(one.attempt)} for one in outcomes]
            )
            connection.execute(_RECORD_OUTCOME, [self._outcome_values(one) for one in outcomes])

    def _outcome_values(self, outcome: DeliveryOutcome) -> dict[str, Any]:
        ended = None if outcome.state is DeliveryState.PENDING else self._clock.now_ms()
        held = {"held": outcome.delivery.id, "until": outcome.delivery.next_at, "tries": outcome.delivery.tries + 1}
        return held | {
            "state": outcome.state,
            "next_at": outcome.next_at,
            "finished_at": ended,
            "reason": outcome.reason,
        }

    def release(self, claimed: Sequence[Delivery]) -> None:
        """Give back deliveries that were taken and not tried."""
        now = self._clock.now_ms()
        with sql_errors(), self._engine.begin() as connection:
            for one in claimed:
                same = (deliveries.c.id == one.id) & (deliveries.c.next_at == one.next_at)
                connection.execute(update(deliveries).where(same).values(next_at=now))

    def fail_pending(self, webhook_id: str, reason: str) -> None:
        """End what is on its way to a webhook that gets nothing any more."""
        values = {"state": DeliveryState.FAILED, "finished_at": self._clock.now_ms(), "reason": reason}
        pending = (deliveries.c.webhook == webhook_id) & (deliveries.c.state == DeliveryState.PENDING)
        with sql_errors(), self._engine.begin() as connection:
            connection.execute(update(deliveries).where(pending).values(values))

    def redirect_pending(self, webhook_id: str, owner: str, url: str) -> None:
        """Send what is on its way to a webhook to its new address."""
        pending = (deliveries.c.webhook == webhook_id) & (deliveries.c.state == DeliveryState.PENDING)
        values = {"url": url, "destination": destination_key(owner, url, webhook_id)}
        with sql_errors(), self._engine.begin() as connection:
            connection.execute(update(deliveries).where(pending).values(values))

    def purge(self) -> None:
        """Forget what was delivered a week ago, and what failed a month ago."""
        now = self._clock.now_ms()
        kept = {DeliveryState.DELIVERED: DELIVERED_RETENTION_MS, DeliveryState.FAILED: FAILED_RETENTION_MS}
        with sql_errors(), self._engine.begin() as connection:
            for state, kept_ms in kept.items():
                old = (deliveries.c.state == state) & (deliveries.c.finished_at < now - kept_ms)
                # The database deletes their attempts with them.
                connection.execute(delete(deliveries).where(old))

    # For callers

    def get(self, owner: str, delivery_id: str) -> Delivery:
        """One delivery of the owner's; raises NotFound."""
        one = (deliveries.c.id == delivery_id) & (deliveries.c.owner == owner)
        with sql_errors(), self._engine.connect() as connection:
            row = connection.execute(select(*_COLUMNS).where(one)).one_or_none()
        if row is None:
            raise NotFound("There is no delivery of that id.")
        return _delivery_from_row(row)

    def list_attempts(self, delivery_id: str) -> list[DeliveryAttempt]:
        """What has been tried, the oldest first."""
        query = (
            select(delivery_attempts)
            .where(delivery_attempts.c.delivery == delivery_id)
            .order_by(delivery_attempts.c.id)
        )
        with sql_errors(), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [DeliveryAttempt(row.at, row.duration_ms, row.status, row.error, row.excerpt) for row in rows]

    def page(
        self, owner: str, filters: Mapping[str, str], cursor: Cursor | None, limit: int
    ) -> tuple[list[Delivery], Cursor | None]:
        """The owner's deliveries, newest first, and where the next page begins.

        ``wanted`` may name the ``webhook``, the ``state`` and the ``job_id``.
        """
        query = select(*_COLUMNS).where(deliveries.c.owner == owner)
        for name, value in filters.items():
            query = query.where(deliveries.c[name] == value)
        if cursor:
            same = (deliveries.c.created_at == cursor.time_ms) & (deliveries.c.id < cursor.id)
            query = query.where((deliveries.c.created_at < cursor.time_ms) | same)
        query = query.order_by(deliveries.c.created_at.desc(), deliveries.c.id.desc()).limit(limit + 1)
        with sql_errors(), self._engine.connect() as connection:
            found = [_delivery_from_row(row) for row in connection.execute(query)]
        kept = found[:limit]
        return kept, Cursor(kept[-1].created_at, kept[-1].id) if len(found) > limit else None

    def redeliver(self, owner: str, delivery_id: str) -> Delivery:
        """The delivery, due once more under the same id.

        Raises:
            NotFound: there is none.
            Conflict: it is on its way already, or its webhook gets nothing any more.
        """
        ended = (deliveries.c.id == delivery_id) & (deliveries.c.owner == owner) & _finished()
        known = self.get(owner, delivery_id)
        if not self._requeue(ended):
            raise Conflict("This delivery is on its way already, or its webhook is disabled.")
        return self.get(owner, known.id)

    def redeliver_failed(self, owner: str, since_ms: int, webhook_id: str | None) -> int:
        """Make due once more what failed for good since then; how many those are."""
        failed = (
            (deliveries.c.owner == owner)
            & (deliveries.c.state == DeliveryState.FAILED)
            & (deliveries.c.created_at >= since_ms)
            & deliveries.c.type.not_in(EPHEMERAL_EVENTS)
        )
        return self._requeue(failed & (deliveries.c.webhook == webhook_id) if webhook_id else failed)

    def _requeue(self, condition: Any) -> int:
        values = {"state": DeliveryState.PENDING, "tries": 0, "finished_at": None, "reason": None}
        with sql_errors(), self._engine.begin() as connection:
            again = (
                update(deliveries).where(condition & _webhook_enabled()).values(next_at=self._clock.now_ms(), **values)
            )
            return connection.execute(again).rowcount


def destination_key(owner: str, url: str, webhook_id: str | None = None) -> str:
    """The queue of a delivery: no caller waits for another, and no webhook for another at the same host."""
    target = parse_webhook_url(url)
    whose = f"{owner} {webhook_id}" if webhook_id else owner
    return f"{whose} {target.scheme}://{target.host}:{target.port}"


def _webhook_enabled() -> Any:
    enabled = select(webhooks.c.id).where(webhooks.c.disabled_at.is_(None))
    return deliveries.c.webhook.is_(None) | deliveries.c.webhook.in_(enabled)


def _finished() -> Any:
    return deliveries.c.state != DeliveryState.PENDING


def _row_values(outgoing: NewDelivery, now_ms: int) -> dict[str, Any]:
    return {
        "id": outgoing.id,
        "owner": outgoing.owner,
        "webhook": outgoing.subscription,
        "job_id": outgoing.job_id,
        "url": outgoing.url,
        "destination": destination_key(outgoing.owner, outgoing.url, outgoing.subscription),
        "type": outgoing.type,
        "body": outgoing.body,
        "state": DeliveryState.PENDING,
        "tries": 0,
        "created_at": now_ms,
        "next_at": now_ms,
    }


def _delivery_from_row(row: Any) -> Delivery:
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
