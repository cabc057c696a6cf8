"""Events of the gallery on their way from SQL to webhooks and event streams.

Stores of the gallery write an event in the transaction of the change, so none is lost. Its webhook deliveries are
written once, because their ids are derived from the event; a process that dies in between may repeat an event in the
stream of its owner.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from redis import Redis
from sqlalchemy import Engine

from schemas.gallery.events import GalleryEvent
from schemas.jobs.event_payloads import webhook_payload
from schemas.webhooks.subscriptions import NewDelivery
from stores.gallery.events import EventQueue, QueuedEvent
from stores.redis.keys import CHANGES_CHANNEL, owner_feed_key
from stores.webhooks.deliveries import Deliveries
from stores.webhooks.outbox import webhook_delivery
from stores.webhooks.subscriptions import Subscriptions

BATCH_SIZE = 500
# As in ``lua/shared/records.lua``.
MAX_FEED_EVENTS, FEED_TTL_S = 2000, 86_400


class GalleryEventPublisher:
    """Sends the events of one database on."""

    def __init__(
        self, client: Redis, engine: Engine, subscriptions: Subscriptions, deliveries: Deliveries, public_url: str
    ) -> None:
        self._redis = client
        self._queue = EventQueue(engine)
        self._subscriptions = subscriptions
        self._deliveries = deliveries
        self._public_url = public_url

    def publish(self) -> int:
        """Send up to BATCH_SIZE events to webhooks and streams, the oldest first; return their number.

        Raises:
            Unavailable: Redis or the database does not answer; no event is lost.
        """
        events = self._queue.read(BATCH_SIZE)
        if events:
            data = [self._data(event) for event in events]
            self._deliveries.add(list(self._deliveries_of(events, data)))
            self._append_to_feeds(events, data)
            self._queue.delete([event.id for event in events])
        return len(events)

    def _deliveries_of(self, events: Sequence[QueuedEvent], data: Sequence[dict[str, Any]]) -> Iterator[NewDelivery]:
        webhooks = self._subscriptions.enabled_for({event.owner for event in events})
        for event, values in zip(events, data, strict=True):
            body = json.dumps(webhook_payload(event.type, event.time_ms, values))
            for webhook in webhooks:
                if webhook.owner == event.owner and event.type in webhook.types:
                    yield webhook_delivery(webhook, event.type, body, f"gallery {event.id} {event.time_ms}")

    def _append_to_feeds(self, events: Sequence[QueuedEvent], data: Sequence[dict[str, Any]]) -> None:
        self._append_to_feeds_on(self._redis, events, data)

    def _append_to_feeds_on(self, client: Redis, events: Sequence[QueuedEvent], data: Sequence[dict[str, Any]]) -> None:
        with client.pipeline(transaction=False) as pipe:
            for event, values in zip(events, data, strict=True):
                key = owner_feed_key(event.owner)
                fields: dict[Any, Any] = {"job": "", "seq": 0, "type": event.type, "time": event.time_ms}
                pipe.xadd(key, fields | {"data": json.dumps(values)}, maxlen=MAX_FEED_EVENTS)
                pipe.expire(key, FEED_TTL_S)
            for owner in {event.owner for event in events}:
                pipe.publish(CHANGES_CHANNEL, f" 0 {owner}")
            pipe.execute()

    def _data(self, event: QueuedEvent) -> dict[str, Any]:
        """Return the data of the event, with the URL of its page, and of the picture if there is one."""
        path = event.data["collection"] if "collection" in event.data else event.data["slug"]
        data = event.data | {"url": f"{self._public_url}/c/{path}"}
        if event.type != GalleryEvent.COLLECTION_CREATED:
            data["url"] += f"/{data['tokenId']}"
        asset = data.pop("asset", None)
        return data | ({"image": f"{self._public_url}/images/asset/{asset}"} if asset else {})
