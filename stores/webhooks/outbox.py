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
from schemas.jobs.event_payloads import job_webhook_payload, webhook_payload, workload_webhook_payload
from schemas.jobs.events import JOB_EVENT_NAMES, WORKLOAD_EVENT_NAMES, Event, EventType
from schemas.webhooks.subscriptions import WEBHOOK_DISABLED_EVENT, NewDelivery, Subscription
from stores.redis.errors import redis_errors
from stores.redis.job_decoding import decode_event
from stores.webhooks.deliveries import Deliveries
from stores.webhooks.subscriptions import Subscriptions

OUTBOX = "dr:outbox"
BATCH_SIZE = 500
BLOCK_MS = 1_000
STALE_MS = 3_000

StreamEntry = tuple[bytes, dict[bytes, bytes]]


class Outbox:
    """The outbox of one Redis."""

    def __init__(
        self, client: Redis, clock: Clock, subscriptions: Subscriptions, deliveries: Deliveries, public_url: str
    ) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._clock = clock
        self._subscriptions = subscriptions
        self._deliveries = deliveries
        self._public_url = public_url

    def wait(self) -> bool:
        """Whether there is something in it, now or within a second.

        Raises:
            Unavailable: Redis does not answer.
        """
        with redis_errors():
            return bool(self._redis.xread({OUTBOX: "0-0"}, count=1, block=BLOCK_MS))

    def wake_dispatchers(self) -> None:
        """Wake the couriers: something is due that did not come this way."""
        with redis_errors():
            self._redis.xadd(OUTBOX, {"job": ""})

    def has_stale_entries(self) -> bool:
        """Whether something has been in it for longer than any courier leaves it there."""
        with redis_errors():
            rows = cast(list[StreamEntry], self._redis.xrange(OUTBOX, count=1))
            seconds, micros = self._redis.time()
        return bool(rows) and seconds * 1000 + micros // 1000 - int(rows[0][0].partition(b"-")[0]) > STALE_MS

    def drain(self) -> int:
        """Write the deliveries that the events in it call for, at most AT_ONCE events; how many events those were.

        Raises:
            Unavailable: Redis or the database does not answer; nothing is lost.
        """
        with redis_errors():
            rows = cast(list[StreamEntry], self._redis.xrange(OUTBOX, count=BATCH_SIZE))
        if rows:
            self._deliveries.add(list(self._deliveries_of([fields for _, fields in rows])))
            with redis_errors():
                self._redis.xdel(OUTBOX, *(ident for ident, _ in rows))
        return len(rows)

    def notify_disabled(self, webhook: Subscription) -> None:
        """Let the owner of a webhook that was disabled know: by the other webhooks and in the stream of events."""
        now = self._clock.now_ms()
        data = {"webhookId": webhook.id, "url": webhook.url, "because": webhook.disabled_because}
        body = json.dumps(webhook_payload(WEBHOOK_DISABLED_EVENT, now, data))
        others = [
            one for one in self._subscriptions.enabled_for([webhook.owner]) if WEBHOOK_DISABLED_EVENT in one.types
        ]
        self._deliveries.add(
            [
                _webhook_delivery(one, WEBHOOK_DISABLED_EVENT, body, f"{webhook.id} {webhook.disabled_at}")
                for one in others
            ]
        )
        fields: dict[Any, Any] = {"job": "", "seq": 0, "type": EventType.WEBHOOK_DISABLED, "time": now}
        with redis_errors():
            self._redis.xadd(f"dr:feed:{webhook.owner}", fields | {"data": json.dumps(data)})
            self._redis.publish("dr:changes", f" 0 {webhook.owner}")

    def _deliveries_of(self, entries: Sequence[dict[bytes, bytes]]) -> Iterator[NewDelivery]:
        told = [fields for fields in entries if fields[b"job"]]
        owners = {fields[b"owner"].decode() for fields in told}
        wanting = self._subscriptions.enabled_for(owners) if owners else []
        for fields in told:
            event = decode_event(fields[b"job"].decode(), int(fields[b"seq"]), fields)
            yield from self._event_deliveries(event, fields[b"owner"].decode(), fields[b"webhook"].decode(), wanting)

    def _event_deliveries(
        self, event: Event, owner: str, url: str, webhooks: Sequence[Subscription]
    ) -> Iterator[NewDelivery]:
        kind = JOB_EVENT_NAMES[event.type]
        # A job ends once, so of its end a number would tell nothing more.
        about = f"{event.job_id} {kind}" if event.is_final else f"{event.job_id} {kind} {event.seq}"
        body = json.dumps(job_webhook_payload(self._public_url, event))
        for webhook in webhooks:
            if webhook.owner == owner and kind in webhook.types:
                yield _webhook_delivery(webhook, kind, body, about, event.job_id)
        if url and event.is_final:
            flat = json.dumps(workload_webhook_payload(self._public_url, event))
            ident = _delivery_id("job", f"{event.job_id} {WORKLOAD_EVENT_NAMES[event.type]}")
            yield NewDelivery(ident, owner, url, WORKLOAD_EVENT_NAMES[event.type], flat, job_id=event.job_id)


def _webhook_delivery(
    webhook: Subscription, kind: str, body: str, about: str, job_id: str | None = None
) -> NewDelivery:
    return NewDelivery(_delivery_id(webhook.id, about), webhook.owner, webhook.url, kind, body, webhook.id, job_id)


def _delivery_id(to: str, about: str) -> str:
    return "msg_" + hashlib.sha256(f"{to} {about}".encode()).hexdigest()[:32]
