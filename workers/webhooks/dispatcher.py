"""Webhook dispatcher: claims due deliveries from SQL, posts them and records the outcomes.

Three threads share the work: an event loop for the HTTP calls, one thread for SQL, and one that moves events from the
Redis outbox into SQL. Outcomes are written in batches, one transaction for all attempts since the last write. Several
dispatchers may run: a delivery's lease keeps them apart, and outcomes recorded after their lease are ignored.
"""

import asyncio
import contextlib
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from ops.processes.liveness_file import touch_liveness_file
from schemas.errors import Conflict, NotFound, Unavailable
from schemas.webhooks.retry_policy import DISABLE_AFTER_S, AttemptOutcome, next_delay_s
from schemas.webhooks.subscriptions import EPHEMERAL_EVENTS, Delivery, DeliveryAttempt, DeliveryState, Subscription
from stores import Stores
from stores.webhooks.deliveries import DeliveryOutcome
from workers.webhooks.client import WebhookClient
from workers.webhooks.delivery_span import open_delivery_span, trace_headers
from workers.webhooks.destinations import DestinationQueue, PreparedDelivery

POLL_INTERVAL_S = 1.0
LIVENESS_INTERVAL_S = 5.0
OUTAGE_RETRY_S = 1.0
STOP_GRACE_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """A delivery with the record and the outcome of one attempt."""

    prepared: PreparedDelivery
    attempt: DeliveryAttempt
    outcome: AttemptOutcome


class WebhookDispatcher:
    """Delivers webhooks on background threads until it is stopped."""

    def __init__(self, stores: Stores, make_client: Callable[[], WebhookClient] | None = None) -> None:
        """``make_client`` is called on the dispatcher's event loop."""
        self._stores = stores
        self._make_client = make_client or (lambda: WebhookClient(stores.address_policy))
        self._gallery_events = stores.gallery_events
        self._signer = stores.subscriptions.signer
        self._sql_executor = ThreadPoolExecutor(1, thread_name_prefix="deliveries")
        self._stop_event = threading.Event()
        self._threads = [
            threading.Thread(target=lambda: asyncio.run(self._run()), name="webhooks"),
            *(
                threading.Thread(target=self._drain_outbox, args=(each,), name="outbox")
                for each in stores.servers.members
            ),
        ]
        if len(stores.servers) > 1:
            # Their owners are on all servers, of which one may be down.
            self._threads.append(threading.Thread(target=self._publish_gallery_events, name="gallery events"))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work_available = asyncio.Event()
        self._queues: defaultdict[str, DestinationQueue] = defaultdict(DestinationQueue)
        self._attempt_tasks: set[asyncio.Task[None]] = set()
        self._results: list[AttemptResult] = []
        self._unattempted: list[Delivery] = []

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Claim no more deliveries, record the running ones, and wait for the threads to end."""
        self._stop_event.set()
        self._wake()
        for each in self._stores.servers.members:
            # One that is down has ended the blocking read of its outbox thread, or does so without being asked.
            if not each.redis.availability.is_down:
                with contextlib.suppress(Unavailable):
                    # Ends the blocking read of the outbox thread.
                    each.outbox.wake_dispatchers()
        for thread in self._threads:
            thread.join()
        self._sql_executor.shutdown()

    # On the outbox threads

    def _drain_outbox(self, stores: Stores) -> None:
        while not self._stop_event.is_set():
            try:
                if stores.outbox.wait():
                    while stores.outbox.drain():
                        self._wake()
                while len(stores.servers) == 1 and self._gallery_events.publish():
                    self._wake()
            except Unavailable as error:
                log.warning("outbox.unavailable", error=str(error))
                self._stop_event.wait(OUTAGE_RETRY_S)

    def _publish_gallery_events(self) -> None:
        while not self._stop_event.wait(POLL_INTERVAL_S):
            try:
                while self._gallery_events.publish():
                    self._wake()
            except Unavailable as error:
                log.warning("outbox.unavailable", error=str(error))

    def _wake(self) -> None:
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._work_available.set)

    # On the event loop

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        client = self._make_client()
        liveness = asyncio.create_task(self._show_liveness())
        while not self._stop_event.is_set():
            try:
                await self._flush_results()
                await self._claim_due(client)
            except Unavailable as error:
                log.warning("webhooks.unavailable", error=str(error))
                await asyncio.sleep(OUTAGE_RETRY_S)
            await self._wait_for_work()
            self._attempt_tasks = {task for task in self._attempt_tasks if not _is_finished(task)}
        await self._shut_down()
        liveness.cancel()
        await client.close()

    async def _show_liveness(self) -> None:
        """Touch LIVENESS_FILE while this loop runs, also while SQL or Redis does not answer."""
        while True:
            touch_liveness_file(self._stores.settings.liveness_file)
            await asyncio.sleep(LIVENESS_INTERVAL_S)

    async def _wait_for_work(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_INTERVAL_S):
                await self._work_available.wait()
        self._work_available.clear()

    async def _claim_due(self, client: WebhookClient) -> None:
        now_s = time.monotonic()
        destinations = await self._run_sql(self._stores.deliveries.due_destinations)
        limits = {key: limit for key in destinations if (limit := self._queues[key].capacity(now_s))}
        for key, prepared in await self._run_sql(lambda: self._claim_and_prepare(limits)) if limits else ():
            self._queues[key].waiting.append(prepared)
        for key in tuple(self._queues):
            self._start_attempts(client, self._queues[key])
            if self._queues[key].is_idle:
                del self._queues[key]

    def _start_attempts(self, client: WebhookClient, queue: DestinationQueue) -> None:
        if not self._stop_event.is_set():
            for prepared in queue.start_ready(time.monotonic()):
                self._attempt_tasks.add(asyncio.create_task(self._attempt(client, queue, prepared)))

    async def _attempt(self, client: WebhookClient, queue: DestinationQueue, prepared: PreparedDelivery) -> None:
        at, started = self._stores.clock.now_ms(), time.monotonic()
        delivery = prepared.delivery
        body = delivery.body.encode()
        headers = self._signer.headers(delivery.id, at // 1000, body, prepared.secrets)
        try:
            async with open_delivery_span(self._stores, delivery) as delivery_span:
                outcome = await client.post(delivery.url, {**headers, **trace_headers()}, body, delivery.owner)
                if not outcome.is_delivered:
                    delivery_span.fail(str(outcome.status or "no response"))
        except Exception:
            # A bug that one delivery triggers must not stop the delivery of all others.
            log.exception("delivery.internal_error", delivery=delivery.id)
            outcome = AttemptOutcome(error="Internal error; Darkroom's log has the details.")
        duration_ms = round((time.monotonic() - started) * 1000)
        attempt = DeliveryAttempt(at, duration_ms, outcome.status, outcome.error, outcome.excerpt)
        self._results.append(AttemptResult(prepared, attempt, outcome))
        released = queue.finish(outcome, time.monotonic())
        if outcome.is_gone and prepared.webhook:
            # A webhook has a queue to itself and is about to be disabled, so nothing in it may be sent.
            released += queue.drain()
        self._unattempted += [waiting.delivery for waiting in released]
        self._start_attempts(client, queue)
        self._work_available.set()

    async def _shut_down(self) -> None:
        """Wait for running attempts, then cancel them; another dispatcher repeats those once their lease expires."""
        self._unattempted += [prepared.delivery for queue in self._queues.values() for prepared in queue.waiting]
        if self._attempt_tasks:
            _, late = await asyncio.wait(self._attempt_tasks, timeout=STOP_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(Unavailable):
            await self._flush_results()

    async def _flush_results(self) -> None:
        """Record results and release unattempted deliveries. If SQL is unavailable both are kept for the next time."""
        results, self._results = self._results, []
        unattempted, self._unattempted = self._unattempted, []
        try:
            if results:
                outcomes = [self._delivery_outcome(result) for result in results]
                await self._run_sql(lambda: self._stores.deliveries.record_outcomes(outcomes))
        except Unavailable:
            self._results, self._unattempted = results + self._results, unattempted + self._unattempted
            raise
        if unattempted:
            await self._run_sql(lambda: self._stores.deliveries.release(unattempted))
        await self._run_sql(lambda: self._update_health(results))

    async def _run_sql(self, query: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._sql_executor, query)

    def _delivery_outcome(self, result: AttemptResult) -> DeliveryOutcome:
        delivery, outcome = result.prepared.delivery, result.outcome
        if outcome.is_delivered:
            return DeliveryOutcome(delivery, result.attempt, DeliveryState.DELIVERED)
        delay_s = next_delay_s(delivery.tries + 1, outcome, random.uniform)
        if delay_s is None or outcome.is_final or delivery.type in EPHEMERAL_EVENTS:
            log.info("delivery.failed", delivery=delivery.id, reason=outcome.reason)
            return DeliveryOutcome(delivery, result.attempt, DeliveryState.FAILED, reason=outcome.reason)
        next_at = self._stores.clock.now_ms() + round(delay_s * 1000)
        return DeliveryOutcome(delivery, result.attempt, DeliveryState.PENDING, next_at)

    # On the SQL thread

    def _claim_and_prepare(self, limits: Mapping[str, int]) -> list[tuple[str, PreparedDelivery]]:
        """Claim up to the given number of deliveries for each destination, and look up what signs them."""
        claimed = [(key, item) for key, limit in limits.items() for item in self._stores.deliveries.claim(key, limit)]
        webhook_ids = {delivery.subscription for _, delivery in claimed if delivery.subscription}
        webhooks = self._stores.subscriptions.get_many(webhook_ids)
        return [(key, self._prepare(delivery, webhooks.get(delivery.subscription or ""))) for key, delivery in claimed]

    def _prepare(self, delivery: Delivery, webhook: Subscription | None) -> PreparedDelivery:
        if delivery.subscription is None:
            return PreparedDelivery(delivery, None, (self._stores.subscriptions.owner_secret(delivery.owner),))
        return PreparedDelivery(delivery, webhook, webhook.secrets if webhook else ())

    def _update_health(self, results: Sequence[AttemptResult]) -> None:
        """Record which webhooks began or ceased to fail; disable those that answered 410 or failed for too long."""
        outcomes = [(result.prepared.webhook, result.outcome) for result in results if result.prepared.webhook]
        recovered = {webhook.id for webhook, outcome in outcomes if outcome.is_delivered and webhook.failing_since}
        failing = {webhook.id for webhook, outcome in outcomes if not outcome.is_delivered} - recovered
        # A receiver can accept a delivery and decline all further ones in the same answer.
        gone = {webhook.id for webhook, outcome in outcomes if outcome.is_gone}
        if recovered or failing:
            self._stores.subscriptions.record_health(recovered, failing)
        if failing or gone:
            for webhook in self._stores.subscriptions.get_many(failing | gone).values():
                self._disable_if_dead(webhook, is_gone=webhook.id in gone)

    def _disable_if_dead(self, webhook: Subscription, *, is_gone: bool) -> None:
        now_ms = self._stores.clock.now_ms()
        failing_s = (now_ms - (webhook.failing_since or now_ms)) / 1000
        if webhook.disabled_at is not None or not (is_gone or failing_s > DISABLE_AFTER_S):
            return
        stores = self._stores.servers.of(webhook.owner)
        try:
            disabled = stores.subscriptions.disable(webhook.owner, webhook.id, "gone" if is_gone else "failing")
        except (Conflict, NotFound):
            # Disabled or deleted by its owner in the meantime.
            return
        log.warning("webhook.disabled", webhook=webhook.id, because=disabled.disabled_because)
        self._stores.deliveries.fail_pending(webhook.id, "The webhook was disabled.")
        stores.outbox.notify_disabled(disabled)


def _is_finished(task: "asyncio.Task[None]") -> bool:
    """Return whether a task has ended; raise its exception, if it had one, so that bugs end the process."""
    if task.done():
        task.result()
    return task.done()
