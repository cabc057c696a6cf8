"""Webhook deliveries in SQL: their queue, leases, attempts and history.

A delivery is claimed by moving its ``next_at`` LEASE_MS ahead. That is the lease: once it has passed, the delivery is
due again. ``next_at`` is also the fencing token when the outcome is recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, Select, bindparam, delete, exists, func, insert, select, tuple_, update

from ops.infra.clock import Clock
from schemas.errors import Conflict, NotFound
from schemas.http.webhook_url import parse_webhook_url
from schemas.paging import Cursor
from schemas.webhooks.subscriptions import EPHEMERAL_EVENTS, Delivery, DeliveryAttempt, DeliveryState, NewDelivery
from stores.sql.database import Database
from stores.sql.tables import deliveries, delivery_attempts, webhooks

# Enough for four rounds of attempts (64 claimed, 16 at once, 15 s each) with a margin.
LEASE_MS = 120_000
DAY_MS = 86_400_000
PURGE_BATCH = 1000
DELIVERED_RETENTION_MS, FAILED_RETENTION_MS = 7 * DAY_MS, 30 * DAY_MS
_COLUMNS = tuple(column for column in deliveries.c if column.name != "destination")
# Only the current lease holder may record an outcome, and only while the delivery is pending.
_RECORD_OUTCOME = (
    update(deliveries)
    .where((deliveries.c.id == bindparam("delivery_id")) & (deliveries.c.next_at == bindparam("lease")))
    .where(deliveries.c.state == DeliveryState.PENDING)
    .values({name: bindparam(name) for name in ("tries", "state", "next_at", "finished_at", "reason")})
)


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The new state of a delivery after an attempt; ``next_at`` is its due time if it is still pending."""

    delivery: Delivery
    attempt: DeliveryAttempt
    state: DeliveryState
    next_at: int = 0
    reason: str | None = None


class Deliveries:
    """The deliveries in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._database = Database(engine)
        self._clock = clock

    def add(self, new_deliveries: Sequence[NewDelivery]) -> None:
        """Insert deliveries that are due now; ids that exist already stay unchanged."""
        if not new_deliveries:
            return
        now = self._clock.now_ms()
        rows = [_row_values(delivery, now) for delivery in new_deliveries]
        with self._database.write() as connection:
            connection.execute(self._database.insert_or_ignore(deliveries), rows)

    # For dispatchers

    def due_destinations(self) -> list[str]:
        """Return the destinations that have due deliveries."""
        pending, destination = deliveries.c.state == DeliveryState.PENDING, deliveries.c.destination
        # Loose index scan: jumps from one destination to the next in the index, so a backlog of any size at one
        # destination costs a single step.
        walk = select(func.min(destination).label("destination")).where(pending).cte(recursive=True)
        following = select(func.min(destination)).where(pending, destination > walk.c.destination).scalar_subquery()
        walk = walk.union_all(select(following).where(walk.c.destination.is_not(None)))
        due = exists().where(pending, destination == walk.c.destination, deliveries.c.next_at <= self._clock.now_ms())
        with self._database.read() as connection:
            return list(connection.execute(select(walk.c.destination).where(due)).scalars())

    def claim(self, destination: str, limit: int) -> list[Delivery]:
        """Claim due deliveries to one destination for LEASE_MS, oldest first."""
        now = self._clock.now_ms()
        due = (
            (deliveries.c.state == DeliveryState.PENDING)
            & (deliveries.c.destination == destination)
            & (deliveries.c.next_at <= now)
        )
        # SKIP LOCKED lets several dispatchers claim at once on PostgreSQL. SQLAlchemy omits it on SQLite, which has one
        # writer at a time.
        chosen = select(deliveries.c.id).where(due).order_by(deliveries.c.next_at).limit(limit)
        # A CTE is evaluated once. PostgreSQL may evaluate a plain subquery again for each row and exceed the limit.
        locked = chosen.with_for_update(skip_locked=True).cte("chosen")
        claim = (
            update(deliveries)
            .where(deliveries.c.id.in_(select(locked.c.id)))
            .values(next_at=now + LEASE_MS)
            .returning(*_COLUMNS)
        )
        with self._database.write() as connection:
            return [_delivery_from_row(row) for row in connection.execute(claim)]

    def record_outcomes(self, outcomes: Sequence[DeliveryOutcome]) -> None:
        """Record attempts and new states in one transaction; only the attempt if the lease has expired."""
        with self._database.write() as connection:
            attempts = [{"delivery": outcome.delivery.id, **asdict(outcome.attempt)} for outcome in outcomes]
            connection.execute(insert(delivery_attempts), attempts)
            connection.execute(_RECORD_OUTCOME, [self._outcome_values(outcome) for outcome in outcomes])

    def _outcome_values(self, outcome: DeliveryOutcome) -> dict[str, Any]:
        return {
            "delivery_id": outcome.delivery.id,
            "lease": outcome.delivery.next_at,
            "tries": outcome.delivery.tries + 1,
            "state": outcome.state,
            "next_at": outcome.next_at,
            "finished_at": None if outcome.state is DeliveryState.PENDING else self._clock.now_ms(),
            "reason": outcome.reason,
        }

    def release(self, claimed: Sequence[Delivery]) -> None:
        """Make claimed deliveries due again that were not attempted."""
        now = self._clock.now_ms()
        with self._database.write() as connection:
            for delivery in claimed:
                held = (deliveries.c.id == delivery.id) & (deliveries.c.next_at == delivery.next_at)
                connection.execute(update(deliveries).where(held).values(next_at=now))

    def fail_pending(self, webhook_id: str, reason: str) -> None:
        """Fail all pending deliveries to a webhook, because it was disabled or deleted."""
        values = {"state": DeliveryState.FAILED, "finished_at": self._clock.now_ms(), "reason": reason}
        pending = (deliveries.c.webhook == webhook_id) & (deliveries.c.state == DeliveryState.PENDING)
        with self._database.write() as connection:
            connection.execute(update(deliveries).where(pending).values(values))

    def redirect_pending(self, webhook_id: str, owner: str, url: str) -> None:
        """Send the pending deliveries of a webhook to its new URL."""
        pending = (deliveries.c.webhook == webhook_id) & (deliveries.c.state == DeliveryState.PENDING)
        values = {"url": url, "destination": destination_key(owner, url, webhook_id)}
        with self._database.write() as connection:
            connection.execute(update(deliveries).where(pending).values(values))

    def purge(self) -> None:
        """Delete deliveries, and their attempts, that ended longer ago than their retention.

        Each transaction deletes PURGE_BATCH at most, so that others need not wait for long.
        """
        now = self._clock.now_ms()
        retention = {DeliveryState.DELIVERED: DELIVERED_RETENTION_MS, DeliveryState.FAILED: FAILED_RETENTION_MS}
        for state, retention_ms in retention.items():
            old = (deliveries.c.state == state) & (deliveries.c.finished_at < now - retention_ms)
            oldest = select(deliveries.c.id).where(old).order_by(deliveries.c.finished_at).limit(PURGE_BATCH)
            while self._delete(oldest) == PURGE_BATCH:
                pass

    def _delete(self, ids: Select[tuple[str]]) -> int:
        with self._database.write() as connection:
            chosen = list(connection.execute(ids).scalars())
            # The foreign key deletes their attempts as well.
            connection.execute(delete(deliveries).where(deliveries.c.id.in_(chosen)))
        return len(chosen)

    # For the API

    def get(self, owner: str, delivery_id: str) -> Delivery:
        """Return a delivery of the owner; raise NotFound for another owner's as well."""
        condition = (deliveries.c.id == delivery_id) & (deliveries.c.owner == owner)
        with self._database.read() as connection:
            row = connection.execute(select(*_COLUMNS).where(condition)).one_or_none()
        if row is None:
            raise NotFound("There is no delivery with this id.")
        return _delivery_from_row(row)

    def list_attempts(self, delivery_id: str) -> list[DeliveryAttempt]:
        """Return the attempts of a delivery, oldest first."""
        query = (
            select(delivery_attempts)
            .where(delivery_attempts.c.delivery == delivery_id)
            .order_by(delivery_attempts.c.id)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [DeliveryAttempt(row.at, row.duration_ms, row.status, row.error, row.excerpt) for row in rows]

    def page(
        self, owner: str, filters: Mapping[str, str], cursor: Cursor | None, limit: int
    ) -> tuple[list[Delivery], Cursor | None]:
        """Return a page of the owner's deliveries, newest first, and the cursor of the next page.

        ``filters`` may have ``webhook``, ``state`` and ``job_id``.
        """
        of_job = "job_id" in filters
        of_webhook = "webhook" in filters and not of_job
        query = select(*_COLUMNS)
        for name, value in (filters if of_webhook else {**filters, "owner": owner}).items():
            # A job has few deliveries: no other index may be used, which SQLite would rather do.
            is_hidden = of_job and name != "job_id"
            query = query.where((func.coalesce(deliveries.c[name], "") if is_hidden else deliveries.c[name]) == value)
        if cursor:
            # As one comparison, which is a place in the index.
            query = query.where(tuple_(deliveries.c.created_at, deliveries.c.id) < (cursor.time_ms, cursor.id))
        query = query.order_by(deliveries.c.created_at.desc(), deliveries.c.id.desc()).limit(limit + 1)
        if of_webhook:
            # All deliveries of a webhook have its owner. The planner does not know that, and would expect so few rows
            # of both that it reads and sorts all of the webhook.
            found = query.subquery()
            query = select(found).where(found.c.owner == owner)
            query = query.order_by(found.c.created_at.desc(), found.c.id.desc())
        with self._database.read() as connection:
            rows = [_delivery_from_row(row) for row in connection.execute(query)]
        # One row more than the page was read, to know whether another page follows.
        page = rows[:limit]
        return page, Cursor(page[-1].created_at, page[-1].id) if len(rows) > limit else None

    def redeliver(self, owner: str, delivery_id: str) -> Delivery:
        """Make a finished delivery due again, under the same id and with a new retry schedule.

        Raises:
            NotFound: the owner has no such delivery.
            Conflict: it is pending, or its webhook is disabled or deleted.
        """
        delivery = self.get(owner, delivery_id)
        if not self._requeue((deliveries.c.id == delivery.id) & (deliveries.c.state != DeliveryState.PENDING)):
            raise Conflict("The delivery is still pending, or its webhook is disabled or deleted.")
        return self.get(owner, delivery.id)

    def redeliver_failed(self, owner: str, since_ms: int, webhook_id: str | None) -> int:
        """Make due again what failed since then, except ephemeral events; return their number."""
        failed = (
            (deliveries.c.owner == owner)
            & (deliveries.c.state == DeliveryState.FAILED)
            & (deliveries.c.created_at >= since_ms)
            & deliveries.c.type.not_in(EPHEMERAL_EVENTS)
        )
        return self._requeue(failed & (deliveries.c.webhook == webhook_id) if webhook_id else failed)

    def _requeue(self, condition: Any) -> int:
        enabled = select(webhooks.c.id).where(webhooks.c.disabled_at.is_(None))
        can_receive = deliveries.c.webhook.is_(None) | deliveries.c.webhook.in_(enabled)
        values = {"state": DeliveryState.PENDING, "tries": 0, "finished_at": None, "reason": None}
        with self._database.write() as connection:
            requeue = update(deliveries).where(condition & can_receive)
            return connection.execute(requeue.values(next_at=self._clock.now_ms(), **values)).rowcount


def destination_key(owner: str, url: str, webhook_id: str | None = None) -> str:
    """Return the key of a delivery's queue: caller, webhook (if any), scheme, host and port.

    Callers do not wait for one another, nor do a caller's webhooks at the same host.
    """
    target = parse_webhook_url(url)
    sender = f"{owner} {webhook_id}" if webhook_id else owner
    return f"{sender} {target.scheme}://{target.host}:{target.port}"


def _row_values(delivery: NewDelivery, now_ms: int) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "owner": delivery.owner,
        "webhook": delivery.subscription,
        "job_id": delivery.job_id,
        "url": delivery.url,
        "destination": destination_key(delivery.owner, delivery.url, delivery.subscription),
        "type": delivery.type,
        "body": delivery.body,
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
