"""Events on several servers that no script of a job writes: in feeds of owners, and of library scans."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Engine

from ops.infra.clock import Clock
from schemas.errors import Unavailable
from stores.gallery.events import QueuedEvent
from stores.library.scan_requests import ScanRequest, ScanRequests, SharedRequest
from stores.redis.client import StoreClient
from stores.shards.placement import Shards
from stores.webhooks.deliveries import Deliveries
from stores.webhooks.gallery_events import GalleryEventPublisher
from stores.webhooks.outbox import Outbox
from stores.webhooks.subscriptions import Subscriptions


class RoutedOutbox(Outbox):
    """The outbox of one server; what it writes into feeds goes to the owner's server, or to another if that is down."""

    def __init__(
        self,
        client: StoreClient,
        clock: Clock,
        subscriptions: Subscriptions,
        deliveries: Deliveries,
        public_url: str,
        *,
        outboxes: Shards[Outbox],
    ) -> None:
        super().__init__(client, clock, subscriptions, deliveries, public_url)
        self._outboxes = outboxes

    def _append_to_feed(self, owner: str, fields: dict[Any, Any]) -> None:
        self._outboxes.try_in_turn(owner, lambda outbox: Outbox._append_to_feed(outbox, owner, fields))  # noqa: SLF001 - of the same class


class RoutedGalleryEvents(GalleryEventPublisher):
    """Sends the events of one database to the servers of their owners, or to another if that is down."""

    def __init__(
        self,
        clients: Shards[StoreClient],
        engine: Engine,
        subscriptions: Subscriptions,
        deliveries: Deliveries,
        public_url: str,
    ) -> None:
        super().__init__(clients.members[0], engine, subscriptions, deliveries, public_url)
        self._clients = clients

    def _append_to_feeds(self, events: Sequence[QueuedEvent], data: Sequence[dict[str, Any]]) -> None:
        by_number: dict[int, list[int]] = {}
        for position, event in enumerate(events):
            by_number.setdefault(self._clients.home(event.owner), []).append(position)
        for positions in by_number.values():
            some, values = [events[each] for each in positions], [data[each] for each in positions]
            self._clients.try_in_turn(some[0].owner, partial(self._append_to_feeds_on, events=some, data=values))


class RoutedScanRequests(ScanRequests):
    """Requests for scans on whichever server answers; events of scans on each of them."""

    def __init__(self, client: StoreClient, clock: Clock, requests: Shards[ScanRequests]) -> None:
        super().__init__(client, clock)
        self._requests = requests

    def requeue(self, requests: Sequence[ScanRequest]) -> None:
        """Put claimed requests back, for another process to claim."""
        self._requests.try_in_turn("", lambda each: each.requeue(requests))

    def claim(self, timeout_s: float) -> list[ScanRequest]:
        """Take all pending requests; wait for one for up to ``timeout_s``."""
        share_s = timeout_s / len(self._requests)
        found = self._requests.try_each(lambda each: each.claim(share_s))
        return [request for part in found for request in part]

    def share(self, request: ScanRequest, folders: frozenset[str]) -> None:
        """Have the folders of several processes scanned for one request."""
        self._requests.try_in_turn("", lambda each: each.share(request, folders))

    def list_shared(self) -> list[SharedRequest]:
        """Return the shared requests that are not answered yet."""
        return [shared for part in self._requests.try_each(lambda each: each.list_shared()) for shared in part]

    def renew_shares(self, folders: frozenset[str]) -> None:
        """Note that the processes of these folders live, and will scan them for all requests that wait for them."""
        self._requests.try_each(lambda each: each.renew_shares(folders))

    def finish_share(self, scan_id: str, folders: frozenset[str], figures: Mapping[str, Any]) -> dict[str, Any] | None:
        """Note that folders have been scanned; with the last ones, the sum of all figures is published."""

        def finish(each: ScanRequests) -> tuple[ScanRequests, dict[str, Any] | None]:
            return each, each.finish_share(scan_id, folders, figures)

        ends = self._requests.try_each(finish)
        server, event = next(((server, done) for server, done in ends if done is not None), (None, None))
        if event is not None:
            with contextlib.suppress(Unavailable):
                self._requests.try_each(lambda each: None if each is server else each.publish(event))
        return event

    def publish(self, progress: Mapping[str, Any]) -> None:
        """Publish the progress of a scan."""
        with contextlib.suppress(Unavailable):
            self._requests.try_each(lambda each: each.publish(progress))
