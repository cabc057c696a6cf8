"""The outbox: a Redis stream of events that webhooks may want, on their way into deliveries in SQL.

Scripts write an entry in the same step as the job's change, so no event is lost. Dispatchers drain the outbox at once;
the clock drains it if no dispatcher has. An entry is deleted only after its deliveries are in SQL. A process that dies
in between causes a second write, which changes nothing, because delivery ids are derived from the event.
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
from stores.redis.job_decoding import decode_event
from stores.redis.keys import CHANGES_CHANNEL, OUTBOX, owner_feed_key
from stores.webhooks.deliveries import Deliveries
from stores.webhooks.subscriptions import Subscriptions

BATCH_SIZE = 500
BLOCK_MS = 1_000
STALE_MS = 3_000

StreamEntry = tuple[bytes, dict[bytes, bytes]]


class Outbox:
    """The outbox of one Redis. All methods raise Unavailable while Redis does not answer."""

    def __init__(
        self, client: Redis, clock: Clock, subscriptions: Subscriptions, deliveries: Deliveries, public_url: str
    ) -> None:
        self._redis = client
        self._clock = clock
        self._subscriptions = subscriptions
        self._deliveries = deliveries
        self._public_url = public_url

    def wait(self) -> bool:
        """Wait up to BLOCK_MS for an entry; return whether there is one."""
        return bool(self._redis.xread({OUTBOX: "0-0"}, count=1, block=BLOCK_MS))

    def wake_dispatchers(self) -> None:
        """Add an entry without a job: dispatchers wake up and look for due deliveries."""
        self._redis.xadd(OUTBOX, {"job": ""})

    def has_stale_entries(self) -> bool:
        """Return whether the oldest entry is older than STALE_MS, that is, whether no dispatcher is at work."""
        entries = cast(list[StreamEntry], self._redis.xrange(OUTBOX, count=1))
        # The stream's ids hold Redis' time, so it is compared with Redis' clock and not with this machine's.
        seconds, microseconds = self._redis.time()
        now_ms = seconds * 1000 + microseconds // 1000
        return bool(entries) and now_ms - int(entries[0][0].partition(b"-")[0]) > STALE_MS

    def drain(self) -> int:
        """Write the deliveries of up to BATCH_SIZE entries and delete these entries; return their number.

        Raises:
            Unavailable: Redis or the database does not answer; no entry is lost.
        """
        entries = cast(list[StreamEntry], self._redis.xrange(OUTBOX, count=BATCH_SIZE))
        if entries:
            self._deliveries.add(list(self._deliveries_of([fields for _, fields in entries])))
            self._redis.xdel(OUTBOX, *(entry_id for entry_id, _ in entries))
        return len(entries)

    def notify_disabled(self, webhook: Subscription) -> None:
        """Notify the owner of a disabled webhook, through the owner's other webhooks and event stream."""
        now_ms = self._clock.now_ms()
        data = {"webhookId": webhook.id, "url": webhook.url, "because": webhook.disabled_because}
        body = json.dumps(webhook_payload(WEBHOOK_DISABLED_EVENT, now_ms, data))
        event_key = f"{webhook.id} {webhook.disabled_at}"
        self._deliveries.add(
            [
                webhook_delivery(other, WEBHOOK_DISABLED_EVENT, body, event_key)
                for other in self._subscriptions.enabled_for([webhook.owner])
                if WEBHOOK_DISABLED_EVENT in other.types
            ]
        )
        fields: dict[Any, Any] = {"job": "", "seq": 0, "type": EventType.WEBHOOK_DISABLED, "time": now_ms}
        self._append_to_feed(webhook.owner, fields | {"data": json.dumps(data)})

    def _append_to_feed(self, owner: str, fields: dict[Any, Any]) -> None:
        self._redis.xadd(owner_feed_key(owner), fields)
        self._redis.publish(CHANGES_CHANNEL, f" 0 {owner}")

    def _deliveries_of(self, entries: Sequence[dict[bytes, bytes]]) -> Iterator[NewDelivery]:
        events = [fields for fields in entries if fields[b"job"]]
        owners = {fields[b"owner"].decode() for fields in events}
        webhooks = self._subscriptions.enabled_for(owners) if owners else []
        for fields in events:
            event = decode_event(fields[b"job"].decode(), int(fields[b"seq"]), fields)
            yield from self._event_deliveries(event, fields[b"owner"].decode(), fields[b"webhook"].decode(), webhooks)

    def _event_deliveries(
        self, event: Event, owner: str, url: str, webhooks: Sequence[Subscription]
    ) -> Iterator[NewDelivery]:
        """Yield an event's deliveries: to subscribed webhooks, and at its end to the URL that the job names."""
        name = JOB_EVENT_NAMES[event.type]
        # The sequence number distinguishes repeated events; a job has one final event.
        event_key = f"{event.job_id} {name}" if event.is_final else f"{event.job_id} {name} {event.seq}"
        body = json.dumps(job_webhook_payload(self._public_url, event))
        for webhook in webhooks:
            if webhook.owner == owner and name in webhook.types:
                yield webhook_delivery(webhook, name, body, event_key, event.job_id)
        if url and event.is_final:
            workload_name = WORKLOAD_EVENT_NAMES[event.type]
            workload_body = json.dumps(workload_webhook_payload(self._public_url, event))
            delivery_id = _delivery_id("job", f"{event.job_id} {workload_name}")
            yield NewDelivery(delivery_id, owner, url, workload_name, workload_body, job_id=event.job_id)


def webhook_delivery(
    webhook: Subscription, name: str, body: str, event_key: str, job_id: str | None = None
) -> NewDelivery:
    """Return the delivery of an event to a webhook. ``event_key`` identifies the event: each is delivered once."""
    return NewDelivery(_delivery_id(webhook.id, event_key), webhook.owner, webhook.url, name, body, webhook.id, job_id)


def _delivery_id(recipient: str, event_key: str) -> str:
    return "msg_" + hashlib.sha256(f"{recipient} {event_key}".encode()).hexdigest()[:32]
