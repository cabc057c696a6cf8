"""The way of events from Redis, where they are written together with their job, into SQL, where deliveries are.

Emptied by ``workers.webhooks.dispatcher`` at once, and by ``workers.clock.sweeper`` where no courier has. An event
leaves the outbox only after its deliveries are written; should a process die in between they are written again, under
the same ids.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

from redis import Redis

from ops.infra.clock import Clock
from schemas.jobs.event_payloads import job_notice, notice, workload_notice
from schemas.jobs.events import JOB_TYPES, WORKLOAD_TYPES, Event, EventType
from schemas.webhooks.subscriptions import DISABLED_TYPE, Outgoing, Subscription
from stores.redis.keys import read_event
from stores.redis.scripts import redis_errors
from stores.webhooks.deliveries import Deliveries
from stores.webhooks.subscriptions import Webhooks

OUTBOX = "dr:outbox"
AT_ONCE = 500
WAIT_MS = 1_000
OVERDUE_MS = 3_000

Row = tuple[bytes, dict[bytes, bytes]]


class Outbox:
    """The outbox of one Redis."""

    def __init__(
        self, client: Redis, clock: Clock, webhooks: Webhooks, deliveries: Deliveries, public_url: str
    ) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._clock = clock
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._public_url = public_url

    def wait(self) -> bool:
        """Whether there is something in it, now or within a second.

        Raises:
            Unavailable: Redis does not answer.
        """
        with redis_errors():
            return bool(self._redis.xread({OUTBOX: "0-0"}, count=1, block=WAIT_MS))

    def ring(self) -> None:
        """Wake the couriers: something is due that did not come this way."""
        with redis_errors():
            self._redis.xadd(OUTBOX, {"job": ""})

    def overdue(self) -> bool:
        """Whether something has been in it for longer than any courier leaves it there."""
        with redis_errors():
            rows = cast(list[Row], self._redis.xrange(OUTBOX, count=1))
            seconds, micros = self._redis.time()
        return bool(rows) and seconds * 1000 + micros // 1000 - int(rows[0][0].partition(b"-")[0]) > OVERDUE_MS

    def empty(self) -> int:
        """Write the deliveries that the events in it call for, at most AT_ONCE events; how many events those were.

        Raises:
            Unavailable: Redis or the database does not answer; nothing is lost.
        """
        with redis_errors():
            rows = cast(list[Row], self._redis.xrange(OUTBOX, count=AT_ONCE))
        if rows:
            self._deliveries.add(list(self._outgoing([fields for _, fields in rows])))
            with redis_errors():
                self._redis.xdel(OUTBOX, *(ident for ident, _ in rows))
        return len(rows)

    def tell_of_disabled(self, webhook: Subscription) -> None:
        """Let the owner of a webhook that was disabled know: by the other webhooks and in the stream of events."""
        now = self._clock.now_ms()
        data = {"webhookId": webhook.id, "url": webhook.url, "because": webhook.disabled_because}
        body = json.dumps(notice(DISABLED_TYPE, now, data))
        others = [one for one in self._webhooks.wanting([webhook.owner]) if DISABLED_TYPE in one.types]
        self._deliveries.add(
            [_to_webhook(one, DISABLED_TYPE, body, f"{webhook.id} {webhook.disabled_at}") for one in others]
        )
        fields: dict[Any, Any] = {"job": "", "seq": 0, "type": EventType.WEBHOOK_DISABLED, "time": now}
        with redis_errors():
            self._redis.xadd(f"dr:feed:{webhook.owner}", fields | {"data": json.dumps(data)})
            self._redis.publish("dr:changes", f" 0 {webhook.owner}")

    def _outgoing(self, rows: Sequence[dict[bytes, bytes]]) -> Iterator[Outgoing]:
        told = [fields for fields in rows if fields[b"job"]]
        owners = {fields[b"owner"].decode() for fields in told}
        wanting = self._webhooks.wanting(owners) if owners else []
        for fields in told:
            event = read_event(fields[b"job"].decode(), int(fields[b"seq"]), fields)
            yield from self._of_event(event, fields[b"owner"].decode(), fields[b"webhook"].decode(), wanting)

    def _of_event(self, event: Event, owner: str, url: str, wanting: Sequence[Subscription]) -> Iterator[Outgoing]:
        kind = JOB_TYPES[event.type]
        # A job ends once, so of its end a number would tell nothing more.
        about = f"{event.job_id} {kind}" if event.final else f"{event.job_id} {kind} {event.seq}"
        body = json.dumps(job_notice(self._public_url, event))
        for webhook in wanting:
            if webhook.owner == owner and kind in webhook.types:
                yield _to_webhook(webhook, kind, body, about, event.job_id)
        if url and event.final:
            flat = json.dumps(workload_notice(self._public_url, event))
            ident = _ident("job", f"{event.job_id} {WORKLOAD_TYPES[event.type]}")
            yield Outgoing(ident, owner, url, WORKLOAD_TYPES[event.type], flat, job_id=event.job_id)


def _to_webhook(webhook: Subscription, kind: str, body: str, about: str, job_id: str | None = None) -> Outgoing:
    return Outgoing(_ident(webhook.id, about), webhook.owner, webhook.url, kind, body, webhook.id, job_id)


def _ident(to: str, about: str) -> str:
    return "msg_" + hashlib.sha256(f"{to} {about}".encode()).hexdigest()[:32]
