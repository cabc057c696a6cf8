"""Owns the browser of a worker: one at a time, replaced before it grows old, and a context of its own for each job.

Used by ``workers.runner`` and ``workers.lookups``; started and stopped by ``workers.boot``.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from playwright.async_api import Browser, BrowserContext, Error, Playwright, async_playwright

from schemas.errors import BrowserLost
from workers.processes import MARK, kill, memory_of

LAUNCH_TIMEOUT_S = 30.0
CONTEXT_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 5.0
CANARY_TIMEOUT_S = 1.0
INSPECTION_INTERVAL_S = 30.0
VIEWPORT = {"width": 1280, "height": 900}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BrowserRules:
    """Which browser, how it is started and when it is retired."""

    path: Path
    sandbox: bool
    slots: int
    max_contexts: int
    max_age_s: float
    max_memory_bytes: int
    drain_s: float
    agent: str


@dataclass(eq=False, slots=True)
class Living:
    """A running browser, what it has done and who still uses it."""

    browser: Browser
    mark: str
    agent: str
    born: float
    served: int = 0
    open: int = 0
    retired: str = ""
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class BrowserPool:
    """The one browser and its contexts; every wait is bounded."""

    def __init__(self, rules: BrowserRules, tick: Callable[[], float] = time.monotonic) -> None:
        """``tick`` counts seconds, for the browser's age."""
        self._rules = rules
        self._tick = tick
        self._slots = asyncio.Semaphore(rules.slots)
        self._replacing = asyncio.Lock()
        self.launches = 0
        self._playwright: Playwright | None = None
        self._living: Living | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.memory_bytes = 0

    @property
    def ready(self) -> bool:
        """Whether a job could have a context now."""
        return self._living is not None and self._living.browser.is_connected()

    @property
    def version(self) -> str:
        """The browser's own version; empty while there is none."""
        return self._living.browser.version if self._living else ""

    @property
    def open_contexts(self) -> int:
        """How many contexts of the present browser are in use."""
        return self._living.open if self._living else 0

    async def start(self) -> None:
        """Start the driver and the first browser, and look after them from now on."""
        self._playwright = await async_playwright().start()
        self._living = await self._launch()
        self._spawn(self._inspect_for_ever())

    async def stop(self) -> None:
        """Close everything."""
        for task in tuple(self._tasks):
            task.cancel()
        living, self._living = self._living, None
        if living:
            await _bounded_close(living.browser)
        if self._playwright:
            with contextlib.suppress(TimeoutError, Error):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._playwright.stop()

    @asynccontextmanager
    async def lease(self, lost: Callable[[], None]) -> AsyncIterator[BrowserContext]:
        """A fresh context, closed at the end of the block. ``lost`` is called if its browser or page dies meanwhile.

        Raises:
            BrowserLost: none can be had.
        """
        async with self._slots:
            living = await self._usable()
            context = await self._open_context(living)
            watch = _Watch(living.browser, context, lost)
            try:
                yield context
            finally:
                watch.end()
                await self._close_context(living, context)

    async def _usable(self) -> Living:
        living = self._living
        if living is None or living.retired or not living.browser.is_connected():
            living = await self._replace(living, "disconnected")
        elif living.served >= self._rules.max_contexts:
            living = await self._replace(living, "contexts")
        return living

    async def _open_context(self, living: Living) -> BrowserContext:
        living.served += 1
        living.open += 1
        living.idle.clear()
        try:
            async with asyncio.timeout(CONTEXT_TIMEOUT_S):
                return await living.browser.new_context(
                    user_agent=living.agent,
                    viewport=VIEWPORT,  # type: ignore[arg-type] # a plain dict is a ViewportSize
                    service_workers="block",
                )
        except (Error, TimeoutError) as error:
            self._left(living)
            self._retire_soon(living, "no context")
            raise BrowserLost from error

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

    def _retire_soon(self, living: Living, reason: str) -> None:
        self._spawn(self._retire(living, reason))

    async def _retire(self, living: Living, reason: str) -> None:
        with contextlib.suppress(BrowserLost):
            await self._replace(living, reason)

    async def _replace(self, old: Living | None, reason: str) -> Living:
        """The successor of ``old``, started before ``old`` is let go."""
        async with self._replacing:
            if self._living is not None and self._living is not old and self._living.browser.is_connected():
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
        if not await _bounded_close(living.browser):
            await asyncio.to_thread(kill, living.mark)

    async def _launch(self) -> Living:
        if self._playwright is None:
            raise BrowserLost
        self.launches += 1
        mark = f"{MARK}{os.getpid()}-{self.launches}"
        try:
            async with asyncio.timeout(LAUNCH_TIMEOUT_S):
                browser = await self._playwright.chromium.launch(
                    executable_path=self._rules.path,
                    chromium_sandbox=self._rules.sandbox,
                    args=[mark, "--mute-audio"],
                    handle_sigint=False,
                    handle_sigterm=False,
                    handle_sighup=False,
                )
                agent = await _user_agent(browser)
        except (Error, TimeoutError) as error:
            await asyncio.to_thread(kill, mark)
            raise BrowserLost(f"The browser did not start: {str(error).partition(chr(10))[0]}") from error
        living = Living(browser, mark, f"{agent} {self._rules.agent}", self._tick())
        browser.on("disconnected", lambda _browser: self._on_disconnected(living))
        return living

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
            return
        self.memory_bytes = await asyncio.to_thread(memory_of, living.mark)
        if self._tick() - living.born > self._rules.max_age_s:
            await self._retire(living, "age")
        elif self.memory_bytes > self._rules.max_memory_bytes:
            await self._retire(living, "memory")
        elif not await _canary(living.browser):
            await self._retire(living, "slow")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Watch:
    """Calls back once if a context's browser or one of its pages dies."""

    def __init__(self, browser: Browser, context: BrowserContext, lost: Callable[[], None]) -> None:
        self._browser = browser
        self._lost = lost
        browser.on("disconnected", self._tell)
        context.on("page", lambda page: page.on("crash", self._tell))

    def _tell(self, _source: object) -> None:
        self._lost()

    def end(self) -> None:
        self._lost = _nothing
        self._browser.remove_listener("disconnected", self._tell)


def _nothing() -> None:
    """Nobody is interested any more."""


async def _bounded_close(browser: Browser) -> bool:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await browser.close()
    except TimeoutError:
        return False
    except Error:
        return True
    return True


async def _user_agent(browser: Browser) -> str:
    page = await browser.new_page()
    agent: str = await page.evaluate("navigator.userAgent")
    await page.context.close()
    return agent


async def _canary(browser: Browser) -> bool:
    """Whether an empty page opens in good time."""
    try:
        async with asyncio.timeout(CANARY_TIMEOUT_S):
            page = await browser.new_page()
            await page.goto("about:blank")
    except (Error, TimeoutError):
        return False
    return await _closed(page.context)


async def _closed(context: BrowserContext) -> bool:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await context.close()
    except (Error, TimeoutError):
        return False
    return True
