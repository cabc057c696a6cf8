"""The browser of a worker: one at a time, replaced before it grows old, and a context of its own for each job."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import structlog
from playwright.async_api import BrowserContext, Error

from ops.infra.settings import Settings
from schemas.errors import BrowserLost
from workers.browsers.browser import DeathWatch, Living
from workers.browsers.egress_proxy import Gate, Proxy
from workers.browsers.launchers import BrowserSource, LocalBrowser
from workers.browsers.os_processes import MARK, kill, memory_of
from workers.browsers.playwright_server import CLOSE_TIMEOUT_S, Engine, close_in_time, opens_a_page, user_agent
from workers.browsers.user_agent import agent_of

BYTES_PER_MB = 1024 * 1024
CONTEXT_TIMEOUT_S = 15.0
INSPECTION_INTERVAL_S = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BrowserRules:
    """Which browser, how it is started and when it is retired."""

    source: BrowserSource
    slots: int
    max_contexts: int
    max_age_s: float
    max_memory_bytes: int
    drain_s: float
    agent: str

    @classmethod
    def of(cls, settings: Settings, source: BrowserSource, slots: int) -> Self:
        """The rules that the settings give."""
        return cls(
            source=source,
            slots=slots,
            max_contexts=settings.browser_max_contexts,
            max_age_s=settings.browser_max_age_s,
            max_memory_bytes=settings.browser_max_memory_mb * BYTES_PER_MB,
            drain_s=settings.job_deadline_s,
            agent=agent_of(settings),
        )


class BrowserPool:
    """The one browser and its contexts; every wait is bounded."""

    def __init__(self, rules: BrowserRules, tick: Callable[[], float] = time.monotonic) -> None:
        """``tick`` counts seconds, for the browser's age."""
        self._rules = rules
        self._tick = tick
        self._slots = asyncio.Semaphore(rules.slots)
        self._replacing = asyncio.Lock()
        self._engine = Engine(rules.source, self._on_engine_died)
        # A browser elsewhere cannot come here; its way out is its own host's concern.
        self._gate = Gate() if isinstance(rules.source, LocalBrowser) else None
        self._watches: set[DeathWatch] = set()
        self.launches = 0
        self._living: Living | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.memory_bytes = 0

    @property
    def ready(self) -> bool:
        """Whether a job could have a context now."""
        return self._living is not None and self._living.usable and self._engine.alive

    @property
    def version(self) -> str:
        """The browser's own version; empty while there is none."""
        return self._living.browser.version if self._living else ""

    @property
    def problem(self) -> str:
        """Why there is no browser; empty while there is one."""
        return "" if self.ready else self._engine.problem

    @property
    def open_contexts(self) -> int:
        """How many contexts of the present browser are in use."""
        return self._living.open if self._living else 0

    async def start(self) -> None:
        """Start the driver and the first browser, and look after them from now on.

        Raises:
            BrowserLost: the browser of this machine does not start.
        """
        if self._gate:
            await self._gate.start()
        await self._engine.start()
        try:
            self._living = await self._launch()
        except BrowserLost as error:
            if self._gate:
                raise
            # An endpoint may come back; until then this worker takes no jobs.
            log.warning("browser.missing", error=error.message)
        self._spawn(self._inspect_for_ever())
        self._spawn(self._engine.watch_for_ever())

    async def stop(self) -> None:
        """Close everything."""
        for task in tuple(self._tasks):
            task.cancel()
        living, self._living = self._living, None
        if living:
            await close_in_time(living.browser)
        await self._engine.stop()
        if self._gate:
            await self._gate.stop()

    async def prepare(self) -> None:
        """See to it that there is a browser; where all is well this takes no time.

        Raises:
            BrowserLost: none can be had.
        """
        await self._usable()

    @asynccontextmanager
    async def lease(
        self, lost: Callable[[], None], direct: Collection[str] = (), state: dict[str, Any] | None = None
    ) -> AsyncIterator[BrowserContext]:
        """A fresh context, closed at the end of the block. ``lost`` is called if its browser or page dies meanwhile.

        ``direct`` is what it reaches past the gate; ``state`` is what it knows of before: cookies
        and local storage.

        Raises:
            BrowserLost: none can be had.
        """
        async with self._slots:
            living = await self._usable()
            context = await self._open_context(living, state, self._gate.proxy(direct) if self._gate else None)
            watch = DeathWatch(living.browser, context, lost)
            self._watches.add(watch)
            try:
                yield context
            finally:
                self._watches.discard(watch)
                watch.end()
                await self._close_context(living, context)

    async def _usable(self) -> Living:
        living = self._living
        if living is None or not living.usable or not self._engine.alive:
            living = await self._replace(living, "disconnected")
        elif living.served >= self._rules.max_contexts:
            living = await self._replace(living, "contexts")
        return living

    async def _open_context(self, living: Living, state: dict[str, Any] | None, proxy: Proxy | None) -> BrowserContext:
        living.served += 1
        living.open += 1
        living.idle.clear()
        making = asyncio.create_task(living.new_context(state, proxy))
        try:
            async with asyncio.timeout(CONTEXT_TIMEOUT_S):
                return await asyncio.shield(making)
        except asyncio.CancelledError:
            # Nobody waits for it any more; once it is there it is closed.
            self._spawn(self._close_unwanted(living, making))
            raise
        except (Error, TimeoutError) as error:
            self._left(living)
            living.broken = True
            self._retire_soon(living, "no context")
            raise BrowserLost from error

    async def _close_unwanted(self, living: Living, making: "asyncio.Task[BrowserContext]") -> None:
        await asyncio.wait({making}, timeout=CONTEXT_TIMEOUT_S)
        if making.done() and not making.cancelled() and making.exception() is None:
            await self._close_context(living, making.result())
        else:
            self._left(living)

    async def _close_context(self, living: Living, context: BrowserContext) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await context.close()
        except TimeoutError:
            self._retire_soon(living, "close timed out")
        except Error:
            log.debug("context.gone")
        finally:
            self._left(living)

    def _left(self, living: Living) -> None:
        living.open -= 1
        if living.open == 0:
            living.idle.set()

    def _retire_soon(self, living: Living | None, reason: str) -> None:
        self._spawn(self._retire(living, reason))

    async def _retire(self, living: Living | None, reason: str) -> None:
        with contextlib.suppress(BrowserLost):
            await self._replace(living, reason)

    async def _replace(self, old: Living | None, reason: str) -> Living:
        """The successor of ``old``, started before ``old`` is let go."""
        async with self._replacing:
            if self._living is not old and self.ready and self._living is not None:
                return self._living
            log.info("browser.replaced", reason=reason, served=old.served if old else 0)
            self._living = await self._launch()
        if old is not None:
            old.retired = reason
            self._spawn(self._drain(old))
        return self._living

    async def _drain(self, living: Living) -> None:
        """Close a retired browser once its last context has gone, or by force when that takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._rules.drain_s):
                if living.open:
                    await living.idle.wait()
        if not await close_in_time(living.browser):
            await asyncio.to_thread(kill, living.mark)

    async def _launch(self) -> Living:
        self.launches += 1
        mark = f"{MARK}{os.getpid()}-{self.launches}"
        browser = await self._engine.launch(mark)
        try:
            async with asyncio.timeout(CONTEXT_TIMEOUT_S):
                agent = await user_agent(browser)
        except (Error, TimeoutError) as error:
            await asyncio.to_thread(kill, mark)
            raise BrowserLost("The browser started and opens no page.") from error
        living = Living(browser, mark, f"{agent} {self._rules.agent}", self._tick())
        browser.on("disconnected", lambda _browser: self._on_disconnected(living))
        return living

    def _on_engine_died(self) -> None:
        """Nobody will hear of a browser again: tell all who use one, and start anew."""
        for watch in tuple(self._watches):
            watch.tell()
        if self._living:
            self._living.broken = True
            self._retire_soon(self._living, "engine died")

    def _on_disconnected(self, living: Living) -> None:
        if self._living is living and not living.retired:
            log.warning("browser.lost", served=living.served, open=living.open)
            self._retire_soon(living, "disconnected")

    async def _inspect_for_ever(self) -> None:
        while True:
            await asyncio.sleep(INSPECTION_INTERVAL_S)
            await self.inspect()

    async def inspect(self) -> None:
        """Retire the browser if it is too old, too large or too slow."""
        living = self._living
        if living is None:
            self._retire_soon(None, "missing")
            return
        self.memory_bytes = await asyncio.to_thread(memory_of, living.mark)
        if self._tick() - living.born > self._rules.max_age_s:
            await self._retire(living, "age")
        elif self.memory_bytes > self._rules.max_memory_bytes:
            await self._retire(living, "memory")
        elif not await opens_a_page(living.browser):
            await self._retire(living, "slow")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
