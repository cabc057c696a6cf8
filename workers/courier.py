"""Owns the delivery of webhooks: takes what is due from SQL, calls, and writes down what came of it.

Run by the courier process on an event loop of its own; any number of them share one database. Each destination has its
own few places and its own circuit, so that a receiver that is slow or dead keeps nobody else's deliveries.
"""

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from schemas.errors import Conflict, NotFound, Unavailable
from schemas.redelivery import DEAD_AFTER_S, THROTTLED, Outcome, next_delay_s
from schemas.webhooks import FLEETING_TYPES, Attempt, Delivery, DeliveryState, Subscription
from stores import Stores
from stores.deliveries import Settled, destination_of
from workers.calling import Caller

PLACES = 16
LOOK_AGAIN_S = 1.0
FAILURES_TO_OPEN = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 600.0
AWAY_S = 1.0
STOP_GRACE_S = 5.0

log = structlog.get_logger(__name__)


@dataclass
class Circuit:
    """How a destination has answered lately; while it is open one attempt at a time looks whether it is well again."""

    failures: int = 0
    pause_s: float = 0.0
    retry_at: float = 0.0

    def places(self, now_s: float) -> int:
        """How many attempts may be under way at once."""
        if self.failures < FAILURES_TO_OPEN:
            return PLACES
        return 1 if now_s >= self.retry_at else 0

    def note(self, outcome: Outcome, now_s: float) -> None:
        """What an attempt has brought."""
        if outcome.delivered or outcome.final:
            self.failures, self.pause_s = 0, 0.0
            return
        # Who says that it is too much is believed at once.
        self.failures = FAILURES_TO_OPEN if outcome.status in THROTTLED else self.failures + 1
        if self.failures >= FAILURES_TO_OPEN and now_s >= self.retry_at:
            self.pause_s = min(max(FIRST_PAUSE_S, 2 * self.pause_s), LONGEST_PAUSE_S)
            self.retry_at = now_s + self.pause_s


@dataclass(frozen=True, slots=True)
class Tried:
    """A delivery with what its attempt has brought."""

    delivery: Delivery
    attempt: Attempt
    outcome: Outcome


class Courier:
    """Delivers what is due until told to stop."""

    def __init__(self, stores: Stores, caller: Callable[[], Caller] | None = None) -> None:
        """``caller`` makes what calls, on the courier's own loop."""
        self._stores = stores
        self._make_caller = caller or (lambda: Caller(stores.egress))
        self._sql = ThreadPoolExecutor(1, thread_name_prefix="deliveries")
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=run, name=name) for name, run in self._duties()]
        self._circuits: dict[str, Circuit] = {}
        self._in_hand: Counter[str] = Counter()
        self._tried: list[Tried] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._signer = stores.webhooks.signer

    def _duties(self) -> list[tuple[str, Callable[[], None]]]:
        return [("courier", lambda: asyncio.run(self._deliver_all())), ("outbox", self._empty_outbox)]

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

    # The outbox

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

    # Deliveries

    async def _deliver_all(self) -> None:
        self._loop = asyncio.get_running_loop()
        caller = self._make_caller()
        calls: set[asyncio.Task[None]] = set()
        while not self._stopped.is_set():
            try:
                await self._write_down()
                for delivery, secrets in await self._take():
                    calls.add(asyncio.create_task(self._attempt(caller, delivery, secrets)))
            except Unavailable as error:
                log.warning("courier.away", error=error.message)
                await asyncio.sleep(AWAY_S)
            await self._await_news()
            calls = {call for call in calls if not _has_ended(call)}
        await self._end(calls)
        await caller.close()

    async def _end(self, calls: set[asyncio.Task[None]]) -> None:
        """What does not end in time is delivered by another courier, once the lease is over."""
        if calls:
            _, late = await asyncio.wait(calls, timeout=STOP_GRACE_S)
            for call in late:
                call.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(Unavailable):
            await self._write_down()

    async def _await_news(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._news.wait()
        self._news.clear()

    async def _take(self) -> list[tuple[Delivery, Sequence[str]]]:
        now_s = time.monotonic()
        wanted = {
            destination: places
            for destination in await self._off_loop(self._stores.deliveries.destinations)
            if (places := self._circuit(destination).places(now_s) - self._in_hand[destination]) > 0
        }
        taken: list[tuple[Delivery, Sequence[str]]] = (
            await self._off_loop(lambda: self._claim(wanted)) if wanted else []
        )
        for delivery, _ in taken:
            self._in_hand[destination_of(delivery.owner, delivery.url)] += 1
        return taken

    async def _attempt(self, caller: Caller, delivery: Delivery, secrets: Sequence[str]) -> None:
        at, began = self._stores.clock.now_ms(), time.monotonic()
        body = delivery.body.encode()
        destination = destination_of(delivery.owner, delivery.url)
        try:
            headers = self._signer.headers(delivery.id, at // 1000, body, secrets)
            outcome = await caller.post(delivery.url, headers, body)
        finally:
            self._in_hand[destination] -= 1
        self._circuit(destination).note(outcome, time.monotonic())
        duration_ms = round((time.monotonic() - began) * 1000)
        attempt = Attempt(at, duration_ms, outcome.status, outcome.error, outcome.excerpt)
        self._tried.append(Tried(delivery, attempt, outcome))
        self._news.set()

    def _circuit(self, destination: str) -> Circuit:
        return self._circuits.setdefault(destination, Circuit())

    async def _write_down(self) -> None:
        tried, self._tried = self._tried, []
        if not tried:
            return
        try:
            await self._off_loop(lambda: self._stores.deliveries.settle([self._settled(one) for one in tried]))
        except Unavailable:
            self._tried = tried + self._tried
            raise
        await self._off_loop(lambda: self._judge(tried))

    async def _off_loop(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._sql, work)

    # On the thread for SQL

    def _claim(self, wanted: Mapping[str, int]) -> list[tuple[Delivery, Sequence[str]]]:
        taken = [one for to, most in wanted.items() for one in self._stores.deliveries.claim(to, most)]
        known = self._stores.webhooks.by_ids({one.subscription for one in taken if one.subscription})
        return [(one, self._secrets_of(one, known)) for one in taken]

    def _secrets_of(self, delivery: Delivery, known: dict[str, Subscription]) -> Sequence[str]:
        if delivery.subscription is None:
            return (self._stores.webhooks.own_secret(delivery.owner),)
        webhook = known.get(delivery.subscription)
        return webhook.secrets if webhook else ()

    def _judge(self, tried: Sequence[Tried]) -> None:
        """What the attempts say about their webhooks."""
        well = {one.delivery.subscription for one in tried if one.outcome.delivered}
        failing = {one.delivery.subscription for one in tried if not one.outcome.delivered} - well
        self._stores.webhooks.note_health({one for one in well if one}, {one for one in failing if one})
        gone = {one.delivery.subscription for one in tried if one.outcome.gone}
        for webhook in self._stores.webhooks.by_ids({one for one in failing | gone if one}).values():
            self._disable_if_dead(webhook, gone=webhook.id in gone)

    def _settled(self, one: Tried) -> Settled:
        if one.outcome.delivered:
            return Settled(one.delivery, one.attempt, DeliveryState.DELIVERED)
        delay_s = next_delay_s(one.delivery.tries + 1, one.outcome, random.uniform)
        if delay_s is None or one.outcome.final or one.delivery.type in FLEETING_TYPES:
            log.info("delivery.failed", delivery=one.delivery.id, reason=one.outcome.reason)
            return Settled(one.delivery, one.attempt, DeliveryState.FAILED, reason=one.outcome.reason)
        next_at = self._stores.clock.now_ms() + round(delay_s * 1000)
        return Settled(one.delivery, one.attempt, DeliveryState.PENDING, next_at)

    def _disable_if_dead(self, webhook: Subscription, *, gone: bool) -> None:
        failing_s = (self._stores.clock.now_ms() - (webhook.failing_since or self._stores.clock.now_ms())) / 1000
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
