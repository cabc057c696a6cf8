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
from schemas.webhooks.retry_policy import DEAD_AFTER_S, Outcome, next_delay_s
from schemas.webhooks.subscriptions import FLEETING_TYPES, Attempt, Delivery, DeliveryState, Subscription
from stores import Stores
from stores.webhooks.deliveries import Settled
from workers.webhooks.client import Caller
from workers.webhooks.destinations import Lane, Load

LOOK_AGAIN_S = 1.0
AWAY_S = 1.0
STOP_GRACE_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tried:
    """A delivery with what its attempt has brought."""

    load: Load
    attempt: Attempt
    outcome: Outcome


class Courier:
    """Delivers what is due until told to stop."""

    def __init__(self, stores: Stores, caller: Callable[[], Caller] | None = None) -> None:
        """``caller`` makes what calls, on the courier's own loop."""
        self._stores = stores
        self._make_caller = caller or (lambda: Caller(stores.egress))
        self._signer = stores.webhooks.signer
        self._sql = ThreadPoolExecutor(1, thread_name_prefix="deliveries")
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=lambda: asyncio.run(self._deliver_all()), name="courier"),
            threading.Thread(target=self._empty_outbox, name="outbox"),
        ]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._lanes: defaultdict[str, Lane] = defaultdict(Lane)
        self._calls: set[asyncio.Task[None]] = set()
        self._tried: list[Tried] = []
        self._given_back: list[Delivery] = []

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more; returns when what is in hand has been written down."""
        self._stopped.set()
        self._wake()
        with contextlib.suppress(Unavailable):
            self._stores.outbox.ring()
        for thread in self._threads:
            thread.join()
        self._sql.shutdown()

    # The outbox, on a thread of its own

    def _empty_outbox(self) -> None:
        while not self._stopped.is_set():
            try:
                if self._stores.outbox.wait():
                    while self._stores.outbox.empty():
                        self._wake()
            except Unavailable as error:
                log.warning("outbox.away", error=error.message)
                self._stopped.wait(AWAY_S)

    def _wake(self) -> None:
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    # Deliveries, on the event loop

    async def _deliver_all(self) -> None:
        self._loop = asyncio.get_running_loop()
        caller = self._make_caller()
        while not self._stopped.is_set():
            try:
                await self._write_down()
                await self._take(caller)
            except Unavailable as error:
                log.warning("courier.away", error=error.message)
                await asyncio.sleep(AWAY_S)
            await self._await_news()
            self._calls = {call for call in self._calls if not _has_ended(call)}
        await self._end()
        await caller.close()

    async def _await_news(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._news.wait()
        self._news.clear()

    async def _take(self, caller: Caller) -> None:
        now_s = time.monotonic()
        due = await self._off_loop(self._stores.deliveries.destinations)
        wanted = {to: room for to in due if (room := self._lanes[to].room(now_s))}
        for to, load in await self._off_loop(lambda: self._claim(wanted)) if wanted else ():
            self._lanes[to].waiting.append(load)
        for to in tuple(self._lanes):
            self._begin(caller, self._lanes[to])
            if self._lanes[to].idle:
                del self._lanes[to]

    def _begin(self, caller: Caller, lane: Lane) -> None:
        if not self._stopped.is_set():
            for load in lane.begin(time.monotonic()):
                self._calls.add(asyncio.create_task(self._attempt(caller, lane, load)))

    async def _attempt(self, caller: Caller, lane: Lane, load: Load) -> None:
        at, began = self._stores.clock.now_ms(), time.monotonic()
        delivery = load.delivery
        body = delivery.body.encode()
        headers = self._signer.headers(delivery.id, at // 1000, body, load.secrets)
        try:
            outcome = await caller.post(delivery.url, headers, body)
        except Exception:
            # One delivery that nobody has thought of must not end those of everybody else.
            log.exception("delivery.fault", delivery=delivery.id)
            outcome = Outcome(error="Something went wrong inside Darkroom; its log has the details.")
        duration_ms = round((time.monotonic() - began) * 1000)
        attempt = Attempt(at, duration_ms, outcome.status, outcome.error, outcome.excerpt)
        self._tried.append(Tried(load, attempt, outcome))
        given_back = lane.end(outcome, time.monotonic())
        if outcome.gone and load.webhook:
            # The lane is its own, and it will be disabled: it is not called for what waits.
            given_back += lane.give_back()
        self._given_back += [one.delivery for one in given_back]
        self._begin(caller, lane)
        self._news.set()

    async def _end(self) -> None:
        """What does not end in time is delivered by another courier, once the lease is over."""
        self._given_back += [load.delivery for lane in self._lanes.values() for load in lane.waiting]
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=STOP_GRACE_S)
            for call in late:
                call.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(Unavailable):
            await self._write_down()

    async def _write_down(self) -> None:
        tried, self._tried = self._tried, []
        back, self._given_back = self._given_back, []
        try:
            if tried:
                await self._off_loop(lambda: self._stores.deliveries.settle([self._settled(one) for one in tried]))
        except Unavailable:
            self._tried, self._given_back = tried + self._tried, back + self._given_back
            raise
        if back:
            await self._off_loop(lambda: self._stores.deliveries.release(back))
        await self._off_loop(lambda: self._judge(tried))

    async def _off_loop(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._sql, work)

    # On the thread for SQL

    def _claim(self, wanted: Mapping[str, int]) -> list[tuple[str, Load]]:
        taken = [(to, one) for to, most in wanted.items() for one in self._stores.deliveries.claim(to, most)]
        known = self._stores.webhooks.by_ids({one.subscription for _, one in taken if one.subscription})
        return [(to, self._load(one, known.get(one.subscription or ""))) for to, one in taken]

    def _load(self, delivery: Delivery, webhook: Subscription | None) -> Load:
        if delivery.subscription is None:
            return Load(delivery, None, (self._stores.webhooks.own_secret(delivery.owner),))
        return Load(delivery, webhook, webhook.secrets if webhook else ())

    def _settled(self, one: Tried) -> Settled:
        delivery = one.load.delivery
        if one.outcome.delivered:
            return Settled(delivery, one.attempt, DeliveryState.DELIVERED)
        delay_s = next_delay_s(delivery.tries + 1, one.outcome, random.uniform)
        if delay_s is None or one.outcome.final or delivery.type in FLEETING_TYPES:
            log.info("delivery.failed", delivery=delivery.id, reason=one.outcome.reason)
            return Settled(delivery, one.attempt, DeliveryState.FAILED, reason=one.outcome.reason)
        next_at = self._stores.clock.now_ms() + round(delay_s * 1000)
        return Settled(delivery, one.attempt, DeliveryState.PENDING, next_at)

    def _judge(self, tried: Sequence[Tried]) -> None:
        """What the attempts say about their webhooks; of those that are well and were so before, nothing."""
        hooks = [(one.load.webhook, one.outcome) for one in tried if one.load.webhook]
        recovered = {hook.id for hook, outcome in hooks if outcome.delivered and hook.failing_since}
        failing = {hook.id for hook, outcome in hooks if not outcome.delivered} - recovered
        if not recovered and not failing:
            return
        self._stores.webhooks.note_health(recovered, failing)
        gone = {hook.id for hook, outcome in hooks if outcome.gone}
        for webhook in self._stores.webhooks.by_ids(failing).values():
            self._disable_if_dead(webhook, gone=webhook.id in gone)

    def _disable_if_dead(self, webhook: Subscription, *, gone: bool) -> None:
        now_ms = self._stores.clock.now_ms()
        failing_s = (now_ms - (webhook.failing_since or now_ms)) / 1000
        if webhook.disabled_at is not None or not (gone or failing_s > DEAD_AFTER_S):
            return
        try:
            disabled = self._stores.webhooks.disable(webhook.owner, webhook.id, "gone" if gone else "failing")
        except (Conflict, NotFound):
            return
        log.warning("webhook.disabled", webhook=webhook.id, because=disabled.disabled_because)
        self._stores.deliveries.give_up(webhook.id, "The webhook was disabled.")
        self._stores.outbox.tell_of_disabled(disabled)


def _has_ended(call: "asyncio.Task[None]") -> bool:
    """Whether it is over; a fault of ours is raised, so that it is seen."""
    if call.done():
        call.result()
    return call.done()
