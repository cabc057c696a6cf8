"""The worker's browser and the contexts leased from it: one context for each job or site query.

One browser serves all contexts. It is retired after a number of contexts, at an age, above a memory limit, when it
becomes slow, and when it crashes; the successor is started first, and the old browser is closed once its last context
has closed. Every wait for Playwright is bounded, because its calls may never return.
"""

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
from workers.browsers.browser import BrowserInstance, ContextOptions, CrashWatcher
from workers.browsers.egress_proxy import EgressProxy
from workers.browsers.launchers import BrowserSource, LocalBrowser
from workers.browsers.os_processes import MARKER_OPTION, kill_browser, measure_memory
from workers.browsers.playwright_server import (
    CLOSE_TIMEOUT_S,
    PlaywrightServer,
    can_open_page,
    close_browser,
    ping_browser,
    read_user_agent,
)
from workers.browsers.user_agent import user_agent_suffix

BYTES_PER_MB = 1024 * 1024
CONTEXT_TIMEOUT_S = 15.0
HEALTH_CHECK_INTERVAL_S = 30.0
PING_INTERVAL_S = 1.0
PING_TIMEOUT_S = 6.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BrowserPoolConfig:
    """Which browser is started, how many contexts it serves at a time (``slots``), and when it is retired."""

    source: BrowserSource
    slots: int
    max_contexts: int
    max_age_s: float
    max_memory_bytes: int
    drain_timeout_s: float
    user_agent_suffix: str

    @classmethod
    def from_settings(cls, settings: Settings, source: BrowserSource, slots: int) -> Self:
        """Return the configuration for ``settings``."""
        return cls(
            source=source,
            slots=slots,
            max_contexts=settings.browser_max_contexts,
            max_age_s=settings.browser_max_age_s,
            max_memory_bytes=settings.browser_max_memory_mb * BYTES_PER_MB,
            drain_timeout_s=settings.job_deadline_s,
            user_agent_suffix=user_agent_suffix(settings),
        )


class BrowserPool:
    """The current browser and its contexts; ``monotonic`` is the clock for the browser's age, in seconds."""

    def __init__(self, config: BrowserPoolConfig, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._monotonic = monotonic
        self._slots = asyncio.Semaphore(config.slots)
        self._replacing = asyncio.Lock()
        self._playwright = PlaywrightServer(config.source, self._on_playwright_died)
        # A remote browser cannot reach a proxy on this machine's loopback; its own network must restrict it.
        self._egress_proxy = EgressProxy() if isinstance(config.source, LocalBrowser) else None
        self._crash_watchers: set[CrashWatcher] = set()
        self.launch_count = 0
        self._current: BrowserInstance | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self.memory_bytes = 0

    @property
    def is_ready(self) -> bool:
        """Whether a context could be opened now."""
        return self._current is not None and self._current.is_usable and self._playwright.is_alive

    @property
    def browser_age_s(self) -> float:
        """The age of the browser in seconds; 0 while there is no browser."""
        return self._monotonic() - self._current.started_at_s if self._current else 0.0

    @property
    def browser_version(self) -> str:
        """The browser's version; empty while there is no browser."""
        return self._current.browser.version if self._current else ""

    @property
    def problem(self) -> str:
        """Why there is no browser; empty while the pool is ready."""
        return "" if self.is_ready else self._playwright.problem

    @property
    def open_contexts(self) -> int:
        """The number of open contexts of the current browser."""
        return self._current.open_contexts if self._current else 0

    async def start(self) -> None:
        """Start the egress proxy, Playwright and the first browser, and begin to monitor them.

        Raises:
            BrowserLost: the local browser does not start. A remote endpoint may be unavailable at first.
        """
        if self._egress_proxy:
            await self._egress_proxy.start()
        await self._playwright.start()
        try:
            self._current = await self._launch()
        except BrowserLost as error:
            if self._egress_proxy:
                raise
            # The endpoint may become available later; until then this worker claims no jobs.
            log.warning("browser.missing", error=error.message)
        self._spawn(self._check_health_forever())
        self._spawn(self._ping_forever())
        self._spawn(self._playwright.watch_forever())

    async def stop(self) -> None:
        """Close the browser, Playwright and the egress proxy."""
        for task in tuple(self._tasks):
            task.cancel()
        instance, self._current = self._current, None
        # A browser and a driver process that have died do not answer; the worker would only wait for them.
        if instance and instance.browser.is_connected() and self._playwright.is_alive:
            await close_browser(instance.browser)
        await self._playwright.stop()
        if self._egress_proxy:
            await self._egress_proxy.stop()

    def stop_replacing(self) -> None:
        """Start no further browsers, because the worker stops; the present one serves until it is lost."""
        self._is_stopping = True

    async def ensure_browser(self) -> None:
        """Start a browser unless a usable one runs.

        Raises:
            BrowserLost: no browser can be started.
        """
        await self._usable_browser()

    @asynccontextmanager
    async def lease(
        self,
        on_lost: Callable[[], None],
        direct_hosts: Collection[str] = (),
        storage_state: dict[str, Any] | None = None,
        *,
        accepts_downloads: bool = False,
    ) -> AsyncIterator[BrowserContext]:
        """Open a new context, and close it at the end of the block; waits while all slots are in use.

        ``on_lost`` is called if the browser dies or a page crashes in the meantime. ``direct_hosts`` are reached
        without the egress proxy. ``storage_state`` has cookies and local storage to begin with. Unless the context
        ``accepts_downloads``, the browser refuses them before it writes anything.

        Raises:
            BrowserLost: no context can be opened.
        """
        async with self._slots:
            instance = await self._usable_browser()
            proxy = self._egress_proxy.settings_for(direct_hosts) if self._egress_proxy else None
            options = ContextOptions(storage_state, proxy, accepts_downloads)
            context = await self._open_context(instance, options)
            watcher = CrashWatcher(instance.browser, context, on_lost)
            self._crash_watchers.add(watcher)
            try:
                yield context
            finally:
                self._crash_watchers.discard(watcher)
                watcher.stop()
                await self._close_context(instance, context)

    async def _usable_browser(self) -> BrowserInstance:
        instance = self._current
        if instance is None or not instance.is_usable or not self._playwright.is_alive:
            instance = await self._replace(instance, "disconnected")
        elif instance.contexts_served >= self._config.max_contexts:
            instance = await self._replace(instance, "contexts")
        return instance

    async def _open_context(self, instance: BrowserInstance, options: ContextOptions) -> BrowserContext:
        instance.contexts_served += 1
        instance.open_contexts += 1
        instance.idle.clear()
        opening = asyncio.create_task(instance.new_context(options))
        try:
            async with asyncio.timeout(CONTEXT_TIMEOUT_S):
                return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The caller is gone, but Playwright still opens the context: close it once it is open.
            self._spawn(self._close_abandoned(instance, opening))
            raise
        except (Error, TimeoutError) as error:
            self._release(instance)
            instance.is_broken = True
            self._retire_soon(instance, "no context")
            raise BrowserLost from error

    async def _close_abandoned(self, instance: BrowserInstance, opening: "asyncio.Task[BrowserContext]") -> None:
        await asyncio.wait({opening}, timeout=CONTEXT_TIMEOUT_S)
        if opening.done() and not opening.cancelled() and opening.exception() is None:
            await self._close_context(instance, opening.result())
        else:
            self._release(instance)

    async def _close_context(self, instance: BrowserInstance, context: BrowserContext) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await context.close()
        except TimeoutError:
            # A context that does not close keeps its memory until the browser ends.
            self._retire_soon(instance, "close timed out")
        except Error:
            log.debug("context.already_closed")
        finally:
            self._release(instance)

    def _release(self, instance: BrowserInstance) -> None:
        instance.open_contexts -= 1
        if instance.open_contexts == 0:
            instance.idle.set()

    def _retire_soon(self, instance: BrowserInstance | None, reason: str) -> None:
        self._spawn(self._retire(instance, reason))

    async def _retire(self, instance: BrowserInstance | None, reason: str) -> None:
        with contextlib.suppress(BrowserLost):
            await self._replace(instance, reason)

    async def _replace(self, old: BrowserInstance | None, reason: str) -> BrowserInstance:
        """Start the successor of ``old``, then retire ``old``; concurrent calls share one successor."""
        async with self._replacing:
            # A concurrent call may have replaced it while this one waited for the lock.
            if self._current is not old and self.is_ready and self._current is not None:
                return self._current
            if self._is_stopping:
                raise BrowserLost("The worker is stopping and starts no more browsers.")
            log.info("browser.replaced", reason=reason, served=old.contexts_served if old else 0)
            self._current = await self._launch()
        if old is not None:
            old.retirement_reason = reason
            self._spawn(self._drain(old))
        return self._current

    async def _drain(self, instance: BrowserInstance) -> None:
        """Close a retired browser after its last context or after ``drain_timeout_s``; kill it if it hangs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.drain_timeout_s):
                if instance.open_contexts:
                    await instance.idle.wait()
        if not await close_browser(instance.browser):
            await asyncio.to_thread(kill_browser, instance.marker)

    async def _launch(self) -> BrowserInstance:
        self.launch_count += 1
        marker = f"{MARKER_OPTION}{os.getpid()}-{self.launch_count}"
        browser = await self._playwright.launch(marker)
        try:
            async with asyncio.timeout(CONTEXT_TIMEOUT_S):
                user_agent = await read_user_agent(browser)
        except (Error, TimeoutError) as error:
            await asyncio.to_thread(kill_browser, marker)
            raise BrowserLost("The browser starts but does not open a page.") from error
        instance = BrowserInstance(browser, marker, f"{user_agent} {self._config.user_agent_suffix}", self._monotonic())
        browser.on("disconnected", lambda _browser: self._on_disconnected(instance))
        return instance

    def _on_playwright_died(self) -> None:
        """Report all leased contexts as lost, since Playwright sends no more events, and replace the browser."""
        for watcher in tuple(self._crash_watchers):
            watcher.notify()
        if self._current:
            self._current.is_broken = True
            self._retire_soon(self._current, "playwright died")

    def _on_disconnected(self, instance: BrowserInstance) -> None:
        if self._current is instance and not instance.retirement_reason:
            log.warning("browser.lost", served=instance.contexts_served, open=instance.open_contexts)
            self._retire_soon(instance, "disconnected")

    async def _check_health_forever(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_CHECK_INTERVAL_S)
            await self.check_health()

    async def _ping_forever(self) -> None:
        while True:
            await asyncio.sleep(PING_INTERVAL_S)
            await self.ping()

    async def ping(self) -> None:
        """Kill the browser and the driver process if the browser does not answer in time.

        Both are restarted, and the running attempts end as lost. Without this a page that floods the connection
        would hold up all others for as long as its messages are on their way.
        """
        instance = self._current
        if instance is None or not instance.is_usable:
            return
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await ping_browser(instance.browser)
        except TimeoutError:
            log.warning("browser.unresponsive", open=instance.open_contexts)
            instance.is_broken = True
            self._playwright.kill()
            await asyncio.to_thread(kill_browser, instance.marker)
        except Error:
            log.debug("browser.ping_failed")

    async def check_health(self) -> None:
        """Measure the browser's memory and retire the browser if it is missing, too old, too large or too slow."""
        instance = self._current
        if instance is None:
            self._retire_soon(None, "missing")
            return
        self.memory_bytes = await asyncio.to_thread(measure_memory, instance.marker)
        if self._monotonic() - instance.started_at_s > self._config.max_age_s:
            await self._retire(instance, "age")
        elif self.memory_bytes > self._config.max_memory_bytes:
            await self._retire(instance, "memory")
        elif not await can_open_page(instance.browser):
            await self._retire(instance, "slow")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
