"""The delivery of webhooks: takes what is due from SQL, calls, and writes down what came of it."""

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

from schemas.errors import Conflict, NotFound, Unavailable
from schemas.webhooks.retry_policy import DISABLE_AFTER_S, AttemptOutcome, next_delay_s
from schemas.webhooks.subscriptions import EPHEMERAL_EVENTS, Delivery, DeliveryAttempt, DeliveryState, Subscription
from stores import Stores
from stores.webhooks.deliveries import DeliveryOutcome
from workers.webhooks.client import WebhookClient
from workers.webhooks.destinations import DestinationQueue, PreparedDelivery

POLL_INTERVAL_S = 1.0
OUTAGE_RETRY_S = 1.0
STOP_GRACE_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """A delivery with what its attempt has brought."""

    prepared: PreparedDelivery
    attempt: DeliveryAttempt
    outcome: AttemptOutcome


class WebhookDispatcher:
    """Delivers what is due until told to stop."""

    def __init__(self, stores: Stores, make_client: Callable[[], WebhookClient] | None = None) -> None:
        """``caller`` makes what calls, on the courier's own loop."""
        self._stores = stores
        self._make_client = make_client or (lambda: WebhookClient(stores.address_policy))
        self._signer = stores.subscriptions.signer
        self._sql_executor = ThreadPoolExecutor(1, thread_name_prefix="deliveries")
        self._stop_event = threading.Event()
        self._threads = [
            threading.Thread(target=lambda: asyncio.run(self._run()), name="courier"),
            threading.Thread(target=self._drain_outbox, name="outbox"),
        ]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work_available = asyncio.Event()
        self._queues: defaultdict[str, DestinationQueue] = defaultdict(DestinationQueue)
        self._attempt_tasks: set[asyncio.Task[None]] = set()
        self._results: list[AttemptResult] = []
        self._unattempted: list[Delivery] = []

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more; returns when what is in hand has been written down."""
        self._stop_event.set()
        self._wake()
        with contextlib.suppress(Unavailable):
            self._stores.outbox.wake_dispatchers()
        for thread in self._threads:
            thread.join()
        self._sql_executor.shutdown()

    # The outbox, on a thread of its own

    def _drain_outbox(self) -> None:
        while not self._stop_event.is_set():
            try:
                if self._stores.outbox.wait():
                    while self._stores.outbox.drain():
                        self._wake()
            except Unavailable as error:
                log.warning("outbox.away", error=error.message)
                self._stop_event.wait(OUTAGE_RETRY_S)

    def _wake(self) -> None:
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._work_available.set)

    # Deliveries, on the event loop

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        caller = self._make_client()
        while not self._stop_event.is_set():
            try:
                await self._flush_results()
                await self._claim_due(caller)
            except Unavailable as error:
                log.warning("courier.away", error=error.message)
                await asyncio.sleep(OUTAGE_RETRY_S)
            await self._wait_for_work()
            self._attempt_tasks = {call for call in self._attempt_tasks if not _is_finished(call)}
        await self._shut_down()
        await caller.close()

    async def _wait_for_work(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_INTERVAL_S):
                await self._work_available.wait()
        self._work_available.clear()

    async def _claim_due(self, caller: WebhookClient) -> None:
        now_s = time.monotonic()
        due = await self._run_sql(self._stores.deliveries.due_destinations)
        wanted = {to: room for to in due if (room := self._queues[to].capacity(now_s))}
        for to, load in await self._run_sql(lambda: self._claim_and_prepare(wanted)) if wanted else ():
            self._queues[to].waiting.append(load)
        for to in tuple(self._queues):
            self._start_attempts(caller, self._queues[to])
            if self._queues[to].is_idle:
                del self._queues[to]

    def _start_attempts(self, caller: WebhookClient, lane: DestinationQueue) -> None:
        if not self._stop_event.is_set():
            for load in lane.start_ready(time.monotonic()):
                self._attempt_tasks.add(asyncio.create_task(self._attempt(caller, lane, load)))

    async def _attempt(self, caller: WebhookClient, lane: DestinationQueue, load: PreparedDelivery) -> None:
        at, began = self._stores.clock.now_ms(), time.monotonic()
        delivery = load.delivery
        body = delivery.body.encode()
        headers = self._signer.headers(delivery.id, at // 1000, body, load.secrets)
        try:
            outcome = await caller.post(delivery.url, headers, body)
        except Exception:
            # One delivery that nobody has thought of must not end those of everybody else.
            log.exception("delivery.fault", delivery=delivery.id)
            outcome = AttemptOutcome(error="Something went wrong inside Darkroom; its log has the details.")
        duration_ms = round((time.monotonic() - began) * 1000)
        attempt = DeliveryAttempt(at, duration_ms, outcome.status, outcome.error, outcome.excerpt)
        self._results.append(AttemptResult(load, attempt, outcome))
        given_back = lane.finish(outcome, time.monotonic())
        if outcome.is_gone and load.webhook:
            # The lane is its own, and it will be disabled: it is not called for what waits.
            given_back += lane.drain()
        self._unattempted += [one.delivery for one in given_back]
        self._start_attempts(caller, lane)
        self._work_available.set()

    async def _shut_down(self) -> None:
        """What does not end in time is delivered by another courier, once the lease is over."""
        self._unattempted += [load.delivery for lane in self._queues.values() for load in lane.waiting]
        if self._attempt_tasks:
            _, late = await asyncio.wait(self._attempt_tasks, timeout=STOP_GRACE_S)
            for call in late:
                call.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(Unavailable):
            await self._flush_results()

    async def _flush_results(self) -> None:
        tried, self._results = self._results, []
        back, self._unattempted = self._unattempted, []
        try:
            if tried:
                await self._run_sql(
                    lambda: self._stores.deliveries.record_outcomes([self._delivery_outcome(one) for one in tried])
                )
        except Unavailable:
            self._results, self._unattempted = tried + self._results, back + self._unattempted
            raise
        if back:
            await self._run_sql(lambda: self._stores.deliveries.release(back))
        await self._run_sql(lambda: self._update_health(tried))

    async def _run_sql(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._sql_executor, work)

    # On the thread for SQL

    def _claim_and_prepare(self, wanted: Mapping[str, int]) -> list[tuple[str, PreparedDelivery]]:
        taken = [(to, one) for to, most in wanted.items() for one in self._stores.deliveries.claim(to, most)]
        known = self._stores.subscriptions.get_many({one.subscription for _, one in taken if one.subscription})
        return [(to, self._prepare(one, known.get(one.subscription or ""))) for to, one in taken]

    def _prepare(self, delivery: Delivery, webhook: Subscription | None) -> PreparedDelivery:
        if delivery.subscription is None:
            return PreparedDelivery(delivery, None, (self._stores.subscriptions.owner_secret(delivery.owner),))
        return PreparedDelivery(delivery, webhook, webhook.secrets if webhook else ())

    def _delivery_outcome(self, one: AttemptResult) -> DeliveryOutcome:
        delivery = one.prepared.delivery
        if one.outcome.is_delivered:
            return DeliveryOutcome(delivery, one.attempt, DeliveryState.DELIVERED)
        delay_s = next_delay_s(delivery.tries + 1, one.outcome, random.uniform)
        if delay_s is None or one.outcome.is_final or delivery.type in EPHEMERAL_EVENTS:
            log.info("delivery.failed", delivery=delivery.id, reason=one.outcome.reason)
            return DeliveryOutcome(delivery, one.attempt, DeliveryState.FAILED, reason=one.outcome.reason)
        next_at = self._stores.clock.now_ms() + round(delay_s * 1000)
        return DeliveryOutcome(delivery, one.attempt, DeliveryState.PENDING, next_at)

    def _update_health(self, tried: Sequence[AttemptResult]) -> None:
        """What the attempts say about their webhooks; of those that are well and were so before, nothing."""
        hooks = [(one.prepared.webhook, one.outcome) for one in tried if one.prepared.webhook]
        recovered = {hook.id for hook, outcome in hooks if outcome.is_delivered and hook.failing_since}
        failing = {hook.id for hook, outcome in hooks if not outcome.is_delivered} - recovered
        if not recovered and not failing:
            return
        self._stores.subscriptions.record_health(recovered, failing)
        gone = {hook.id for hook, outcome in hooks if outcome.is_gone}
        for webhook in self._stores.subscriptions.get_many(failing).values():
            self._disable_if_dead(webhook, gone=webhook.id in gone)

    def _disable_if_dead(self, webhook: Subscription, *, gone: bool) -> None:
        now_ms = self._stores.clock.now_ms()
        failing_s = (now_ms - (webhook.failing_since or now_ms)) / 1000
        if webhook.disabled_at is not None or not (gone or failing_s > DISABLE_AFTER_S):
            return
        try:
            disabled = self._stores.subscriptions.disable(webhook.owner, webhook.id, "gone" if gone else "failing")
        except (Conflict, NotFound):
            return
        log.warning("webhook.disabled", webhook=webhook.id, because=disabled.disabled_because)
        self._stores.deliveries.fail_pending(webhook.id, "The webhook was disabled.")
        self._stores.outbox.notify_disabled(disabled)


def _is_finished(call: "asyncio.Task[None]") -> bool:
    """Whether it is over; a fault of ours is raised, so that it is seen."""
    if call.done():
        call.result()
    return call.done()
